using System.Diagnostics;
using System.Globalization;
using Pilot.Benchmarks.EndToEnd;
using Pilot.Benchmarks.Processes;
using Pilot.Rendezvous.Tests.Server;

namespace Pilot.Benchmarks.Rendezvous;

/// <summary><c>rendezvous [--nodes N] [--connections N] [--seconds N] [--postgres] [--json FILE]</c>, <c>rendezvous crash [--rounds N] [--postgres]</c>, and <c>rendezvous flood [--attempts N]</c>.</summary>
internal static class RendezvousCommand
{
    private const int UnsignedTarget = 50_000; // requests per second: issue "A rendezvous that a network can depend on", what must hold 2
    private const int SignedTarget = 12_000;
    private const int IdleConnections = 5_000;

    public static async Task<int> RunAsync(string[] args)
    {
        int nodes = 100_000, connections = 1000, seconds = 10, rounds = 200;
        var postgres = false;
        string? json = null;
        var scenario = args is ["crash" or "flood", ..] ? args[0] : string.Empty;
        var attempts = 100_000;
        var onlyVerified = false;
        for (var i = scenario.Length > 0 ? 1 : 0; i < args.Length; i++)
        {
            switch (args[i])
            {
                case "--nodes": nodes = Number(args, ref i); break;
                case "--connections": connections = Number(args, ref i); break;
                case "--seconds": seconds = Number(args, ref i); break;
                case "--rounds": rounds = Number(args, ref i); break;
                case "--attempts": attempts = Number(args, ref i); break;
                case "--verified": onlyVerified = true; break;
                case "--postgres": postgres = true; break;
                case "--json" when i + 1 < args.Length: json = args[++i]; break;
                default: throw new BenchmarkException($"unknown option {args[i]}");
            }
        }

        if (postgres && PostgresServer.Missing is { } missing)
        {
            throw new BenchmarkException(missing);
        }

        switch (scenario)
        {
            case "crash": return await CrashScenario.RunAsync(rounds, postgres).ConfigureAwait(false);
            case "flood": return await FloodScenario.RunAsync(attempts).ConfigureAwait(false);
        }

        var report = new BenchmarkReport();
        var directory = Directory.CreateTempSubdirectory("pilot-load");
        await using var database = postgres ? await PostgresServer.StartAsync().ConfigureAwait(false) : null;
        try
        {
            await MeasureAsync(report, directory.FullName, database?.ConnectionString ?? string.Empty, nodes, connections, TimeSpan.FromSeconds(seconds), onlyVerified).ConfigureAwait(false);
        }
        finally
        {
            directory.Delete(recursive: true);
        }

        report.Print(Console.Out);
        if (json is not null)
        {
            report.WriteJson(json, 1);
        }

        return 0;
    }

    private static async Task MeasureAsync(BenchmarkReport report, string directory, string store, int count, int connections, TimeSpan time, bool onlyVerified)
    {
        Say($"{count} identities");
        var nodes = SimulatedNodes.Create(count);
        using (var server = await RendezvousUnderTest.StartAsync(directory, store).ConfigureAwait(false))
        {
            var fresh = ProcessUsage.Memory(server.Id).Resident;
            report.Add("rendezvous_fresh_mb", "resident, fresh start", "MB", fresh);
            Say("registering");
            report.Add("rendezvous_register_per_s", $"registrations ({count} nodes, 10 per address)", "1/s", nodes.Register(server.Registry));
            report.Add("rendezvous_loaded_mb", "resident, right after registering", "MB", ProcessUsage.Memory(server.Id).Resident);
        }

        if (onlyVerified)
        {
            await MeasureSignedAsync(report, directory, store, nodes, connections, time, onlyVerified).ConfigureAwait(false);
            return;
        }

        Say("restart");
        using (var server = await RendezvousUnderTest.StartAsync(directory, store).ConfigureAwait(false))
        {
            report.Add("rendezvous_restart_s", $"restart with {count} nodes, to ready", "s", server.StartSeconds);
            var idle = ProcessUsage.Memory(server.Id).Resident;
            report.Add("rendezvous_node_bytes", "resident per idle node, after the restart", "B", (idle - (await FreshAsync(directory).ConfigureAwait(false))) * 1048576 / count);
            Say($"{IdleConnections} idle connections");
            var open = Enumerable.Range(0, IdleConnections).Select(i => new LoadClient(server.Registry, 40_000 + i)).ToList();
            LoadDriver.Pace(open, [.. open.Select((_, i) => nodes.Heartbeat(i % count))], IdleConnections / 4.0, TimeSpan.FromSeconds(4), 1);
            report.Add("rendezvous_connection_kb", $"resident per open connection ({IdleConnections}, one heartbeat each)", "kB", (ProcessUsage.Memory(server.Id).Resident - idle) * 1024 / IdleConnections);
            open.ForEach(c => c.Dispose());
            Say($"{connections} connections");
            var clients = Enumerable.Range(0, connections).Select(i => new LoadClient(server.Registry, 20_000 + i)).ToList();
            try
            {
                var unsigned = Enumerable.Range(0, connections).Select(i => nodes.CheckTrust(i % count, (i + 1) % count)).ToList();
                var heartbeats = Enumerable.Range(0, connections).Select(i => nodes.Heartbeat(i % count)).ToList();
                LoadDriver.Pace(clients, heartbeats, 500, TimeSpan.FromSeconds(3), 1); // warm-up, first proofs
                LoadDriver.Saturate(clients, unsigned, 2, TimeSpan.FromSeconds(3), 1);
                Load(report, "unsigned", "check_trust", clients, unsigned, UnsignedTarget, time, server.Id);
                Load(report, "writes", "register again, stored", clients, [.. Enumerable.Range(0, connections).Select(i => nodes.Return(i % count))], 0, time, server.Id);
            }
            finally
            {
                clients.ForEach(c => c.Dispose());
            }
        }

        await MeasureSignedAsync(report, directory, store, nodes, connections, time, onlyVerified).ConfigureAwait(false);
    }

