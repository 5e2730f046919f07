using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Pilot.Cli.CommandLine;
using Pilot.Cli.Output;
using Pilot.Cli.Streams;
using Pilot.Client;
using Pilot.Ipc;

namespace Pilot.Cli.Commands;

/// <summary><c>ping</c> (07 §6.5): probes over one stream to the peer's echo port, each with its own limit and its path; exit 1 when nothing came back.</summary>
internal static class PingCommand
{
    public const ushort EchoPort = 7; // 06 §2
    private static readonly TimeSpan DefaultTimeout = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan ProbeLimit = TimeSpan.FromSeconds(5);

    public static async Task<int> Run(CommandContext context)
    {
        bool untilDirect = context.Args.Switch("until-direct");
        int count = context.Args.Integer("count", untilDirect ? int.MaxValue : 4);
        TimeSpan timeout = context.Args.Duration("timeout", DefaultTimeout);
        TimeSpan interval = context.Args.Duration("interval", TimeSpan.FromSeconds(1));
        if (count < 1)
        {
            throw CliException.InvalidArgument($"invalid --count: {count} (at least 1)");
        }

        string address = NodeArgument.Address(context, context.Args[0]);
        context.Out.Human("PING " + address);
        PingRun run = new(context, address, timeout, untilDirect);
        await using (run.ConfigureAwait(false))
        {
            return await run.RunAsync(count, interval).ConfigureAwait(false);
        }
    }

    private sealed class PingRun(CommandContext context, string address, TimeSpan timeout, bool untilDirect) : IAsyncDisposable
    {
        private readonly long _started = Stopwatch.GetTimestamp();
        private readonly List<JsonMap> _results = [];
        private readonly List<double> _times = [];
        private PilotStream? _stream;
        private string _path = string.Empty;
        private string _pathLine = string.Empty;
        private int _pathChanges;
        private double? _setupMs;

        public async Task<int> RunAsync(int count, TimeSpan interval)
        {
            bool timedOut = false;
            for (int sequence = 0; sequence < count; sequence++)
            {
                if (sequence > 0 && interval > TimeSpan.Zero)
                {
                    TimeSpan pause = interval < Left() ? interval : Left();
                    await Task.Delay(pause > TimeSpan.Zero ? pause : TimeSpan.Zero).ConfigureAwait(false);
                }

                if (Left() <= TimeSpan.Zero)
                {
                    timedOut = true;
                    break;
                }

                await ProbeAsync(sequence).ConfigureAwait(false);
                if (untilDirect && _times.Count > 0 && PathLine.IsDirect(_path))
                {
                    break;
                }
            }

            Report(timedOut);
            return _times.Count > 0 && (!untilDirect || PathLine.IsDirect(_path)) ? 0 : 1;
        }

        public ValueTask DisposeAsync() => _stream?.DisposeAsync() ?? ValueTask.CompletedTask;

        private TimeSpan Left() => timeout - Stopwatch.GetElapsedTime(_started);

        private async Task ProbeAsync(int sequence)
        {
            try
            {
                _stream ??= await DialAsync().ConfigureAwait(false);
                byte[] probe = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"ping-{sequence}"));
                TimeSpan limit = Left() < ProbeLimit ? Left() : ProbeLimit;
                using CancellationTokenSource stop = new(limit > TimeSpan.Zero ? limit : TimeSpan.FromMilliseconds(1));
                long sent = Stopwatch.GetTimestamp();
                await _stream.WriteAsync(probe, stop.Token).ConfigureAwait(false);
                byte[] echo = new byte[probe.Length];
                await _stream.ReadExactlyAsync(echo, stop.Token).ConfigureAwait(false);
                TimeSpan time = Stopwatch.GetElapsedTime(sent);
                if (!echo.AsSpan().SequenceEqual(probe))
                {
                    throw new IOException("wrong echo");
                }

