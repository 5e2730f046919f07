using System.Diagnostics;
using Pilot.Benchmarks.EndToEnd;
using Pilot.Benchmarks.Processes;

namespace Pilot.Benchmarks.Rendezvous;

/// <summary>What a load run measures.</summary>
internal sealed record LoadOptions
{
    /// <summary>The parts in their order; <c>restart</c> is start-up and memory, the others are loads.</summary>
    public static readonly string[] AllParts = ["restart", "unsigned", "writes", "remembered", "verified", "mac-heartbeat", "mac-resolve"];

    public int Nodes { get; init; } = 100_000;

    public int Connections { get; init; } = 1000;

    /// <summary>Nodes behind each connection in the parts with MACs.</summary>
    public int NodesPerConnection { get; init; } = 1;

    public TimeSpan Time { get; init; } = TimeSpan.FromSeconds(10);

    public IReadOnlyList<string> Parts { get; init; } = AllParts;

    /// <summary>Connection string; empty = SQLite in the directory.</summary>
    public string Store { get; init; } = string.Empty;

    /// <summary>Answer as many as go first, then the fixed rate; otherwise the fixed rate alone.</summary>
    public bool Most { get; init; } = true;
}

/// <summary>Load on one rendezvous process: registrations, restart, and then requests of several kinds, as many as go and at the asked rates.</summary>
internal sealed class LoadScenario(BenchmarkReport report, string directory, LoadOptions options)
{
    private const int UnsignedTarget = 50_000; // requests per second: issue "A rendezvous that a network can depend on", what must hold 2
    private const int SignedTarget = 12_000;
    private const int IdleConnections = 5_000;
    private const double Idle = 0.05; // of a processor
    private static readonly TimeSpan SettleStep = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan SettlePatience = TimeSpan.FromSeconds(20);
    private static readonly string[] SignedParts = ["remembered", "verified", "mac-heartbeat", "mac-resolve"];

    private readonly SimulatedNodes _nodes = SimulatedNodes.Create(options.Nodes);

    public async Task RunAsync()
    {
        await RegisterAsync().ConfigureAwait(false);
        if (options.Parts.Any(p => !SignedParts.Contains(p)))
        {
            Say("restart");
            using var server = await RendezvousUnderTest.StartAsync(directory, options.Store).ConfigureAwait(false);
            await SettleAsync(server).ConfigureAwait(false);
            if (options.Parts.Contains("restart"))
            {
                await MeasureIdleAsync(server).ConfigureAwait(false);
            }

            MeasureUnsigned(server);
        }

        if (options.Parts.Any(SignedParts.Contains))
        {
            // Heartbeats and resolves are limited per node: these runs raise the limits, not their path through the server.
            using var server = await RendezvousUnderTest.StartAsync(directory, options.Store, "-limit-heartbeats", "0", "-limit-resolves", "0", "-limit-signed", "0").ConfigureAwait(false);
            MeasureSigned(server);
        }
    }

    private async Task RegisterAsync()
    {
        var ids = Path.Combine(directory, "ids");
        if (_nodes.TryLoad(ids))
        {
            return;
        }

        Say($"registering {_nodes.Count} nodes");
        using var server = await RendezvousUnderTest.StartAsync(directory, options.Store).ConfigureAwait(false);
        report.Add("rendezvous_fresh_mb", "resident, fresh start", "MB", ProcessUsage.Memory(server.Id).Resident);
        report.Add("rendezvous_register_per_s", $"registrations ({_nodes.Count} nodes, 10 per address)", "1/s", _nodes.Register(server.Registry));
        report.Add("rendezvous_loaded_mb", "resident, right after registering", "MB", ProcessUsage.Memory(server.Id).Resident);
        if (options.Store.Length == 0)
        {
            _nodes.Save(ids);
        }
    }

