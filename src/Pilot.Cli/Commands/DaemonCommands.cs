using System.Collections;
using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Pilot.Cli.CommandLine;
using Pilot.Cli.Output;
using Pilot.Cli.Processes;
using Pilot.Cli.State;
using Pilot.Client;
using Pilot.Ipc;

namespace Pilot.Cli.Commands;

/// <summary><c>daemon start stop status</c> (07 §5). The socket is the truth about a running daemon; the pid file is information.</summary>
internal static class DaemonCommands
{
    internal const string StopHint = "stop it first with: pilotctl daemon stop";
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan PollStep = TimeSpan.FromMilliseconds(20);

    /// <summary>Flags of <c>daemon start</c>; those not named here go to the daemon program under the same name.</summary>
    public static readonly FlagSpec[] StartFlags =
    [
        new("hostname", "name", "name of this node"),
        new("email", "addr", "account e-mail (optional)"),
        new("owner", "addr", "older name of --email"),
        new("registry", "addr", "registry host:port"),
        new("beacon", "addr", "beacon host:port"),
        new("listen", "addr", "UDP address of the tunnel, host:port"),
        new("socket", "path", "Unix socket for local programs"),
        new("identity", "path", "identity file"),
        new("config", "path", "configuration file"),
        new("endpoint", "addr", "fixed public endpoint host:port"),
        new("public", null, "let everybody find and dial this node"),
        new("foreground", null, "run in this terminal"),
        new("log-level", "level", "debug, info, warn or error"),
        new("log-format", "fmt", "text or json"),
        new("log-file", "path", "log file"),
        new("no-encrypt", null, "refused: tunnels are always encrypted"),
        new("no-echo", null, "no echo service on port 7"),
        new("no-dataexchange", null, "no data-exchange service"),
        new("no-eventstream", null, "no event-stream service"),
        new("no-tasksubmit", null, "no task service"),
        new("no-port-mapping", null, "leave the gateway alone: no PCP, NAT-PMP or UPnP"),
        new("registry-tls", null, "TLS to the registry"),
        new("registry-fingerprint", "hex", "SHA-256 of the registry's certificate"),
        new("keepalive", "dur", "registry heartbeat interval"),
        new("idle-timeout", "dur", "close idle streams after this time"),
        new("time-wait", "dur", "time in TIME_WAIT"),
        new("syn-rate-limit", "n", "new streams per second"),
        new("max-conns-per-port", "n", "streams per port"),
        new("max-conns-total", "n", "streams in all"),
        new("trust-auto-approve", "mode", "off, same-network or all"),
        new("accept-registry-trust", null, "accept trust that the registry reports"),
        new("webhook", "url", "webhook URL"),
        new("admin-token", "token", "administrator token (handed over in the environment)"),
        new("networks", "ids", "networks to join"),
    ];

    public static async Task<int> Start(CommandContext context)
    {
        RefuseSecondDaemon(context);
        string[] program = DaemonLocator.Find(context.Environment)
            ?? throw new CliException(
                ErrorCodes.Internal,
                $"{DaemonLocator.ProgramName} not found beside pilotctl or in PATH", "install it, or set PILOT_DAEMON to its path");
        bool foreground = context.Args.Switch("foreground");
        string[] command = [.. program, .. DaemonArguments(context.Args, foreground)];
        if (foreground)
        {
            int error = NativeProcess.Replace(command, ChildEnvironment(context.Args));
            throw new CliException(ErrorCodes.Internal, $"cannot run {command[0]}: {new Win32Exception(error).Message}");
        }

        DaemonStart start = new(context, command);
        return await start.RunAsync().ConfigureAwait(false);
    }

