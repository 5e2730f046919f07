using Pilot.Benchmarks.Link;

namespace Pilot.Benchmarks.EndToEnd;

/// <summary>One stream over each rung of the ladder, with the shallow and with the deep queue.</summary>
internal sealed class LadderScenario(BenchmarkNetwork network, BenchmarkReport report)
{
    private const int Port = 2200;
    private const double Seconds = 12;
    private const double LeastRoundTrips = 25;
    private static readonly TimeSpan LinkPatience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan StallPatience = TimeSpan.FromSeconds(60);
    private static readonly LinkParameters Open = new();

    private readonly AppProcess _a = BenchmarkNetwork.StartApp(network.A);
    private readonly AppProcess _b = BenchmarkNetwork.StartApp(network.B);

    /// <summary>Runs the rungs whose key begins so.</summary>
    public async Task RunAsync(string filter)
    {
        Console.WriteLine($"{"rung",-18} {"queue",7} {"goodput",12} {"share",6} {"needed",7}  link (A to B | B to A)");
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
        var seconds = Math.Max(Seconds, LeastRoundTrips * rung.RoundTripMilliseconds / 1000);
        await SetAsync(parameters).ConfigureAwait(false);
        try
        {
            var patience = TimeSpan.FromSeconds(seconds) + StallPatience;
            var (sink, sumOfSink) = await _b.SinkTimedAsync(Port, seconds, patience).ConfigureAwait(false);
            var source = _a.SourceTimedAsync(network.B.Address, Port, seconds + (3 * rung.RoundTripMilliseconds / 1000) + 1, patience + StallPatience);
            var reading = await sink.ConfigureAwait(false);
            var stats = await StatsAsync().ConfigureAwait(false);

            // The rest, and the end of the stream, are not measured: let them pass quickly, so that the next rung begins alone.
            await SetAsync(Open).ConfigureAwait(false);
            var (sent, received) = (await source.ConfigureAwait(false), await sumOfSink().ConfigureAwait(false));
            if (sent != received)
            {
                throw new BenchmarkException($"{received} of {sent} bytes came");
            }

            var share = reading.MegabytesPerSecond * 8 / rung.MegabitsPerSecond;
            Console.WriteLine($"{rung.Key,-18} {queue,7} {reading.MegabytesPerSecond * 8,7:0.00} Mb/s {share,6:P0} {rung.Target,7:P0}  {stats}");
            report.Add($"ladder_{rung.Key}_{queue}", $"{rung.Key}, {queue} queue", "of rate", share);
        }
        catch (BenchmarkException exception)
        {
            throw new BenchmarkException($"rung {rung.Key} with a {queue} queue failed: {exception.Message}", exception);
        }
    }

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