                _times.Add(time.TotalMilliseconds);
                Answered(sequence, echo.Length, time);
            }
            catch (PilotException e) when (e is PilotNotRunningException || e.Code == PilotErrorCode.ConnectionLost)
            {
                throw CommandContext.Failure(e, "ping");
            }
            catch (PilotException e)
            {
                await FailAsync(sequence, "dial: daemon: " + e.Message).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                await FailAsync(sequence, "timeout").ConfigureAwait(false);
            }
            catch (IOException e)
            {
                await FailAsync(sequence, "read: " + e.Message).ConfigureAwait(false);
            }
        }

        /// <summary>The line of a reply, with the path that carries the stream now; a change of it is told before.</summary>
        private void Answered(int sequence, int bytes, TimeSpan time)
        {
            JsonMap result = new() { ["seq"] = sequence, ["bytes"] = bytes, ["rtt_ms"] = Math.Round(time.TotalMilliseconds, 3) };
            string line = _pathLine;
            try
            {
                JsonElement now = context.Client.Request(new IpcRequest { Cmd = IpcCommand.Path, To = address });
                line = PathLine.Format(now);
                _path = now.Text("path");
                result["endpoint"] = now.Text("endpoint");
                if (now.Text("via") is { Length: > 0 } via)
                {
                    result["via"] = via;
                }
            }
            catch (PilotException e) when (e.Code == IpcErrorCode.UnknownCommand)
            {
                // An older daemon: the path of the dial is all there is.
            }

            if (_pathLine.Length > 0 && line != _pathLine)
            {
                _pathChanges++;
                context.Out.Human($"path changed: {_pathLine} → {line}");
            }

            _pathLine = line;
            result["path"] = _path;
            _results.Add(result);
            context.Out.Human($"seq={sequence} bytes={bytes} time={GoDuration.Format(time)}{(line.Length > 0 ? " " + line : string.Empty)}");
        }

        private async Task<PilotStream> DialAsync()
        {
            PilotStream stream = await context.Client.DialAsync(address, EchoPort, Left()).ConfigureAwait(false);
            _path = stream.Path;
            _setupMs ??= stream.SetupTime?.TotalMilliseconds;
            return stream;
        }

        /// <summary>A late echo would be taken for the next one, so a failed probe ends its stream.</summary>
        private async Task FailAsync(int sequence, string error)
        {
            if (_stream is { } broken)
            {
                _stream = null;
                await broken.DisposeAsync().ConfigureAwait(false);
            }

            _results.Add(new JsonMap { ["seq"] = sequence, ["error"] = error });
            context.Out.Human($"seq={sequence} error: {HumanFormat.OneLine(error)}");
        }

        private void Report(bool timedOut)
        {
            int sent = _results.Count;
            double loss = sent == 0 ? 0 : Math.Round(100.0 * (sent - _times.Count) / sent, 1);
            JsonMap data = new()
            {
                ["target"] = address, ["results"] = _results, ["timeout"] = timedOut,
                ["sent"] = sent, ["received"] = _times.Count, ["loss"] = loss,
            };
            if (untilDirect)
            {
                data["direct"] = _times.Count > 0 && PathLine.IsDirect(_path);
            }

            string times = string.Empty;
            if (_times.Count > 0)
            {
                data["min_ms"] = Math.Round(_times.Min(), 3);
                data["avg_ms"] = Math.Round(_times.Average(), 3);
                data["max_ms"] = Math.Round(_times.Max(), 3);
                data["path"] = _path;
                data["path_changes"] = _pathChanges;
                times = string.Create(
                    CultureInfo.InvariantCulture, $", min/avg/max {_times.Min():0.0##}/{_times.Average():0.0##}/{_times.Max():0.0##} ms, path {_path}");
            }

            if (_setupMs is { } setup)
            {
                data["setup_ms"] = Math.Round(setup, 3);
            }

            if (timedOut)
            {
                context.Out.Human("timeout");
            }

            if (context.Out.Json)
            {
                context.Out.Success(data);
            }
            else
            {
                context.Out.Human(string.Create(CultureInfo.InvariantCulture, $"{sent} sent, {_times.Count} received, {loss:0.#}% loss{times}"));
            }
        }
    }
}
