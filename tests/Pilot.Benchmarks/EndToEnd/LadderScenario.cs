using System.Diagnostics;
using Pilot.Benchmarks.Link;

namespace Pilot.Benchmarks.EndToEnd;

/// <summary>
/// One stream over each rung of the ladder, with the shallow and with the deep queue: the share of the rate in a window that begins when
/// 25 round trips have passed, and the share from the dial on.
/// </summary>
internal sealed class LadderScenario(BenchmarkNetwork network, BenchmarkReport report)
{
    private const int Port = 2200;
    private const double RoundTripsBefore = 25;

    // Data are read in order, so each end of the window may lie in a hole of a round trip or two: what that makes must be small.
    private const double LeastSeconds = 8;
    private const double LeastRoundTrips = 50;
    private static readonly TimeSpan LinkPatience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan StallPatience = TimeSpan.FromSeconds(60);
    private static readonly LinkParameters Open = new();

    private readonly AppProcess _a = BenchmarkNetwork.StartApp(network.A);
    private readonly AppProcess _b = BenchmarkNetwork.StartApp(network.B);

    /// <summary>Runs the rungs whose key begins so.</summary>
    public async Task RunAsync(string filter)
    {
        Console.WriteLine($"{"rung",-14} {"queue",7} {"share",7} {"from dial",9} {"needed",6}  link (A to B | B to A)");
        foreach (var rung in LinkLadder.Rungs.Where(r => r.Key.StartsWith(filter, StringComparison.Ordinal)))
        {
            await RunAsync(rung, "shallow", rung.Shallow).ConfigureAwait(false);
            await RunAsync(rung, "deep", rung.Deep).ConfigureAwait(false);
        }
    }

    public void Stop()
    {
        _a.Dispose();
        _b.Dispose();
    }

    private async Task RunAsync(LinkRung rung, string queue, LinkParameters parameters)
    {
        var roundTrip = rung.RoundTripMilliseconds / 1000;
        var before = RoundTripsBefore * roundTrip;
        var seconds = before + Math.Max(LeastSeconds, LeastRoundTrips * roundTrip);
        await SetAsync(parameters).ConfigureAwait(false);
        try
        {
            var patience = TimeSpan.FromSeconds(seconds) + StallPatience;
            var sink = await _b.SinkSeriesAsync(Port, StallPatience).ConfigureAwait(false);
            var dial = Stopwatch.GetTimestamp();
            var writing = seconds + (2 * roundTrip) + 1;
            var source = _a.SourceTimedAsync(network.B.Address, Port, writing, patience + StallPatience);
            await Task.Delay(TimeSpan.FromSeconds(seconds + 0.5)).ConfigureAwait(false);
            var stats = await StatsAsync().ConfigureAwait(false);
            await Task.Delay(TimeSpan.FromSeconds(writing - seconds)).ConfigureAwait(false);

            // The rest, and the end of the stream, are not measured: let them pass quickly, so that the next rung begins alone.
            await SetAsync(Open).ConfigureAwait(false);
            var (sent, series) = (await source.ConfigureAwait(false), await sink.ConfigureAwait(false));
            if (sent != series.Total)
            {
                throw new BenchmarkException($"{series.Total} of {sent} bytes came");
            }

            var (from, to) = (dial + Ticks(before), dial + Ticks(seconds));
            var share = series.MegabitsPerSecond(from, to) / rung.MegabitsPerSecond;
            var fromDial = series.MegabitsPerSecond(dial, to) / rung.MegabitsPerSecond;
            Console.WriteLine($"{rung.Key,-14} {queue,7} {share,7:0.0 %} {fromDial,9:0.0 %} {rung.Target,6:P0}  {stats}");
            report.Add($"ladder_{rung.Key}_{queue}", $"{rung.Key}, {queue} queue", "of rate", share);
            report.Add($"ladder_{rung.Key}_{queue}_from_dial", $"{rung.Key}, {queue} queue, from the dial on", "of rate", fromDial);
        }
        catch (BenchmarkException exception)
        {
            throw new BenchmarkException($"rung {rung.Key} with a {queue} queue failed: {exception.Message}", exception);
        }
    }

    private static long Ticks(double seconds) => (long)(seconds * Stopwatch.Frequency);

    private async Task SetAsync(LinkParameters parameters)
    {
        network.Link!.WriteLine($"set {parameters}");
        var answer = await network.Link.ReadLineAsync(LinkPatience).ConfigureAwait(false);
        if (answer != "ok")
        {
            throw new BenchmarkException($"link: {answer}");
        }
    }

    private Task<string> StatsAsync()
    {
        network.Link!.WriteLine("stats");
        return network.Link.ReadLineAsync(LinkPatience);
    }
}