    public static async Task<int> Stop(CommandContext context)
    {
        int pid;
        try
        {
            pid = DaemonSocket.PeerProcess(context.SocketPath) ?? 0;
            JsonElement hello = context.Client.Request(new IpcRequest { Cmd = IpcCommand.Hello, Version = IpcProtocol.Version }, AnswerLimit);
            pid = (int)hello.Whole("pid");
            context.Client.Request(new IpcRequest { Cmd = IpcCommand.Shutdown }, AnswerLimit);
        }
        catch (PilotException e) when (e.Code == PilotErrorCode.NotRunning)
        {
            throw new CliException(ErrorCodes.NotRunning, "daemon is not running");
        }
        catch (PilotException e) when (e.Code is IpcErrorCode.Timeout or PilotErrorCode.ConnectionLost or PilotErrorCode.Protocol)
        {
            // It holds the socket but does not answer: the kernel knows which process that is.
            pid = DaemonSocket.PeerProcess(context.SocketPath)
                ?? throw new CliException(ErrorCodes.Timeout, "the daemon does not answer and its process is unknown", $"lsof -U | grep {context.SocketPath}");
            NativeProcess.Signal(pid, NativeProcess.SigTerm);
        }
        catch (PilotException e)
        {
            throw CommandContext.Failure(e, "daemon stop");
        }

        bool forced = false;
        if (!await EndsAsync(pid, StopLimit).ConfigureAwait(false))
        {
            forced = true;
            NativeProcess.Signal(pid, NativeProcess.SigKill);
            await EndsAsync(pid, AnswerLimit).ConfigureAwait(false);
        }

        JsonMap data = new() { ["pid"] = pid };
        if (forced)
        {
            data["forced"] = true;
        }

        context.Out.Success(data, forced ? $"daemon force-stopped (pid {pid})" : $"daemon stopped (pid {pid})");
        return 0;
    }

    public static Task<int> Status(CommandContext context)
    {
        JsonElement? status = null;
        try
        {
            status = context.Client.Request(new IpcRequest { Cmd = IpcCommand.Status }, AnswerLimit);
        }
        catch (PilotException)
        {
            // Not answering is what this command reports.
        }

        if (context.Args.Text("check") is { } level and not ("false" or "0"))
        {
            return Task.FromResult(Check(context, status, level));
        }

        int? holder = status is null ? DaemonSocket.PeerProcess(context.SocketPath) : null;
        JsonMap data = status is { } answer ? JsonMaps.From(answer) : new JsonMap { ["pid"] = holder ?? 0 };
        data["running"] = status is not null || holder is not null;
        data["responsive"] = status is not null;
        data["pid_file"] = context.Home.PidFile;
        data["socket"] = context.SocketPath;
        context.Out.Success(data, status is { } known ? RunningText(known) : StoppedText(holder));
        return Task.FromResult(0);
    }

    /// <summary>
    /// <c>--check</c> alone and <c>live</c>: it answers. <c>ready</c>: it has registered. <c>reachable</c>: the registry is connected and a beacon, if there
    /// is one, answers, so that peers find this node. Alone it says nothing, as scripts for the reference expect; with a word it says why not.
    /// </summary>
    private static int Check(CommandContext context, JsonElement? status, string level)
    {
        bool isSilent = level is "true" or "1" or "";
        if (!isSilent && level is not ("live" or "ready" or "reachable"))
        {
            throw CliException.InvalidArgument($"invalid --check: \"{level}\"", "live, ready or reachable");
        }

        if (status is not { } known)
        {
            return isSilent ? 1 : throw new CliException(ErrorCodes.NotRunning, "not live: no daemon answers", "start the daemon with: pilotctl daemon start");
        }

        if (isSilent)
        {
            return 0;
        }

        string error = known.Text("last_error") is { Length: > 0 } text ? ": " + HumanFormat.OneLine(text) : string.Empty;
        string? trouble = level == "live" ? null
            : known.Text("state") != DaemonState.Ready ? $"not ready: {known.Text("state")}{error}"
            : level == "ready" ? null
            : !known.Flag("registry_connected") ? $"not reachable: the registry is not connected{error}"
            : known.TryGetProperty("beacon_answering", out JsonElement answering) && answering.ValueKind == JsonValueKind.False ? "not reachable: no beacon answers"
            : null;
        if (trouble is not null)
        {
            throw new CliException(ErrorCodes.ConnectionFailed, trouble);
        }

        if (context.Out.Json)
        {
            context.Out.Success(new JsonMap { ["check"] = level, ["ok"] = true });
        }

        return 0;
    }

