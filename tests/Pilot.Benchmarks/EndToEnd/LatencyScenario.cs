namespace Pilot.Benchmarks.EndToEnd;

/// <summary>Ping idle and under bulk, dial, connect and message.</summary>
internal sealed class LatencyScenario(BenchmarkNetwork network, BenchmarkReport report, ThroughputScenario bulk, int samples)
{
    private const int EchoPort = 2100;
    private const int BlockingEchoPort = 2101;
    private const int BulkBatch = 20;
    private const int PingsInRow = 20;
    private const double BulkSeconds = 4;

    private readonly AppProcess _a = BenchmarkNetwork.StartApp(network.A);
    private readonly AppProcess _b = BenchmarkNetwork.StartApp(network.B);

    public async Task PrepareAsync()
    {
        await _b.EchoAsync(EchoPort).ConfigureAwait(false);
        await _b.EchoBlockingAsync(BlockingEchoPort).ConfigureAwait(false);
        await _a.PingAsync(network.B.Address, BulkBatch).ConfigureAwait(false);
        await _a.MessageAsync(network.B.Address, EchoPort, 5 * BulkBatch, isBlocking: false).ConfigureAwait(false);
        await _a.MessageAsync(network.B.Address, BlockingEchoPort, 5 * BulkBatch, isBlocking: true).ConfigureAwait(false);
    }

    public async Task RunAsync()
    {
        var (reported, waited) = await _a.PingAsync(network.B.Address, samples).ConfigureAwait(false);
        Add("ping", "ping", reported);
        Add("ping_call", "ping, waiting time of the application", waited);
        (reported, waited) = await _a.PingAsync(network.B.Address, samples, PingsInRow).ConfigureAwait(false);
        Add("ping_row", "ping, 20 in a row", reported);
        Add("ping_row_call", "ping, 20 in a row, waiting time of the application", waited);

        Add("dial", "dial, tunnel up", await _a.DialAsync(network.B.Address, BlockingEchoPort, samples, isBlocking: true).ConfigureAwait(false));
        Add("message", "connect, message and reply", await _a.MessageAsync(network.B.Address, BlockingEchoPort, samples, isBlocking: true).ConfigureAwait(false));
        Add("dial_async", "dial, tunnel up, by tasks", await _a.DialAsync(network.B.Address, EchoPort, samples, isBlocking: false).ConfigureAwait(false));
        Add("message_async", "connect, message and reply, by tasks", await _a.MessageAsync(network.B.Address, EchoPort, samples, isBlocking: false).ConfigureAwait(false));

        var transfer = bulk.BulkAsync(BulkSeconds);
        var loaded = new List<double>();
        await Task.Delay(500).ConfigureAwait(false); // into the transfer
        while (!transfer.IsCompleted)
        {
            var (batch, _) = await _a.PingAsync(network.B.Address, BulkBatch).ConfigureAwait(false);
            if (!transfer.IsCompleted)
            {
                loaded.AddRange(batch);
            }
        }

        await transfer.ConfigureAwait(false);
        Add("ping_bulk", "ping under bulk", loaded);
    }

    public void Stop()
    {
        _a.Dispose();
        _b.Dispose();
    }

    private void Add(string key, string text, IReadOnlyCollection<double> values)
    {
        report.Add($"{key}_p50_us", $"{text}, median", "µs", Statistics.Percentile(values, 50));
        report.Add($"{key}_p99_us", $"{text}, 99th percentile", "µs", Statistics.Percentile(values, 99));
    }
}
