using System.Diagnostics;
using Pilot.Benchmarks.Processes;
using Pilot.Benchmarks.Yardstick;

namespace Pilot.Benchmarks.EndToEnd;

/// <summary>One way and both ways, for 1, 8 and 64 streams; each beside the bare pipeline of the same run.</summary>
internal sealed class ThroughputScenario(BenchmarkNetwork network, BenchmarkReport report, double secondsPerTransfer)
{
    private const int Port = 2000;
    private const long ProbeBytes = 32_000_000; // first transfers: warm up and tell how many bytes the time allows
    private const double SteadySeconds = 6;
    private const int YardstickSeconds = 2;
    private const double YardstickBytesPerSecond = 1e9; // so that the yardstick takes about that long

    private static readonly int[] StreamCounts = [1, 8, 64];
    private static readonly int[] YardstickSizes = [.. YardstickSettings.SegmentSizes, 60_000];
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    private readonly AppProcess _a = BenchmarkNetwork.StartApp(network.A);
    private readonly AppProcess _b = BenchmarkNetwork.StartApp(network.B);
    private double _bytesPerSecond;
    private int _yardstickSize;

    /// <summary>Warms everything up and finds the segment size in use.</summary>
    public async Task PrepareAsync()
    {
        for (var i = 0; i < 3; i++)
        {
            _bytesPerSecond = (await OneWayAsync(1, ProbeBytes).ConfigureAwait(false)).Reading.MegabytesPerSecond * 1e6;
        }

        var segment = (await OneWayAsync(1, TransferBytes(1)).ConfigureAwait(false)).SegmentSize;
        _yardstickSize = YardstickSizes.MinBy(size => Math.Abs(Math.Log(size / segment)));
        report.Add("segment_bytes", "datagram of a bulk stream, mean", "B", segment);
        report.Add("yardstick_segment_bytes", "segment of the bare pipeline", "B", _yardstickSize);
        await BothWaysAsync(1, ProbeBytes).ConfigureAwait(false);
    }

    /// <summary>One run of everything.</summary>
    public async Task RunAsync()
    {
        var bare = await YardstickRun.MeasureAsync(_yardstickSize, (long)(YardstickSeconds * YardstickBytesPerSecond)).ConfigureAwait(false);
        report.Add("yardstick_mb_s", "bare pipeline", "MB/s", bare.MegabytesPerSecond);
        report.Add("yardstick_cpu_s_per_gb", "bare pipeline, CPU of the two in the middle", "s/GB", bare.CpuSecondsPerGigabyte);
        foreach (var streams in StreamCounts)
        {
            var suffix = streams == 1 ? string.Empty : $"_{streams}";
            var (reading, cpu, _, garbage) = await OneWayAsync(streams, TransferBytes(streams)).ConfigureAwait(false);
            report.Add($"stream{suffix}_mb_s", $"{streams} streams, one way", "MB/s", reading.MegabytesPerSecond);
            report.Add($"stream{suffix}_ratio", $"{streams} streams, one way, of the bare pipeline", "", reading.MegabytesPerSecond / bare.MegabytesPerSecond);
            report.Add($"stream{suffix}_daemon_alloc_bytes_per_packet", $"{streams} streams, one way, garbage of both daemons", "B/packet", garbage);
            report.Add($"stream{suffix}_cpu_s_per_gb", $"{streams} streams, one way, CPU of both daemons", "s/GB", cpu);

            var (both, cpuBoth, garbageBoth) = await BothWaysAsync(streams, TransferBytes(streams) / 2).ConfigureAwait(false);
            report.Add($"both{suffix}_mb_s", $"{streams} streams, both ways, sum", "MB/s", both);
            report.Add($"both{suffix}_ratio", $"{streams} streams, both ways, of the bare pipeline", "", both / bare.MegabytesPerSecond);
            report.Add($"both{suffix}_daemon_alloc_bytes_per_packet", $"{streams} streams, both ways, garbage of both daemons", "B/packet", garbageBoth);
            report.Add($"both{suffix}_cpu_s_per_gb", $"{streams} streams, both ways, CPU of both daemons", "s/GB", cpuBoth);
        }
    }

    /// <summary>Garbage per packet in the middle of long transfers: without their begin and end, and without the questions for the figures.</summary>
    public async Task MeasureGarbageAsync()
    {
        foreach (var streams in StreamCounts)
        {
            var perStream = (long)(_bytesPerSecond * SteadySeconds) / streams;
            var sink = await _b.SinkAsync(Port, streams, perStream, Patience).ConfigureAwait(false);
            var question = await AllocatedAsync().ConfigureAwait(false);
            question = await AllocatedAsync().ConfigureAwait(false) - question;
            var source = _a.SourceAsync(network.B.Address, Port, streams, perStream, Patience);
            await Task.Delay(TimeSpan.FromSeconds(SteadySeconds / 4)).ConfigureAwait(false);
            var packets = await PacketsAsync().ConfigureAwait(false);
            var allocated = await AllocatedAsync().ConfigureAwait(false);
            await Task.Delay(TimeSpan.FromSeconds(SteadySeconds / 3)).ConfigureAwait(false);
            allocated = await AllocatedAsync().ConfigureAwait(false) - allocated - question;
            packets = await PacketsAsync().ConfigureAwait(false) - packets;
            if (source.IsCompleted)
            {
                throw new BenchmarkException("the transfer was over before its garbage was counted");
            }

            await Task.WhenAll(sink, source).ConfigureAwait(false);
            var key = streams == 1 ? "steady" : $"steady_{streams}";
            report.Add($"{key}_alloc_bytes_per_packet", $"{streams} streams, garbage of both daemons in the middle", "B/packet", (double)allocated.All / packets);
            report.Add($"{key}_loop_alloc_bytes_per_packet", $"{streams} streams, garbage of the threads with packets and streams", "B/packet", (double)allocated.Loops / packets);
        }
    }

