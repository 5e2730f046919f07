using Pilot.Cli.CommandLine;
using Pilot.Cli.Commands;
using Pilot.Cli.Output;
using Pilot.Cli.State;
using Pilot.Client;

namespace Pilot.Cli;

/// <summary>From argv to exit status (07 §1, §2.4).</summary>
internal static class CliProgram
{
    private const int UsageExit = 2;

    /// <summary>Blocking on purpose: most commands are one request on this thread, and need no scheduler.</summary>
    public static int Run(
        string[] arguments, Stream stdout, Stream stderr, bool stderrIsTerminal, Func<string, string?> environment)
    {
        // --json counts wherever it stands, even where a flag expects its value.
        string[] tokens = Array.FindAll(arguments, static a => a != "--json");
        CliOutput output = new(tokens.Length != arguments.Length, stdout, stderr, stderrIsTerminal);
        try
        {
            if (tokens.Length == 0)
            {
                return NoCommand(output);
            }

            if (tokens[0] is "--help" or "-h")
            {
                return BootstrapCommands.ShowUsage(output).GetAwaiter().GetResult();
            }

            string name = tokens[0] == "--version" ? "version" : tokens[0];
            int used = 1;
            CommandSpec? command = CommandTable.Find(name);
            if (CommandTable.GroupHint(name) is { } hints)
            {
                (command, used) = FindInGroup(name, tokens, command, hints);
            }

            if (command is null)
            {
                return UnknownCommand(output, name);
            }

            ParsedArguments parsed = ParsedArguments.Parse(command, tokens.AsSpan(used));
            if (parsed.HelpRequested)
            {
                return BootstrapCommands.ShowHelp(output, command).GetAwaiter().GetResult();
            }

            if (parsed.Count < command.RequiredArguments)
            {
                throw CliException.Usage(command.Usage);
            }

            int known = command.Arguments.Length;
            if (parsed.Count > known && !command.IgnoresExtraArguments)
            {
                // Half a sentence would be sent otherwise: --message hello world.
                throw CliException.InvalidArgument(
                    $"unexpected argument \"{parsed[known]}\" for {command.Name}", "text with spaces belongs in quotes; usage: pilotctl " + command.Usage);
            }

            CommandContext context = new(command, parsed, output, PilotHome.FromEnvironment(environment), environment);
            return command.Run(context).GetAwaiter().GetResult();
        }
        catch (CliException e)
        {
            output.Error(e.Code, e.Message, e.Hint);
            return e.ExitCode;
        }
        catch (PilotException e)
        {
            CliException failure = CommandContext.Failure(e, tokens[0]);
            output.Error(failure.Code, failure.Message, failure.Hint);
            return 1;
        }
        catch (IOException e)
        {
            // Our own input or output failed: a full disk, a reader that went away.
            output.Error(ErrorCodes.Internal, $"{tokens[0]}: {e.Message}", null);
            return 1;
        }
    }

    private static (CommandSpec? Command, int Used) FindInGroup(
        string group, string[] tokens, CommandSpec? bare, (string Missing, string Unknown) hints)
    {
        bool hasWord = tokens.Length > 1 && !tokens[1].StartsWith('-');
        if (!hasWord)
        {
            if (bare is not null)
            {
                return (bare, 1);
            }

            return tokens.Length > 1 && tokens[1] is "--help" or "-h"
                ? (CommandTable.Find("help"), tokens.Length)
                : throw CliException.InvalidArgument("missing subcommand", hints.Missing);
        }

        return (
            CommandTable.Find(group + " " + tokens[1])
                ?? throw CliException.InvalidArgument($"unknown {group} subcommand: {tokens[1]}", hints.Unknown),
            2);
    }

    private static int NoCommand(CliOutput output)
    {
        if (output.Json)
        {
            output.Error(ErrorCodes.InvalidArgument, "usage: pilotctl <command>", "run 'pilotctl context' for the full command list");
        }
        else
        {
            output.ErrorText(UsagePage.Text());
        }

        return UsageExit;
    }

    private static int UnknownCommand(CliOutput output, string name)
    {
        if (output.Json)
        {
            output.Error(ErrorCodes.InvalidArgument, "unknown command: " + name, "run 'pilotctl context' for the full command list");
            return 1;
        }

        output.ErrorText($"unknown command: {name}\n\n{UsagePage.Text()}");
        return UsageExit;
    }
}