    private static async Task MeasureSignedAsync(BenchmarkReport report, string directory, string store, SimulatedNodes nodes, int connections, TimeSpan time, bool onlyVerified)
    {
        var count = nodes.Count;
        // Heartbeats and resolves are limited per node: these runs raise the limits, not their path through the server.
        using (var server = await RendezvousUnderTest.StartAsync(directory, store, "-limit-heartbeats", "0", "-limit-resolves", "0", "-limit-signed", "0").ConfigureAwait(false))
        {
            var clients = Enumerable.Range(0, connections).Select(i => new LoadClient(server.Registry, 30_000 + i)).ToList();
            try
            {
                var heartbeats = Enumerable.Range(0, connections).Select(i => nodes.Heartbeat(i % count)).ToList();
                LoadDriver.Pace(clients, heartbeats, 2000, TimeSpan.FromSeconds(3), 1);
                if (!onlyVerified)
                {
                    Load(report, "signed", "heartbeat", clients, heartbeats, SignedTarget, time, server.Id);
                }

                var visible = Enumerable.Range(0, connections).Select(i => nodes.Visibility(i % count)).ToList();
                LoadDriver.Pace(clients, visible, 500, TimeSpan.FromSeconds(3), 1);
                Load(report, "verified", "resolve (signature verified each time)", clients, [.. Enumerable.Range(0, connections).Select(i => nodes.Resolve(i % count, (i + 1) % connections % count))], SignedTarget, time, server.Id);
            }
            finally
            {
                clients.ForEach(c => c.Dispose());
            }
        }
    }

    private static async Task<double> FreshAsync(string directory)
    {
        var other = Directory.CreateDirectory(Path.Combine(directory, "fresh"));
        using var server = await RendezvousUnderTest.StartAsync(other.FullName, string.Empty).ConfigureAwait(false);
        return ProcessUsage.Memory(server.Id).Resident;
    }

    private static void Load(BenchmarkReport report, string key, string what, List<LoadClient> clients, List<byte[]> frames, int target, TimeSpan time, int server)
    {
        Say($"{what}: as many as go");
        var cpu = ProcessUsage.CpuSeconds(server);
        var most = LoadDriver.Saturate(clients, frames, 4, time, 1);
        cpu = ProcessUsage.CpuSeconds(server) - cpu;
        report.Add($"rendezvous_{key}_most_per_s", $"{what}: most, 4 under way per connection", "1/s", most.PerSecond);
        report.Add($"rendezvous_{key}_cpu_us", $"{what}: server's processor time per request", "us", cpu * 1e6 / (most.PerSecond * time.TotalSeconds));
        Note(key, most);
        if (target == 0)
        {
            target = (int)(most.PerSecond * 0.7);
        }

        Say($"{what}: {target} per second");
        var paced = LoadDriver.Pace(clients, frames, target, time, 1);
        report.Add($"rendezvous_{key}_paced_per_s", $"{what}: answered of {target}/s asked", "1/s", paced.PerSecond);
        report.Add($"rendezvous_{key}_p50_ms", $"{what}: median at {target}/s", "ms", paced.P50);
        report.Add($"rendezvous_{key}_p99_ms", $"{what}: p99 at {target}/s", "ms", paced.P99);
        Note(key, paced);
    }

    private static void Note(string key, LoadResult result)
    {
        if (result.Errors > 0)
        {
            Say($"{key}: {result.Errors} errors, the last: {result.LastError}");
        }
    }

    private static int Number(string[] args, ref int i) => i + 1 < args.Length && int.TryParse(args[i + 1], NumberStyles.None, CultureInfo.InvariantCulture, out var n)
        ? int.Parse(args[++i], CultureInfo.InvariantCulture)
        : throw new BenchmarkException($"{args[i]} wants a number");

    private static void Say(string text) => Console.Error.WriteLine($"bench: {text}");
}