    private async Task MeasureIdleAsync(RendezvousUnderTest server)
    {
        report.Add("rendezvous_restart_s", $"restart with {_nodes.Count} nodes, to ready", "s", server.StartSeconds);
        var idle = ProcessUsage.Memory(server.Id).Resident;
        report.Add("rendezvous_node_bytes", "resident per idle node, after the restart", "B", (idle - await FreshAsync().ConfigureAwait(false)) * 1048576 / _nodes.Count);
        Say($"{IdleConnections} idle connections");
        var open = Enumerable.Range(0, IdleConnections).Select(i => new LoadClient(server.Registry, 40_000 + i)).ToList();
        LoadDriver.Pace(open, RequestSource.Fixed(open.Select((_, i) => _nodes.Heartbeat(i % _nodes.Count))), IdleConnections / 4.0, TimeSpan.FromSeconds(4), 1);
        report.Add("rendezvous_connection_kb", $"resident per open connection ({IdleConnections}, one heartbeat each)", "kB", (ProcessUsage.Memory(server.Id).Resident - idle) * 1024 / IdleConnections);
        open.ForEach(c => c.Dispose());
    }

    private void MeasureUnsigned(RendezvousUnderTest server)
    {
        if (!options.Parts.Contains("unsigned") && !options.Parts.Contains("writes"))
        {
            return;
        }

        var clients = Connect(server, 20_000);
        try
        {
            var unsigned = RequestSource.Fixed(Each(i => _nodes.CheckTrust(i, (i + 1) % _nodes.Count)));
            Warm(clients, RequestSource.Fixed(Each(_nodes.Heartbeat)), 500); // first proofs
            if (options.Parts.Contains("unsigned"))
            {
                LoadDriver.Saturate(clients, unsigned, 2, TimeSpan.FromSeconds(3), 1);
                Load("unsigned", "check_trust", clients, unsigned, UnsignedTarget, server.Id);
            }

            if (options.Parts.Contains("writes"))
            {
                Load("writes", "register again, stored", clients, RequestSource.Fixed(Each(_nodes.Return)), 0, server.Id);
            }
        }
        finally
        {
            clients.ForEach(c => c.Dispose());
        }
    }

    private void MeasureSigned(RendezvousUnderTest server)
    {
        var clients = Connect(server, 30_000);
        try
        {
            var heartbeats = RequestSource.Fixed(Each(_nodes.Heartbeat));
            Warm(clients, heartbeats, 2000);
            if (options.Parts.Contains("remembered"))
            {
                Load("signed", "heartbeat, remembered signature", clients, heartbeats, SignedTarget, server.Id);
            }

            var resolves = options.Parts.Contains("verified") || options.Parts.Contains("mac-resolve");
            if (resolves)
            {
                Warm(clients, RequestSource.Fixed(Each(_nodes.Visibility)), 500);
            }

            if (options.Parts.Contains("verified"))
            {
                Load("verified", "resolve, signature verified each time", clients, RequestSource.Fixed(Each(i => _nodes.Resolve(i, Neighbour(i)))), SignedTarget, server.Id);
            }

            if (options.Parts.Contains("mac-heartbeat") || options.Parts.Contains("mac-resolve"))
            {
                MeasureMacs(clients, server.Id);
            }
        }
        finally
        {
            clients.ForEach(c => c.Dispose());
        }
    }

    // From here on these nodes must sign freshly, so this part is the last.
    private void MeasureMacs(List<LoadClient> clients, int server)
    {
        Say($"{clients.Count * options.NodesPerConnection} fresh signatures, each with the offer of a key");
        var memory = ProcessUsage.Memory(server).Resident;
        var heartbeats = new List<RequestSource>();
        var resolves = new List<RequestSource>();
        for (var i = 0; i < clients.Count; i++)
        {
            var channel = new MacChannel(clients[i]);
            var mine = Enumerable.Range(0, options.NodesPerConnection).Select(n => (i + (n * clients.Count)) % _nodes.Count).ToList();
            var keys = channel.Open(mine.Select(n => _nodes[n]));
            heartbeats.Add(new RequestsInTurn([.. mine.Zip(keys, (n, key) => channel.Requests($"{{\"type\":\"heartbeat\",\"node_id\":{_nodes[n].Id}}}", key))]));
            resolves.Add(new RequestsInTurn([.. mine.Zip(keys, (n, key) => channel.Requests($"{{\"type\":\"resolve\",\"requester_id\":{_nodes[n].Id},\"node_id\":{_nodes[Neighbour(i)].Id}}}", key))]));
        }

        report.Add("rendezvous_mac_node_kb", "resident per node that signed and offered a key", "kB", (ProcessUsage.Memory(server).Resident - memory) * 1024 / (clients.Count * options.NodesPerConnection));
        if (options.Parts.Contains("mac-heartbeat"))
        {
            Load("mac", "heartbeat, fresh MAC", clients, heartbeats, SignedTarget, server);
        }

        if (options.Parts.Contains("mac-resolve"))
        {
            Load("mac_resolve", "resolve, fresh MAC", clients, resolves, SignedTarget, server);
        }
    }

