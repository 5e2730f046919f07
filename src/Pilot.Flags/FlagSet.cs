using System.CommandLine;
using System.Text;

namespace Pilot.Flags;

/// <summary>
/// The flags of a server in Go style (07 §8) over System.CommandLine: <c>-name value</c>, <c>-name=value</c>, one or two dashes, booleans with a value
/// only behind <c>=</c>. The same declarations read the command line, the environment and the configuration file, and write the help.
/// </summary>
public sealed class FlagSet
{
    private readonly Command _command;
    private readonly bool _emptyCounts;
    private readonly Option<bool> _help = new("-help", "-h") { Arity = ArgumentArity.Zero };
    private readonly ParserConfiguration _configuration = new() { EnablePosixBundling = false, ResponseFileTokenReplacer = null };
    private readonly Dictionary<string, IFlag> _flags = new(StringComparer.Ordinal);

    /// <param name="program">Name of the program.</param>
    /// <param name="emptyCounts">True: an empty text is a value like others. False: it counts as not given, unless the flag says otherwise.</param>
    public FlagSet(string program, bool emptyCounts = false)
    {
        _command = new Command(program) { _help }; // no RootCommand: it would bring a version option, directives and another help
        _emptyCounts = emptyCounts;
    }

    /// <summary>A text.</summary>
    public Flag<string> Text(string name, string valueName, string help, string otherwise = "", string? variable = null, bool? emptyCounts = null) =>
        Add(new Flag<string>(name, valueName, help, otherwise, static texts => texts[^1]) { Variable = variable, EmptyCounts = emptyCounts });

    /// <summary>A text of which the conversion makes something, or throws <see cref="FormatException"/> with the reason.</summary>
    public Flag<T> Word<T>(string name, string valueName, string help, T otherwise, Func<string, T> convert) =>
        Add(new Flag<T>(name, valueName, help, otherwise, texts => convert(texts[^1])));

    /// <summary>A flag whose repetitions add up: the conversion gets all texts. It throws <see cref="FormatException"/> with the reason.</summary>
    public Flag<T> Sum<T>(string name, string valueName, string help, T otherwise, Func<IReadOnlyList<string>, T> convert) =>
        Add(new Flag<T>(name, valueName, help, otherwise, convert));

    /// <summary>A boolean.</summary>
    public Flag<bool> Switch(string name, string help, bool otherwise = false, string? variable = null) =>
        Add(new Flag<bool>(name, null, help, otherwise, static texts => GoValue.TryBool(texts[^1], out var value) ? value : throw new FormatException("not a boolean"))
        {
            Variable = variable,
            EmptyCounts = variable is null, // NAME= in an environment is an unset variable, -name= is a mistake
        });

    /// <summary>A number from 0.</summary>
    public Flag<int> Number(string name, string help, int otherwise) =>
        Add(new Flag<int>(name, "N", help, otherwise, static texts => GoValue.TryNumber(texts[^1], out var value) ? value : throw new FormatException("not a number")));

    /// <summary>A duration from 0.</summary>
    public Flag<TimeSpan> Duration(string name, string help, TimeSpan otherwise) =>
        Add(new Flag<TimeSpan>(name, "DURATION", help, otherwise, static texts => GoValue.TryDuration(texts[^1], out var value) ? value : throw new FormatException("not a duration")));

    /// <summary>The flag list, in the order of declaration.</summary>
    public string Usage
    {
        get
        {
            var text = new StringBuilder($"Usage of {_command.Name}:\n");
            foreach (var option in _command.Options.Where(option => option != _help))
            {
                var flag = _flags[option.Name];
                text.Append($"  {option.Name}{(flag.IsBoolean ? string.Empty : $" {option.HelpName}")}\n    \t{option.Description}");
                text.Append(flag.DefaultText.Length == 0 ? string.Empty : $" (default {flag.DefaultText})").Append('\n');
            }

            return text.Append($"  {string.Join(", ", _help.Aliases)}, {_help.Name}\n    \tthis list\n").ToString();
        }
    }

    /// <summary>Reads a command line.</summary>
    public FlagValues Read(IReadOnlyList<string> arguments) => Parse(Tokens(arguments), source: null);

    /// <summary>Reads pairs of flag name and text, as a configuration file has them; names that are no flag are left out. Error texts name the source.</summary>
    public FlagValues Read(IEnumerable<KeyValuePair<string, string>> pairs, string source) =>
        Parse(pairs.Where(pair => _flags.ContainsKey("-" + pair.Key)).SelectMany(static pair => Token("-" + pair.Key, pair.Value)), source);

    /// <summary>Reads the environment variables that flags name.</summary>
    /// <param name="variable">Name to content, null when not set.</param>
    public FlagValues ReadEnvironment(Func<string, string?> variable) =>
        Parse(
            _flags.Values.Select(flag => (flag.FlagName, Content: flag.Variable is null ? null : variable(flag.Variable)))
                .Where(static pair => pair.Content is not null).SelectMany(static pair => Token("-" + pair.FlagName, pair.Content!)),
            "the environment");

    private Flag<T> Add<T>(Flag<T> flag)
    {
        flag.EmptyCounts ??= _emptyCounts;
        _flags.Add(flag.Name, flag);
        _command.Add(flag);
        return flag;
    }

    private FlagValues Parse(IEnumerable<string> tokens, string? source)
    {
        // The program's name leads, else System.CommandLine takes a first argument that ends like it (-config=/etc/pilot-daemon) for it.
        return new FlagValues(_command.Parse([_command.Name, .. tokens], _configuration), _help, source);
    }

    /// <summary>
    /// The one adaption of Go's rules to System.CommandLine: says which words are flags and which are their values. "--name" becomes "-name"; a value
    /// goes into the token of its flag, so that it may look like a flag and that a boolean never takes the next word; reading ends, as in Go, at help
    /// and at the first word that is no flag. That word goes behind "--", where System.CommandLine reports it and takes it for nothing else
    /// (-name:value, a directive, a response file).
    /// </summary>
    private IEnumerable<string> Tokens(IReadOnlyList<string> arguments)
    {
        for (var i = 0; i < arguments.Count; i++)
        {
            var argument = arguments[i];
            var equals = argument.IndexOf('=', StringComparison.Ordinal);
            var name = equals < 0 ? argument : argument[..equals];
            name = name.StartsWith("--", StringComparison.Ordinal) ? name[1..] : name;
            if (name == _help.Name || _help.Aliases.Contains(name))
            {
                yield return _help.Name;
                yield break;
            }

            if (!_flags.TryGetValue(name, out var flag))
            {
                yield return "--";
                if (argument != "--" || ++i < arguments.Count)
                {
                    yield return arguments[i];
                }

                yield break;
            }

            string? value = equals >= 0 ? argument[(equals + 1)..] : flag.IsBoolean ? "true" : ++i < arguments.Count ? arguments[i] : null;
            foreach (var token in value is null ? [name] : Token(name, value))
            {
                yield return token;
            }
        }
    }

    // System.CommandLine drops an empty value behind "=": it has to be a word of its own.
    private static string[] Token(string name, string value) => value.Length == 0 ? [name, value] : [$"{name}={value}"];
}
