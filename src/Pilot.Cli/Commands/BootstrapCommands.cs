using System.Reflection;
using System.Text.Json;
using Pilot.Cli.CommandLine;
using Pilot.Cli.Output;
using Pilot.Cli.Processes;
using Pilot.Cli.State;

namespace Pilot.Cli.Commands;

/// <summary><c>init config context version help</c>: local files and texts only (07 §4).</summary>
internal static class BootstrapCommands
{
    private const string ContextVersion = "2.0";

    public static string Version { get; } =
        typeof(BootstrapCommands).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "0";

    public static Task<int> Init(CommandContext context)
    {
        ConfigFile config = context.Config;

        // Values that stand there already stay, unless a flag says otherwise.
        string? registryGiven = context.Args.Text("registry") ?? config.Text("registry");
        string registry = registryGiven ?? Settings.DefaultRegistry;
        string beacon = context.Args.Text("beacon") ?? config.Text("beacon") ?? Settings.BeaconOf(registry);
        string socket = context.Args.Text("socket") ?? config.Text("socket") ?? Settings.DefaultSocket;
        string? hostname = context.Args.Text("hostname");
        config.Set("registry", registry);
        config.Set("beacon", beacon);
        config.Set("socket", socket);
        if (!string.IsNullOrEmpty(hostname))
        {
            config.Set("hostname", hostname);
        }

        SaveChecked(context);
        context.Out.Success(new JsonMap
        {
            ["config_path"] = context.Home.ConfigFile,
            ["registry"] = registry,
            ["beacon"] = beacon,
            ["socket"] = socket,
            ["hostname"] = config.Text("hostname") ?? string.Empty,
        });
        return Task.FromResult(0);
    }

    /// <summary>What the daemon would refuse later is refused now.</summary>
    private static void SaveChecked(CommandContext context) =>
        context.Config.Save(path => ConfigCheck.Problem(path, context.Home.Directory, context.Environment));

    public static Task<int> ShowOrSetConfig(CommandContext context)
    {
        if (context.Args.Text("set") is { } assignment)
        {
            int equals = assignment.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0)
            {
                throw CliException.Usage("config --set key=value");
            }

            string key = assignment[..equals];
            string value = assignment[(equals + 1)..];
            context.Config.Set(key, value);
            SaveChecked(context);
            context.Out.Success(new JsonMap { ["key"] = key, ["value"] = Masked(key, value) });
            return Task.FromResult(0);
        }

        JsonMap data = new();
        foreach (KeyValuePair<string, object?> member in context.Config.Values.Sorted())
        {
            data[member.Key] = member.Value is JsonElement { ValueKind: JsonValueKind.String } text
                ? Masked(member.Key, text.GetString()!)
                : member.Value;
        }

        Settings settings = context.Settings;
        Setting registry = settings.Registry();
        Setting socket = settings.Socket();
        if (!data.ContainsKey("registry"))
        {
            data["registry"] = registry.Value;
        }

        if (!data.ContainsKey("socket"))
        {
            data["socket"] = socket.Value;
        }

        data["config_path"] = context.Home.ConfigFile;
        data["pid_file"] = context.Home.PidFile;
        data["log_file"] = context.Home.LogFile;
        data["effective"] = new JsonMap
        {
            ["registry"] = Effective(registry),
            ["beacon"] = Effective(settings.Beacon()),
            ["socket"] = Effective(socket),
            ["hostname"] = Effective(settings.Hostname()),
            ["email"] = Effective(settings.Email()),
        };
        if (context.Config.WasUnreadable)
        {
            data["warning"] = "config.json is not a readable JSON object and counts as empty";
        }