    private void Load(string key, string what, List<LoadClient> clients, List<RequestSource> requests, int target, int server)
    {
        if (options.Most || target == 0)
        {
            Say($"{what}: as many as go");
            var before = ProcessUsage.CpuSeconds(server);
            var most = LoadDriver.Saturate(clients, requests, 4, options.Time, 1);
            report.Add($"rendezvous_{key}_most_per_s", $"{what}: most, 4 under way each", "1/s", most.PerSecond);
            report.Add($"rendezvous_{key}_cpu_us", $"{what}: processor time each", "us", (ProcessUsage.CpuSeconds(server) - before) * 1e6 / (most.PerSecond * options.Time.TotalSeconds));
            Note(key, most);
            target = target == 0 ? (int)(most.PerSecond * 0.7) : target;
        }

        Say($"{what}: {target} per second");
        var cpu = ProcessUsage.CpuSeconds(server);
        var own = Environment.CpuUsage.TotalTime;
        var paced = LoadDriver.Pace(clients, requests, target, options.Time, 1);
        report.Add($"rendezvous_{key}_paced_per_s", $"{what}: answered of {target}/s asked", "1/s", paced.PerSecond);
        report.Add($"rendezvous_{key}_p50_ms", $"{what}: median at {target}/s", "ms", paced.P50);
        report.Add($"rendezvous_{key}_p99_ms", $"{what}: p99 at {target}/s", "ms", paced.P99);
        report.Add($"rendezvous_{key}_worst_ms", $"{what}: longest at {target}/s", "ms", paced.Worst);
        report.Add($"rendezvous_{key}_late_ms", $"{what}: p99 of the generator's own lateness", "ms", paced.LateP99);
        report.Add($"rendezvous_{key}_server_share", $"{what}: processors busy, server", "", (ProcessUsage.CpuSeconds(server) - cpu) / options.Time.TotalSeconds);
        report.Add($"rendezvous_{key}_generator_share", $"{what}: processors busy, generator", "", (Environment.CpuUsage.TotalTime - own) / options.Time);
        Note(key, paced);
    }

    private int Neighbour(int node) => (node + 1) % options.Connections % _nodes.Count;

    private List<byte[]> Each(Func<int, byte[]> frame) => [.. Enumerable.Range(0, options.Connections).Select(i => frame(i % _nodes.Count))];

    private List<LoadClient> Connect(RendezvousUnderTest server, int first)
    {
        Say($"{options.Connections} connections");
        return [.. Enumerable.Range(0, options.Connections).Select(i => new LoadClient(server.Registry, first + i))];
    }

    private static void Warm(List<LoadClient> clients, List<RequestSource> requests, int perSecond) => LoadDriver.Pace(clients, requests, perSecond, TimeSpan.FromSeconds(3), 1);

    // After the registrations the server writes a new snapshot beside its work; what follows is to be measured without that.
    private static async Task SettleAsync(RendezvousUnderTest server)
    {
        var started = Stopwatch.GetTimestamp();
        double before, after = ProcessUsage.CpuSeconds(server.Id);
        do
        {
            before = after;
            await Task.Delay(SettleStep).ConfigureAwait(false);
            after = ProcessUsage.CpuSeconds(server.Id);
        }
        while ((after - before) / SettleStep.TotalSeconds > Idle && Stopwatch.GetElapsedTime(started) < SettlePatience);
    }

    private async Task<double> FreshAsync()
    {
        var other = Directory.CreateDirectory(Path.Combine(directory, "fresh"));
        using var server = await RendezvousUnderTest.StartAsync(other.FullName, string.Empty).ConfigureAwait(false);
        return ProcessUsage.Memory(server.Id).Resident;
    }

    private static void Note(string key, LoadResult result)
    {
        if (!result.GoesFirst)
        {
            Say($"{key}: no right to put the generator before the server; its own lateness is part of the times");
        }

        if (result.Errors > 0)
        {
            Say($"{key}: {result.Errors} errors, the last: {result.LastError}");
        }
    }

    private static void Say(string text) => Console.Error.WriteLine($"bench: {text}");
}