    /// <summary>A long one-way transfer, for what is measured beside it.</summary>
    public Task BulkAsync(double seconds) => OneWayAsync(1, (long)(_bytesPerSecond * seconds));

    public void Stop()
    {
        _a.Dispose();
        _b.Dispose();
    }

    private long TransferBytes(int streams) => Math.Max(ProbeBytes, (long)(_bytesPerSecond * secondsPerTransfer)) / streams;

    private async Task<(MeterReading Reading, double CpuSecondsPerGigabyte, double SegmentSize, double AllocatedPerPacket)> OneWayAsync(int streams, long bytesPerStream)
    {
        var sink = await _b.SinkAsync(Port, streams, bytesPerStream, Patience).ConfigureAwait(false);
        var before = await UsageAsync().ConfigureAwait(false);
        var source = _a.SourceAsync(network.B.Address, Port, streams, bytesPerStream, Patience);
        var reading = await sink.ConfigureAwait(false);
        await source.ConfigureAwait(false);
        var after = await UsageAsync().ConfigureAwait(false);
        var total = bytesPerStream * streams;
        var packets = after.SentByA + after.SentByB - before.SentByA - before.SentByB;
        return (reading, (after.Cpu - before.Cpu) / (total / 1e9), (double)total / (after.SentByA - before.SentByA), (after.Allocated - before.Allocated) / (double)packets);
    }

    private async Task<(double MegabytesPerSecond, double CpuSecondsPerGigabyte, double AllocatedPerPacket)> BothWaysAsync(int streams, long bytesPerStream)
    {
        var accepted = await _b.AcceptBothWaysAsync(Port, streams, bytesPerStream, Patience).ConfigureAwait(false);
        var before = await UsageAsync().ConfigureAwait(false);
        var dialed = _a.DialBothWaysAsync(network.B.Address, Port, streams, bytesPerStream, Patience);
        var readings = await Task.WhenAll(accepted, dialed).ConfigureAwait(false);
        var after = await UsageAsync().ConfigureAwait(false);
        var packets = after.SentByA + after.SentByB - before.SentByA - before.SentByB;
        return (readings.Sum(r => r.MegabytesPerSecond), (after.Cpu - before.Cpu) / (2 * bytesPerStream * streams / 1e9), (after.Allocated - before.Allocated) / (double)packets);
    }

    private async Task<Usage> UsageAsync()
    {
        var a = await network.A.Client.GetInfoAsync().ConfigureAwait(false);
        var b = await network.B.Client.GetInfoAsync().ConfigureAwait(false);
        return new Usage(ProcessUsage.CpuSeconds(network.A.Pid) + ProcessUsage.CpuSeconds(network.B.Pid), a.PktsSent, b.PktsSent, (await AllocatedAsync().ConfigureAwait(false)).All);
    }

    private async Task<Allocated> AllocatedAsync()
    {
        var a = await network.A.Client.GetStatusAsync().ConfigureAwait(false);
        var b = await network.B.Client.GetStatusAsync().ConfigureAwait(false);
        return new Allocated(a.AllocatedBytes + b.AllocatedBytes, a.LoopAllocatedBytes + b.LoopAllocatedBytes);
    }

    private async Task<long> PacketsAsync() =>
        (await network.A.Client.GetInfoAsync().ConfigureAwait(false)).PktsSent + (await network.B.Client.GetInfoAsync().ConfigureAwait(false)).PktsSent;

    /// <summary>Managed bytes of both daemons so far.</summary>
    /// <param name="All">Of all threads.</param>
    /// <param name="Loops">Of the threads that handle packets and streams.</param>
    private readonly record struct Allocated(long All, long Loops)
    {
        public static Allocated operator -(Allocated left, Allocated right) => new(left.All - right.All, left.Loops - right.Loops);
    }

    /// <summary>Counters of both daemons at one moment.</summary>
    /// <param name="Cpu">Seconds, both.</param>
    /// <param name="SentByA">Tunnel packets.</param>
    /// <param name="SentByB">Tunnel packets.</param>
    /// <param name="Allocated">Managed bytes, both.</param>
    private readonly record struct Usage(double Cpu, long SentByA, long SentByB, long Allocated);
}
