using System.Text;
using Pilot.Cli.Commands;

namespace Pilot.Cli.CommandLine;

/// <summary>Texts of <c>help</c> and of a wrong invocation.</summary>
internal static class UsagePage
{
    private const int SummaryColumn = 26;

    public static string Text()
    {
        StringBuilder text = new("pilotctl — drive the Pilot daemon of this machine\n\nUsage: pilotctl [--json] <command> [arguments]\n");
        foreach (IGrouping<string, CommandSpec> section in CommandTable.All.GroupBy(static c => c.Section))
        {
            text.Append('\n').Append(section.Key).Append(":\n");
            foreach (CommandSpec command in section)
            {
                text.Append("  ").Append(command.Name.PadRight(SummaryColumn)).Append(command.Summary).Append('\n');
            }
        }

        return text.Append(
            """

            Help for one command: pilotctl help <command>    All commands as JSON: pilotctl --json context
            A <node> is a hostname, an address such as 0:0000.0000.0002, or a decimal node id.
            Environment: PILOT_HOME, PILOT_SOCKET, PILOT_REGISTRY, PILOT_BEACON, PILOT_HOSTNAME, PILOT_EMAIL, PILOT_DAEMON
            """).ToString();
    }

    public static string For(CommandSpec command)
    {
        StringBuilder text = new($"{command.Summary}\n\nUsage: pilotctl {command.Usage}\n");
        if (command.Flags.Length > 0)
        {
            text.Append("\nFlags:\n");
            foreach (FlagSpec flag in command.Flags)
            {
                string name = flag.IsBoolean ? "--" + flag.Name : $"--{flag.Name} <{flag.Placeholder}>";
                text.Append("  ").Append(name.PadRight(SummaryColumn)).Append(' ').Append(flag.Meaning).Append('\n');
            }
        }

        return text.Append($"\nJSON data: {command.Returns}").ToString();
    }
}
