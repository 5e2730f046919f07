using Pilot.Benchmarks.Link;

namespace Pilot.Benchmarks.EndToEnd;

/// <summary>One stream over each rung of the ladder, with the shallow and with the deep queue.</summary>
internal sealed class LadderScenario(BenchmarkNetwork network, BenchmarkReport report)
{
    private const int Port = 2200;
    private const double Seconds = 12; // at full rate
    private const double LeastRoundTrips = 25;
    private const double SlowestShare = 0.05; // of the rate, before a rung counts as failed

    private static readonly TimeSpan LinkPatience = TimeSpan.FromSeconds(10);

    private readonly AppProcess _a = BenchmarkNetwork.StartApp(network.A);
    private readonly AppProcess _b = BenchmarkNetwork.StartApp(network.B);

    /// <summary>Runs the rungs whose key begins so.</summary>
    public async Task RunAsync(string filter)
    {
        Console.WriteLine($"{"rung",-18} {"queue",7} {"goodput",10} {"of rate",8} {"needed",7}  link (A to B | B to A)");
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
        var key = $"ladder_{rung.Key}_{queue}";
        var seconds = Math.Max(Seconds, LeastRoundTrips * rung.RoundTripMilliseconds / 1000);
        var bytes = (long)(rung.MegabitsPerSecond * 1e6 / 8 * seconds);
        await SetAsync(parameters).ConfigureAwait(false);
        double share = 0;
        var note = string.Empty;
        try
        {
            var patience = TimeSpan.FromSeconds(seconds / SlowestShare);
            var sink = await _b.SinkAsync(Port, 1, bytes, patience).ConfigureAwait(false);
            var source = _a.SourceAsync(network.B.Address, Port, 1, bytes, patience);
            var reading = await sink.ConfigureAwait(false);
            await source.ConfigureAwait(false);
            share = reading.MegabytesPerSecond * 8 / rung.MegabitsPerSecond;
        }
        catch (BenchmarkException exception)
        {
            note = exception.Message;
        }

        Console.WriteLine($"{rung.Key,-18} {queue,7} {share * rung.MegabitsPerSecond,5:0.00} Mb/s {share,8:P0} {rung.Target,7:P0}  {(note.Length > 0 ? note : await StatsAsync().ConfigureAwait(false))}");
        report.Add(key, $"{rung.Key}, {queue} queue", "of rate", share);
        if (note.Length > 0)
        {
            // What is under way would disturb the next rung, so this is the end.
            throw new BenchmarkException($"rung {rung.Key} with a {queue} queue failed: {note}");
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
