using Pilot.Cli.Commands;

namespace Pilot.Cli.CommandLine;

/// <summary>One command: what the parser, the help pages, <c>context</c> and the dispatcher need to know.</summary>
internal sealed class CommandSpec
{
    /// <summary>One word, or two for a command of a group (<c>daemon start</c>).</summary>
    public required string Name { get; init; }

    /// <summary>Section of the usage page.</summary>
    public required string Section { get; init; }

    public required string Summary { get; init; }

    /// <summary>Positional placeholders, <c>&lt;required&gt;</c> or <c>[optional]</c>.</summary>
    public string[] Arguments { get; init; } = [];

    public FlagSpec[] Flags { get; init; } = [];

    /// <summary>More arguments than it has are no error: scripts for the reference give set-public a node (07 §6.2).</summary>
    public bool IgnoresExtraArguments { get; init; }

    /// <summary>Synopsis in usage errors, when it is not simply name, arguments and flags.</summary>
    public string? Synopsis { get; init; }

    /// <summary>Keys of <c>data</c>, comma-separated.</summary>
    public required string Returns { get; init; }

    public bool NeedsDaemon { get; init; } = true;

    /// <summary>Part of the reference's command set (<c>1.2</c>) or added by us (<c>2.0</c>).</summary>
    public string Since { get; init; } = "1.2";

    public required Func<CommandContext, Task<int>> Run { get; init; }

    public int RequiredArguments => Arguments.Count(static a => a.StartsWith('<'));

    public string Usage => Synopsis ?? string.Join(' ', [Name, .. Arguments, .. Flags.Select(FlagText)]);

    public static string FlagText(FlagSpec flag) =>
        flag.IsBoolean ? $"[--{flag.Name}]" : $"[--{flag.Name} <{flag.Placeholder}>]";
}