    private static string StoppedText(int? holder) => holder is { } pid
        ? $"Daemon: running (pid {pid}), but it does not answer"
        : "Daemon: stopped\n  start with: pilotctl daemon start";

    private static string RunningText(JsonElement status)
    {
        string hostname = status.Text("hostname") is { Length: > 0 } name ? $"\n  Hostname:    {HumanFormat.OneLine(name)}" : string.Empty;
        string nat = status.Text("nat_type") is { Length: > 0 } type ? $"\n  NAT type:    {type}" : string.Empty;
        string error = HumanFormat.OneLine(status.Text("last_error"));
        string trouble = !status.Flag("registry_connected") ? $"\n  Registry:    not connected ({(error.Length > 0 ? error : status.Text("registry"))})"
            : error.Length > 0 ? $"\n  Trouble:     {error}"
            : string.Empty;
        return $"""
            Daemon: running (pid {status.Whole("pid")})
              Node ID:     {status.Whole("node_id")}
              Address:     {status.Text("address")}{hostname}
              Uptime:      {HumanFormat.Clock(status.Number("uptime_secs"))}
              Peers:       {status.Whole("peers")}
              Connections: {status.Whole("connections")}{nat}{trouble}
            """;
    }

    private static void RefuseSecondDaemon(CommandContext context)
    {
        try
        {
            JsonElement status = context.Client.Request(new IpcRequest { Cmd = IpcCommand.Status }, AnswerLimit);
            bool own = string.Equals(status.Text("home"), context.Home.Directory, StringComparison.Ordinal);
            throw new CliException(
                ErrorCodes.AlreadyExists,
                own ? $"daemon is already running (pid {status.Whole("pid")})" : $"daemon is already running (socket {context.SocketPath} is active)",
                StopHint);
        }
        catch (PilotException e) when (e.Code == PilotErrorCode.NotRunning)
        {
            // Free, or a stale socket file, which the daemon replaces under its lock.
        }
        catch (PilotException e) when (e is PilotNotRunningException)
        {
            throw CommandContext.Failure(e, "daemon start");
        }
        catch (PilotException e) when (e.Code == IpcErrorCode.InvalidArgument)
        {
            throw CliException.InvalidArgument($"{e.Message} (longer than the system allows)", "choose another with --socket or PILOT_SOCKET");
        }
        catch (PilotException)
        {
            throw new CliException(ErrorCodes.AlreadyExists, $"daemon is already running (socket {context.SocketPath} is active)", StopHint);
        }
    }

    private static List<string> DaemonArguments(ParsedArguments arguments, bool foreground)
    {
        List<string> list = [];
        foreach (FlagSpec flag in StartFlags)
        {
            if (arguments.Text(flag.Name) is not { } value || flag.Name is "foreground" or "admin-token")
            {
                continue;
            }

            if (flag.Name == "no-encrypt")
            {
                if (arguments.Switch("no-encrypt"))
                {
                    list.Add("-encrypt=false");
                }
            }
            else
            {
                list.Add(flag.IsBoolean ? $"-{flag.Name}={(arguments.Switch(flag.Name) ? "true" : "false")}" : $"-{flag.Name}={value}");
            }
        }

        if (!foreground)
        {
            list.Add("-log-console=false");
        }

        return list;
    }

    internal static List<string> ChildEnvironment(ParsedArguments arguments)
    {
        List<string> list = [];
        foreach (DictionaryEntry variable in System.Environment.GetEnvironmentVariables())
        {
            list.Add($"{variable.Key}={variable.Value}");
        }

        if (arguments.Text("admin-token") is { Length: > 0 } token)
        {
            list.RemoveAll(static v => v.StartsWith("PILOT_ADMIN_TOKEN=", StringComparison.Ordinal));
            list.Add("PILOT_ADMIN_TOKEN=" + token); // not on the command line, which everybody can read
        }

        return list;
    }

    private static async Task<bool> EndsAsync(int pid, TimeSpan limit)
    {
        long started = Stopwatch.GetTimestamp();
        while (NativeProcess.IsAlive(pid))
        {
            if (Stopwatch.GetElapsedTime(started) > limit)
            {
                return false;
            }

            await Task.Delay(PollStep).ConfigureAwait(false);
        }

        return true;
    }
}
