using Pilot.Benchmarks.Processes;

namespace Pilot.Benchmarks.EndToEnd;

/// <summary>What an open connection that carries nothing costs each daemon.</summary>
internal static class IdleConnectionScenario
{
    private const int Port = 2100;
    private const int Connections = 1000;

    private static readonly TimeSpan Settle = TimeSpan.FromSeconds(20);

    public static async Task MeasureAsync(BenchmarkNetwork network, BenchmarkReport report)
    {
        using var accepting = BenchmarkNetwork.StartApp(network.B);
        using var dialing = BenchmarkNetwork.StartApp(network.A);
        var accepted = await accepting.HoldAsync(Port, Connections).ConfigureAwait(false);
        await Task.Delay(Settle).ConfigureAwait(false);
        var before = new[] { network.A, network.B }.Select(daemon => ProcessUsage.Memory(daemon.Pid).Private).ToArray();
        await dialing.HoldAsync(network.B.Address, Port, Connections).ConfigureAwait(false);
        await accepted.ConfigureAwait(false);
        await Task.Delay(Settle).ConfigureAwait(false);
        var after = new[] { network.A, network.B }.Select(daemon => ProcessUsage.Memory(daemon.Pid).Private).ToArray();
        for (var i = 0; i < before.Length; i++)
        {
            report.Add("idle_connection_bytes", $"idle connection, of {Connections}, in a daemon", "B", (after[i] - before[i]) * 1024 * 1024 / Connections);
        }
    }
}