        context.Out.Success(data);
        return Task.FromResult(0);
    }

    public static Task<int> ShowVersion(CommandContext context)
    {
        context.Out.Success(
            new JsonMap
            {
                ["version"] = Version,
                ["ipc_version"] = Ipc.IpcProtocol.Version,
                ["runtime"] = System.Environment.Version.ToString(),
            },
            "pilotctl " + Version);
        return Task.FromResult(0);
    }

    public static Task<int> ShowHelp(CommandContext context)
    {
        if (context.Args.Count == 0)
        {
            return ShowUsage(context.Out);
        }

        string name = string.Join(' ', Enumerable.Range(0, Math.Min(2, context.Args.Count)).Select(i => context.Args[i]));
        CommandSpec? command = CommandTable.Find(name) ?? CommandTable.Find(context.Args[0]);
        return command is null
            ? throw CliException.InvalidArgument("unknown command: " + name, "run 'pilotctl help' for the list")
            : ShowHelp(context.Out, command);
    }

    public static Task<int> ShowUsage(CliOutput output)
    {
        if (output.Json)
        {
            output.Success(ContextData());
        }
        else
        {
            output.Text(UsagePage.Text());
        }

        return Task.FromResult(0);
    }

    public static Task<int> ShowHelp(CliOutput output, CommandSpec command)
    {
        if (output.Json)
        {
            JsonMap data = Describe(command);
            data["command"] = command.Name;
            data["usage"] = "pilotctl " + command.Usage;
            output.Success(data);
        }
        else
        {
            output.Text(UsagePage.For(command));
        }

        return Task.FromResult(0);
    }

    public static Task<int> ShowContext(CommandContext context)
    {
        context.Out.Success(ContextData());
        return Task.FromResult(0);
    }

    private static JsonMap ContextData()
    {
        JsonMap commands = new();
        foreach (CommandSpec command in CommandTable.All)
        {
            commands[command.Name] = Describe(command);
        }

        JsonMap errors = new();
        foreach ((string code, string meaning) in ErrorCodes.All)
        {
            errors[code] = meaning;
        }

        return new JsonMap
        {
            ["version"] = ContextVersion,
            ["commands"] = commands,
            ["error_codes"] = errors,
            ["global_flags"] = new JsonMap { ["--json"] = "one JSON object on stdout; errors as one JSON object on stderr" },
            ["environment"] = new JsonMap
            {
                ["PILOT_REGISTRY"] = $"registry host:port (default {Settings.DefaultRegistry})",
                ["PILOT_BEACON"] = "beacon host:port (default: the registry's host, port 9001)",
                ["PILOT_SOCKET"] = $"daemon socket (default {Settings.DefaultSocket})",
                ["PILOT_HOME"] = "state directory (default ~/.pilot)",
                ["PILOT_HOSTNAME"] = "hostname for daemon start",
                ["PILOT_EMAIL"] = "account e-mail for daemon start",
                ["PILOT_DAEMON"] = "path of the pilot-daemon program",
            },
            ["config_file"] = "~/.pilot/config.json",
        };
    }

    private static JsonMap Describe(CommandSpec command)
    {
        JsonMap flags = new();
        foreach (FlagSpec flag in command.Flags)
        {
            flags["--" + flag.Name] = new JsonMap { ["type"] = flag.Placeholder ?? "bool", ["description"] = flag.Meaning };
        }

        return new JsonMap
        {
            ["args"] = command.Arguments.Concat(command.Flags.Select(CommandSpec.FlagText)),
            ["description"] = command.Summary,
            ["returns"] = command.Returns,
            ["since"] = command.Since,
            ["needs_daemon"] = command.NeedsDaemon,
            ["flags"] = flags,
        };
    }

    private static JsonMap Effective(Setting setting) => new() { ["value"] = setting.Value, ["source"] = setting.Source };

    /// <summary>Tokens are not shown.</summary>
    private static string Masked(string key, string value) =>
        value.Length > 0 && (key.Contains("token", StringComparison.OrdinalIgnoreCase) || key.Contains("secret", StringComparison.OrdinalIgnoreCase))
            ? "********"
            : value;
}
