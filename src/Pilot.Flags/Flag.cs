using System.CommandLine;
using System.CommandLine.Parsing;

namespace Pilot.Flags;

/// <summary>One flag of a server: name, type, default and help in one declaration. Made by <see cref="FlagSet"/>.</summary>
/// <typeparam name="T">Type of the value.</typeparam>
// The tuple hides bool from System.CommandLine, which gives an option of that type only "true" and "false" and takes other texts for stray words.
public sealed class Flag<T> : Option<ValueTuple<T>>, IFlag
{
    /// <param name="name">Without dash.</param>
    /// <param name="valueName">What the help calls the value; null for a boolean flag.</param>
    /// <param name="help">One line.</param>
    /// <param name="otherwise">Default.</param>
    /// <param name="convert">All texts given, in order (never none), to the value; throws <see cref="FormatException"/> with the reason.</param>
    internal Flag(string name, string? valueName, string help, T otherwise, Func<IReadOnlyList<string>, T> convert)
        : base("-" + name)
    {
        FlagName = name;
        HelpName = valueName;
        Description = help;
        Default = otherwise;
        DefaultValueFactory = _ => new(otherwise);
        Arity = ArgumentArity.ExactlyOne;
        AllowMultipleArgumentsPerToken = true; // in this library's words: a repeated flag is no error
        CustomParser = result =>
        {
            try
            {
                return new(convert([.. result.Tokens.Select(static token => token.Value)]));
            }
            catch (FormatException exception)
            {
                result.AddError(exception.Message);
                return new(otherwise);
            }
        };
    }

    /// <inheritdoc/>
    public string FlagName { get; }

    /// <summary>What holds when the flag is not given.</summary>
    public T Default { get; }

    /// <inheritdoc/>
    public string? Variable { get; init; }

    /// <summary>True: an empty value says "none". False: it counts as not given, as in <c>-hostname "$NAME"</c> with an unset variable.</summary>
    public bool? EmptyCounts { get; internal set; }

    bool IFlag.IsBoolean => HelpName is null;

    string IFlag.DefaultText => Default switch
    {
        bool value => value ? "true" : string.Empty,
        string text => text,
        int number when number != 0 => FormattableString.Invariant($"{number}"),
        TimeSpan span when span != TimeSpan.Zero => GoValue.Duration(span),
        _ => string.Empty,
    };
}

/// <summary>What does not depend on a flag's type.</summary>
public interface IFlag
{
    /// <summary>Name without dash.</summary>
    string FlagName { get; }

    /// <summary>Environment variable with the same meaning, or null.</summary>
    string? Variable { get; }

    /// <summary>True when the flag may stand without a value.</summary>
    internal bool IsBoolean { get; }

    /// <summary>The default as one would type it; empty when there is none worth telling.</summary>
    internal string DefaultText { get; }
}
