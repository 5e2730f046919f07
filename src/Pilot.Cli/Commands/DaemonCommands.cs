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
    private const string NothingTriedYet = "not connected yet"; // the daemon's last_error before its first attempt has ended
    private const string StopHint = "stop it first with: pilotctl daemon stop";
    private static readonly TimeSpan ReadyLimit = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan RegistryLimit = TimeSpan.FromSeconds(3); // how long a daemon may report the same obstacle
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan NatLimit = TimeSpan.FromMilliseconds(500);
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

    private static List<string> ChildEnvironment(ParsedArguments arguments)
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

    /// <summary>One background start: spawn, watch the child and its socket, report.</summary>
    private sealed class DaemonStart(CommandContext context, string[] command)
    {
        private readonly bool _hadIdentity = File.Exists(context.Args.Text("identity") ?? Path.Combine(context.Home.Directory, "identity.json"));
        private readonly long _started = Stopwatch.GetTimestamp();
        private int _pid;

        private string OutputFile => Path.Combine(context.Home.Directory, "pilot.start.log");

        public async Task<int> RunAsync()
        {
            Spawn();
            context.Out.Note($"starting daemon (pid {_pid})...");
            JsonElement status = await WaitAsync().ConfigureAwait(false);
            Remember(status);
            await ReportAsync(status).ConfigureAwait(false);
            return 0;
        }

        private void Spawn()
        {
            try
            {
                if (!Directory.Exists(context.Home.Directory))
                {
                    Directory.CreateDirectory(
                        context.Home.Directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
                }

                _pid = NativeProcess.StartDetached(command, OutputFile, ChildEnvironment(context.Args));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or Win32Exception)
            {
                throw new CliException(
                    ErrorCodes.Internal, $"cannot start the daemon: {e.Message}", $"the state directory {context.Home.Directory} must be writable");
            }
        }

        private async Task<JsonElement> WaitAsync()
        {
            JsonElement? last = null;
            string obstacle = string.Empty;
            TimeSpan obstacleSeen = TimeSpan.Zero;
            TimeSpan nextDot = TimeSpan.FromSeconds(1);
            bool dots = false;
            while (true)
            {
                if (NativeProcess.HasEnded(_pid, out int exit))
                {
                    EndDots(dots);
                    throw Died(exit);
                }

                last = AskStatus() ?? last;
                TimeSpan elapsed = Stopwatch.GetElapsedTime(_started);
                if (last is { } status)
                {
                    if (status.Text("state") == DaemonState.Ready)
                    {
                        EndDots(dots);
                        return status;
                    }

                    string error = status.Text("last_error");
                    if (!string.Equals(error, obstacle, StringComparison.Ordinal))
                    {
                        obstacle = error;
                        obstacleSeen = elapsed;
                    }

                    if (error.Length > 0 && error != NothingTriedYet && elapsed - obstacleSeen > RegistryLimit)
                    {
                        EndDots(dots);
                        throw new CliException(
                            ErrorCodes.ConnectionFailed,
                            $"daemon started (pid {_pid}) but is not registered: {error}",
                            "it keeps trying; see: pilotctl daemon status — or stop it with: pilotctl daemon stop");
                    }
                }

                if (elapsed > ReadyLimit)
                {
                    EndDots(dots);
                    throw new CliException(
                        ErrorCodes.Timeout,
                        $"daemon started (pid {_pid}) but did not become ready within {GoDuration.Format(ReadyLimit)}",
                        $"check logs: tail -f {context.Home.LogFile}");
                }

                if (elapsed > nextDot)
                {
                    context.Out.Progress(".");
                    dots = true;
                    nextDot += TimeSpan.FromSeconds(1);
                }

                await Task.Delay(PollStep).ConfigureAwait(false);
            }
        }

        private JsonElement? AskStatus()
        {
            try
            {
                JsonElement status = context.Client.Request(new IpcRequest { Cmd = IpcCommand.Status }, AnswerLimit);
                return status.Whole("pid") == _pid ? status : null;
            }
            catch (PilotException)
            {
                return null; // not there yet; the caller has the deadline
            }
        }

        private CliException Died(int exit)
        {
            const string HintMark = "hint: ";
            string cause = string.Empty;
            string? hint = null;
            try
            {
                string[] lines = [.. File.ReadLines(OutputFile).Where(static l => !string.IsNullOrWhiteSpace(l)).Take(200)];
                cause = Array.Find(lines, static l => l.Contains("daemon start: ", StringComparison.Ordinal)) ?? lines.LastOrDefault() ?? string.Empty;
                hint = Array.Find(lines, static l => l.StartsWith(HintMark, StringComparison.Ordinal))?[HintMark.Length..].Trim();
            }
            catch (IOException)
            {
                // Then the exit status must do.
            }

            int prefix = cause.IndexOf("daemon start: ", StringComparison.Ordinal);
            cause = prefix >= 0 ? cause[(prefix + "daemon start: ".Length)..] : cause;
            string code = cause.Contains("already", StringComparison.Ordinal) || cause.Contains("another daemon", StringComparison.Ordinal)
                ? ErrorCodes.AlreadyExists
                : ErrorCodes.Internal;
            return new CliException(
                code,
                cause.Length > 0 ? "daemon start: " + cause : $"daemon ended at once with status {exit}",
                hint ?? (code == ErrorCodes.AlreadyExists ? StopHint : $"check logs: {context.Home.LogFile}"));
        }

        /// <summary>The next start without flags is to have the same name.</summary>
        private void Remember(JsonElement status)
        {
            string? wanted = context.Args.Text("hostname");
            if (!string.IsNullOrEmpty(wanted) && status.Text("hostname") == wanted && context.Config.Text("hostname") != wanted)
            {
                context.Config.Set("hostname", wanted);
                context.Config.Save();
            }
        }

        private async Task ReportAsync(JsonElement status)
        {
            string hostname = status.Text("hostname");
            string address = status.Text("address");
            string log = status.Text("log_file") is { Length: > 0 } file ? file : context.Home.LogFile;
            if (!context.Out.Json)
            {
                context.Out.Note(_hadIdentity ? "✓ Identity loaded: Ed25519" : "✓ Identity generated: Ed25519");
                context.Out.Note(hostname.Length > 0 ? $"✓ Registered as {HumanFormat.OneLine(hostname)} ({address})" : $"✓ Registered ({address})");
                if (await NatTypeAsync().ConfigureAwait(false) is { Length: > 0 } nat and not "unknown")
                {
                    context.Out.Note("✓ NAT type: " + nat);
                }

                context.Out.Note("✓ Daemon listening on " + context.SocketPath);
            }

            // Not a failure of the start, as in the reference; but who asked for a name must see that it is not there.
            string? wanted = context.Settings.Hostname(context.Args).Value;
            string? warning = !string.IsNullOrEmpty(wanted) && wanted != hostname
                ? $"hostname \"{wanted}\" was not set: {HumanFormat.OneLine(status.Text("last_error"))}"
                : null;
            if (warning is not null)
            {
                context.Out.Note("warning: " + warning);
            }

            string name = hostname.Length > 0 ? $"\n  Hostname: {HumanFormat.OneLine(hostname)}" : string.Empty;
            JsonMap data = new()
            {
                ["pid"] = _pid,
                ["node_id"] = status.Whole("node_id"),
                ["address"] = address,
                ["hostname"] = hostname,
                ["socket"] = context.SocketPath,
                ["log_file"] = log,
            };
            if (warning is not null)
            {
                data["warning"] = warning;
            }

            context.Out.Success(
                data,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"Daemon running (pid {_pid})\n  Address:  {address}{name}\n  Socket:   {context.SocketPath}\n  Logs:     {log}"));
        }

        /// <summary>The NAT is measured by the way; a beacon that answers has a moment for it.</summary>
        private async Task<string> NatTypeAsync()
        {
            long asked = Stopwatch.GetTimestamp();
            while (true)
            {
                try
                {
                    JsonElement info = context.Client.Request(new IpcRequest { Cmd = IpcCommand.Info }, AnswerLimit);
                    string nat = info.Text("nat_type");
                    if (nat is not ("" or "unknown") || info.Text("endpoint").Length == 0 || Stopwatch.GetElapsedTime(asked) > NatLimit)
                    {
                        return nat;
                    }
                }
                catch (PilotException)
                {
                    return string.Empty; // one line less
                }

                await Task.Delay(PollStep).ConfigureAwait(false);
            }
        }

        private void EndDots(bool dots)
        {
            if (dots)
            {
                context.Out.Progress("\n");
            }
        }
    }
}
