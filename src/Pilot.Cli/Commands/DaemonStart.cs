using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Pilot.Cli.CommandLine;
using Pilot.Cli.Output;
using Pilot.Cli.Processes;
using Pilot.Client;
using Pilot.Ipc;

namespace Pilot.Cli.Commands;

/// <summary>One background start: spawn, watch the child and its socket, report.</summary>
internal sealed class DaemonStart(CommandContext context, string[] command)
{
    private const string NothingTriedYet = "not connected yet"; // the daemon's last_error before its first attempt has ended
    private static readonly TimeSpan ReadyLimit = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan RegistryLimit = TimeSpan.FromSeconds(3); // how long a daemon may report the same obstacle
    private static readonly TimeSpan NatLimit = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan PollStep = TimeSpan.FromMilliseconds(20);

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

            _pid = NativeProcess.StartDetached(command, OutputFile, DaemonCommands.ChildEnvironment(context.Args));
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
            hint ?? (code == ErrorCodes.AlreadyExists ? DaemonCommands.StopHint : $"check logs: {context.Home.LogFile}"));
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
