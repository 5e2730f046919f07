using System.CommandLine;
using System.CommandLine.Parsing;

namespace Pilot.Flags;

/// <summary>What one source (command line, environment, file) says about the flags.</summary>
public sealed class FlagValues
{
    private readonly ParseResult _result;
    private readonly string? _source;

    internal FlagValues(ParseResult result, Option help, string? source)
    {
        _result = result;
        _source = source;
        IsHelpWanted = result.GetResult(help) is { Implicit: false };
        if (result.UnmatchedTokens.Count > 0)
        {
            Error = Unexpected(result.UnmatchedTokens[0]);
        }
        else if (result.CommandResult.Children.OfType<OptionResult>().FirstOrDefault(IsWithoutValue) is { } option)
        {
            Error = $"flag needs an argument: {option.Option.Name}";
        }
    }

    /// <summary>True when the flag list was asked for, before any error.</summary>
    public bool IsHelpWanted { get; }

    /// <summary>Why this is no command line: unknown flag, missing value, stray word. Null = it is one. Values are checked when they are asked for.</summary>
    public string? Error { get; }

    /// <summary>True when the flag has a value here that counts.</summary>
    public bool Has<T>(Flag<T> flag)
    {
        ArgumentNullException.ThrowIfNull(flag);
        return Given(flag) is { } text && (flag.EmptyCounts == true || text.Length > 0);
    }

    /// <summary>The flag's value, its default when it has none here.</summary>
    /// <exception cref="FlagException">The text is no value of the flag's type.</exception>
    public T Get<T>(Flag<T> flag)
    {
        ArgumentNullException.ThrowIfNull(flag);
        if (!Has(flag))
        {
            return flag.Default;
        }

        var wrong = _result.Errors.FirstOrDefault(error => error.SymbolResult == _result.GetResult(flag) || error.SymbolResult?.Parent == _result.GetResult(flag));
        return wrong is null
            ? _result.GetRequiredValue(flag).Item1
            : throw new FlagException($"invalid {(((IFlag)flag).IsBoolean ? "boolean " : string.Empty)}value \"{Given(flag)}\" for flag {flag.Name}{(_source is null ? string.Empty : $" in {_source}")}: {wrong.Message}");
    }

    private static bool IsWithoutValue(OptionResult option) =>
        !option.Implicit && option.Option.Arity.MinimumNumberOfValues > 0 && option.IdentifierTokenCount > option.Tokens.Count;

    private static string Unexpected(string word)
    {
        if (word.Length < 2 || word[0] != '-')
        {
            return $"unexpected argument: {word}";
        }

        var equals = word.IndexOf('=', StringComparison.Ordinal);
        var name = equals < 0 ? word : word[..equals];
        return $"flag provided but not defined: {(name.StartsWith("--", StringComparison.Ordinal) ? name[1..] : name)}";
    }

    private string? Given(Option flag) => _result.GetResult(flag) is { Implicit: false, Tokens.Count: > 0 } option ? option.Tokens[^1].Value : null;
}

/// <summary>A flag has a value that it cannot have.</summary>
/// <param name="message">Says which flag, which value, where and why.</param>
public sealed class FlagException(string message) : Exception(message);
