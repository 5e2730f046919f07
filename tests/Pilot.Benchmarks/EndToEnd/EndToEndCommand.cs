using Pilot.Benchmarks.Engine;
using Pilot.Benchmarks.Fairness;

namespace Pilot.Benchmarks.EndToEnd;

/// <summary><c>end-to-end [--quick] [--only=latency | --only=throughput] [--json FILE] [--runs N] [--ladder[=RUNG] | --fairness[=CASE]]</c>: what <c>tests/bench</c> runs.</summary>
internal static class EndToEndCommand
{
    private const int AllocationSegment = 1152;

    public static async Task<int> RunAsync(string[] args)
    {
        var quick = false;
        string? json = null;
        string? ladder = null;
        string? only = null;
        string? fairness = null;
        int? wanted = null;
        for (var i = 0; i < args.Length; i++)
        {
            switch (args[i])
            {
                case "--quick":
                    quick = true;
                    break;
                case "--json" when i + 1 < args.Length:
                    json = args[++i];
                    break;
                case "--only=latency" or "--only=throughput":
                    only = args[i]["--only=".Length..];
                    break;
                case "--runs" when i + 1 < args.Length && int.TryParse(args[i + 1], out var number) && number > 0:
                    wanted = number;
                    i++;
                    break;
                case "--fairness":
                    fairness = string.Empty;
                    break;
                case var option when option.StartsWith("--fairness=", StringComparison.Ordinal):
                    fairness = option["--fairness=".Length..];
                    break;
                case "--ladder":
                    ladder = string.Empty;
                    break;
                case var option when option.StartsWith("--ladder=", StringComparison.Ordinal):
                    ladder = option["--ladder=".Length..];
                    break;
                default:
                    throw new BenchmarkException($"unknown option {args[i]}");
            }
        }

        var report = new BenchmarkReport();
        var runs = wanted ?? (ladder is not null || fairness is not null ? 1 : quick ? 2 : 5);
        if (fairness is not null)
        {
            await ShareAsync(report, fairness, runs).ConfigureAwait(false);
        }
        else if (ladder is not null)
        {
            await ClimbAsync(report, ladder, runs).ConfigureAwait(false);
        }
        else
        {
            await MeasureAsync(report, runs, quick, only).ConfigureAwait(false);
        }

        report.Print(Console.Out);
        if (json is not null)
        {
            report.WriteJson(json, runs);
        }

        return 0;
    }

    private static async Task MeasureAsync(BenchmarkReport report, int runs, bool quick, string? only)
    {
        if (only is null)
        {
            Say("idle connections, in daemons of their own"); // memory left over from transfers would hide what they take
            await using var fresh = await BenchmarkNetwork.StartAsync().ConfigureAwait(false);
            await IdleConnectionScenario.MeasureAsync(fresh, report).ConfigureAwait(false);
        }

        Say("starting a rendezvous and two daemons");
        await using var network = await BenchmarkNetwork.StartAsync().ConfigureAwait(false);
        if (only is null)
        {
            Say("idle memory and start-up");
            await FootprintScenario.MeasureMemoryAsync(network, report).ConfigureAwait(false);
            await FootprintScenario.MeasureStartUpAsync(network, report, quick ? 5 : 20).ConfigureAwait(false);
        }

        Say("warming up");
        var throughput = new ThroughputScenario(network, report, quick ? 1 : 2);
        var latency = new LatencyScenario(network, report, throughput, quick ? 100 : 400);
        try
        {
            await throughput.PrepareAsync().ConfigureAwait(false);
            await latency.PrepareAsync().ConfigureAwait(false);
            for (var run = 1; run <= runs; run++)
            {
                if (only != "latency")
                {
                    Say($"run {run} of {runs}: throughput");
                    await throughput.RunAsync().ConfigureAwait(false);
                }

                if (only != "throughput")
                {
                    Say($"run {run} of {runs}: latency");
                    await latency.RunAsync().ConfigureAwait(false);
                }
            }

            if (only != "latency")
            {
                Say("garbage in the middle of transfers");
                await throughput.MeasureGarbageAsync().ConfigureAwait(false);
            }
        }
        finally
        {
            throughput.Stop();
            latency.Stop();
        }

        if (only is not null)
        {
            return;
        }

        await FootprintScenario.MeasureMemoryAfterAsync(network, report).ConfigureAwait(false);
        Say("engine in memory");
        var engine = EngineBenchmarks.MeasureNodes(AllocationSegment);
        report.Add("engine_mb_s", $"two engines in memory, one core, {AllocationSegment} B segments", "MB/s", engine.MegabytesPerSecond);
        PeerTableBenchmark.Run(10_000, report);
        report.Add("alloc_bytes_per_packet", "engine, bytes allocated per packet", "B", engine.AllocatedPerPacket);
    }

    private static async Task ClimbAsync(BenchmarkReport report, string filter, int runs)
    {
        Say("starting a rendezvous and two daemons with a link between them");
        await using var network = await BenchmarkNetwork.StartAsync(withLink: true).ConfigureAwait(false);
        var ladder = new LadderScenario(network, report);
        try
        {
            for (var run = 1; run <= runs; run++)
            {
                Say($"run {run} of {runs}");
                await ladder.RunAsync(filter).ConfigureAwait(false);
            }
        }
        finally
        {
            ladder.Stop();
        }
    }

    private static async Task ShareAsync(BenchmarkReport report, string filter, int runs)
    {
        var available = (await File.ReadAllTextAsync("/proc/sys/net/ipv4/tcp_available_congestion_control").ConfigureAwait(false)).Split((char[])[' ', '\n']);
        var control = available.Contains("cubic") ? "cubic" : "reno";
        Say($"starting two network namespaces, a link between them, a rendezvous and three daemons; TCP uses {control}");
        await using var network = await FairnessNetwork.StartAsync().ConfigureAwait(false);
        var scenario = new FairnessScenario(network, report, control);
        try
        {
            for (var run = 1; run <= runs; run++)
            {
                Say($"run {run} of {runs}");
                await scenario.RunAsync(filter).ConfigureAwait(false);
            }
        }
        finally
        {
            scenario.Stop();
        }
    }

    private static void Say(string text) => Console.Error.WriteLine($"bench: {text}");
}
