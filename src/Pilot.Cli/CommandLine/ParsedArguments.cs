using Pilot.Cli.Output;

namespace Pilot.Cli.CommandLine;

/// <summary>
/// The tokens behind a command name, split into positionals and flags by the rules of 07 §1.2: <c>--key=value</c>,
/// <c>--key value</c> unless the next token begins with <c>--</c>, a missing value is the text <c>true</c>, a single
/// dash is a positional, the last repetition wins. Unknown flags are refused; boolean flags never take a token.
/// A lone <c>--</c> ends the flags.
/// </summary>
internal sealed class ParsedArguments
{
    private readonly Dictionary<string, string> _flags = new(StringComparer.Ordinal);
    private readonly List<string> _positionals = [];

    private ParsedArguments()
    {
    }

    public int Count => _positionals.Count;

    public string this[int index] => _positionals[index];

    public bool HelpRequested { get; private set; }

    public static ParsedArguments Parse(CommandSpec command, ReadOnlySpan<string> tokens)
    {
        ParsedArguments parsed = new();
        for (int i = 0; i < tokens.Length; i++)
        {
            string token = tokens[i];
            if (token == "--")
            {
                parsed._positionals.AddRange(tokens[(i + 1)..]);
                break;
            }

            if (!token.StartsWith("--", StringComparison.Ordinal))
            {
                parsed._positionals.Add(token);
                continue;
            }

            int equals = token.IndexOf('=', StringComparison.Ordinal);
            string name = equals < 0 ? token[2..] : token[2..equals];
            if (name == "help")
            {
                parsed.HelpRequested = true;
                continue;
            }

            FlagSpec flag = Array.Find(command.Flags, f => string.Equals(f.Name, name, StringComparison.Ordinal))
                ?? throw CliException.InvalidArgument(
                    $"unknown flag --{name} for {command.Name}", $"see: pilotctl {command.Name} --help");
            string value;
            if (equals >= 0)
            {
                value = token[(equals + 1)..];
            }
            else if (!flag.IsBoolean && i + 1 < tokens.Length && !tokens[i + 1].StartsWith("--", StringComparison.Ordinal))
            {
                value = tokens[++i];
            }
            else
            {
                value = "true";
            }

            parsed._flags[name] = value;
        }

        return parsed;
    }

    public bool Has(string flag) => _flags.ContainsKey(flag);

    public string? Text(string flag) => _flags.GetValueOrDefault(flag);

    /// <summary>True for <c>true</c>, <c>1</c> and the empty value; false for <c>false</c>, <c>0</c> and absence.</summary>
    public bool Switch(string flag) => _flags.GetValueOrDefault(flag, "false") switch
    {
        "" or "1" or "true" => true,
        "0" or "false" => false,
        string other => throw CliException.InvalidArgument($"invalid boolean for --{flag}: \"{other}\""),
    };

    public TimeSpan Duration(string flag, TimeSpan otherwise) =>
        _flags.TryGetValue(flag, out string? text) ? NumberText.Duration(text, flag) : otherwise;

    public int Integer(string flag, int otherwise) =>
        _flags.TryGetValue(flag, out string? text) ? NumberText.Integer(text, flag) : otherwise;

    public IEnumerable<KeyValuePair<string, string>> Flags => _flags;
}
