using System.Diagnostics;
using System.Globalization;
using Pilot.Cli.CommandLine;
using Pilot.Cli.Output;
using Pilot.Cli.Streams;
using Pilot.Client;

namespace Pilot.Cli.Commands;

/// <summary><c>bench</c> (07 §6.5): sends a known pattern to the echo port, checks every byte that comes back. Figures in MiB/s.</summary>
internal static class BenchCommand
{
    private const double MiB = 1 << 20;
    private const double LargestSize = 1 << 20; // MiB
    private const int ChunkSize = 256 << 10; // bytes, a multiple of the pattern's period
    private const int PatternPeriod = 256; // byte i of the data is i mod 256
    private static readonly TimeSpan DefaultTimeout = TimeSpan.FromSeconds(120);
    private static readonly TimeSpan ProgressStep = TimeSpan.FromMilliseconds(250);

    public static async Task<int> Run(CommandContext context)
    {
        TimeSpan timeout = context.Args.Duration("timeout", DefaultTimeout);
        long size = Size(context);
        string address = NodeArgument.Address(context, context.Args[0]);
        PilotStream stream = await PeerDial.OpenAsync(context, address, PingCommand.EchoPort, timeout, "echo port").ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
        {
            context.Out.Human($"BENCH {address} — sending {HumanFormat.Size(size)} via echo port");
            BenchRun run = new(stream, size);
            await run.RunAsync(timeout, new ProgressLine(context.Out, size)).ConfigureAwait(false);
            Report(context, address, stream, size, run);
            return run.Corrupt ? 1 : 0;
        }
    }

    private static long Size(CommandContext context)
    {
        if (context.Args.Count < 2)
        {
            return (long)MiB;
        }

        string text = context.Args[1];
        if (!double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double mib))
        {
            throw CliException.InvalidArgument($"invalid size: strconv.ParseFloat: parsing \"{text}\": invalid syntax");
        }

        return mib is > 0 and <= LargestSize && mib * MiB >= 1
            ? (long)(mib * MiB)
            : throw CliException.InvalidArgument($"invalid size: {text} (MiB, above 0 and at most {LargestSize:0})");
    }

    private static void Report(CommandContext context, string address, PilotStream stream, long size, BenchRun run)
    {
        double sendRate = Rate(run.Sent, run.SendTime);
        double totalRate = Rate(run.Received, run.TotalTime);
        if (run.Corrupt)
        {
            throw new CliException(ErrorCodes.Internal, $"bench: the echo differs from what was sent near byte {run.Received}");
        }

        if (run.Failure is { } failure)
        {
            throw new CliException(ErrorCodes.ConnectionFailed, $"bench: {failure} (got {run.Received} of {size} bytes)");
        }

        if (context.Out.Json)
        {
            context.Out.Success(new JsonMap
            {
                ["target"] = address,
                ["sent_bytes"] = run.Sent,
                ["recv_bytes"] = run.Received,
                ["send_duration_ms"] = (long)run.SendTime.TotalMilliseconds,
                ["total_duration_ms"] = (long)run.TotalTime.TotalMilliseconds,
                ["send_mbps"] = sendRate,
                ["total_mbps"] = totalRate,
                ["send_mib_s"] = sendRate,
                ["total_mib_s"] = totalRate,
                ["verified"] = run.Received == size,
                ["timeout"] = run.Received < size,
                ["path"] = stream.Path,
            });
            return;
        }

        if (run.Received < size)
        {
            context.Out.Human($"warning: receive timed out (got {run.Received} of {size})");
        }

        context.Out.Human(string.Create(
            CultureInfo.InvariantCulture, $"  Sent:     {HumanFormat.Size(run.Sent)} in {Rounded(run.SendTime)} ({sendRate:0.0} MB/s)"));
        context.Out.Human(string.Create(
            CultureInfo.InvariantCulture, $"  Echoed:   {HumanFormat.Size(run.Received)} in {Rounded(run.TotalTime)} ({totalRate:0.0} MB/s round-trip)"));
    }

    private static string Rounded(TimeSpan time) => GoDuration.Format(TimeSpan.FromMilliseconds(Math.Round(time.TotalMilliseconds)));

    private static double Rate(long bytes, TimeSpan time) => time <= TimeSpan.Zero ? 0 : bytes / MiB / time.TotalSeconds;

    private sealed class BenchRun(PilotStream stream, long size)
    {
        private readonly long _started = Stopwatch.GetTimestamp();
        private long _sent;
        private long _received;

        public long Sent => Interlocked.Read(ref _sent);

        public long Received => Interlocked.Read(ref _received);

        public TimeSpan SendTime { get; private set; }

        public TimeSpan TotalTime { get; private set; }

        public bool Corrupt { get; private set; }

        public string? Failure { get; private set; }

        public async Task RunAsync(TimeSpan timeout, ProgressLine progress)
        {
            using CancellationTokenSource stop = new(timeout > TimeSpan.Zero ? timeout : TimeSpan.FromTicks(1));
            Task sending = SendAsync(stop.Token);
            Task receiving = ReceiveAsync(stop.Token);
            Task both = Task.WhenAll(sending, receiving);
            while (!receiving.IsCompleted && !both.IsCompleted)
            {
                await Task.WhenAny(receiving, both, Task.Delay(ProgressStep, CancellationToken.None)).ConfigureAwait(false);
                progress.Show(Sent, Received);
                if (sending.IsFaulted)
                {
                    break;
                }
            }

            TotalTime = Stopwatch.GetElapsedTime(_started);
            await stop.CancelAsync().ConfigureAwait(false);
            try
            {
                await both.ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                // The limit, or the other half has ended the run.
            }
            catch (PilotStreamException e)
            {
                Failure = e.Message;
            }

            if (SendTime == TimeSpan.Zero)
            {
                SendTime = TotalTime;
            }

            progress.Clear();
        }

        private async Task SendAsync(CancellationToken cancellationToken)
        {
            byte[] chunk = new byte[ChunkSize];
            for (int i = 0; i < chunk.Length; i++)
            {
                chunk[i] = (byte)(i % PatternPeriod);
            }

            while (Sent < size)
            {
                int count = (int)Math.Min(chunk.Length, size - Sent);
                await stream.WriteAsync(chunk.AsMemory(0, count), cancellationToken).ConfigureAwait(false);
                Interlocked.Add(ref _sent, count);
            }

            SendTime = Stopwatch.GetElapsedTime(_started);
            stream.CompleteWrites();
        }

        private async Task ReceiveAsync(CancellationToken cancellationToken)
        {
            byte[] chunk = new byte[ChunkSize];
            byte[] pattern = new byte[ChunkSize + PatternPeriod];
            for (int i = 0; i < pattern.Length; i++)
            {
                pattern[i] = (byte)(i % PatternPeriod);
            }

            while (Received < size)
            {
                int count = await stream.ReadAsync(chunk, cancellationToken).ConfigureAwait(false);
                if (count == 0)
                {
                    Failure = "the peer ended the stream early";
                    return;
                }

                if (!chunk.AsSpan(0, count).SequenceEqual(pattern.AsSpan((int)(Received % PatternPeriod), count)))
                {
                    Corrupt = true;
                    return;
                }

                Interlocked.Add(ref _received, count);
            }
        }
    }
}
