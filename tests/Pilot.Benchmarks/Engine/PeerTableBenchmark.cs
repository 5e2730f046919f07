using System.Diagnostics;
using Pilot.Benchmarks.EndToEnd;
using Pilot.Engine;
using Pilot.Engine.Streams;
using Pilot.Engine.Trust;
using Pilot.Protocol;

namespace Pilot.Benchmarks.Engine;

/// <summary>
/// A node in memory that has a tunnel with each of many peers: what one takes, what they cost at rest, and what a further one costs when the
/// table is full. The clock is made up, so an hour at rest takes as long as the work that falls due in it.
/// </summary>
internal static class PeerTableBenchmark
{
    private const uint Hub = 1;
    private const int Questions = 100_000;

    private static readonly TimeSpan Rest = TimeSpan.FromMinutes(30);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    public static void Run(int count, BenchmarkReport report)
    {
        var identities = Enumerable.Range(0, count).Select(_ => Identity.Create()).ToArray();
        var hubIdentity = Identity.Create();
        var buffer = GC.AllocateUninitializedArray<byte>(128 * 1024, pinned: true);
        var now = Instant.Origin + TimeSpan.FromHours(1);
        var hub = Make(new NodeOptions { MaxPeers = count }, hubIdentity, Hub, now);
        hub.SetTrust(TrustSnapshot.Create(
            identities.Select((identity, i) => new TrustedPeer { NodeId = Id(i), PublicKey = identity.PublicKeyText, ApprovedAt = DateTimeOffset.UnixEpoch }), [], []));
        var alone = GC.GetTotalMemory(forceFullCollection: true);
        for (var i = 0; i < count; i++)
        {
            now += TimeSpan.FromMilliseconds(10); // 100 exchanges per second
            Meet(hub, hubIdentity, identities[i], Id(i), now, buffer);
        }

        if (hub.PeerCount != count || !hub.HasTunnel(Id(count / 2)))
        {
            throw new BenchmarkException($"{hub.PeerCount} of {count} peers");
        }

        report.Add("known_peer_bytes", $"known peer with a tunnel, of {count}, engine", "B", (GC.GetTotalMemory(forceFullCollection: true) - alone) / (double)count);

        // At rest: keepalives for ten minutes, then nothing but the sweep. Nobody answers, which costs more than answers would.
        var end = now + Rest;
        var start = Stopwatch.GetTimestamp();
        long datagrams = 0;
        while (hub.NextDeadline < end)
        {
            now = Instant.Max(now, hub.NextDeadline);
            hub.HandleTimeout(now);
            while (hub.Transmit(now, buffer, out _) > 0)
            {
                datagrams++;
            }

            while (hub.TryGetEvent(out _))
            {
            }
        }

        report.Add("known_peers_cpu_percent", $"{count} known peers, first {Rest.TotalMinutes:0} min at rest, of a core", "%", Stopwatch.GetElapsedTime(start) / Rest * 100);
        report.Add("known_peers_datagrams_per_s", $"{count} known peers, datagrams in that time", "1/s", datagrams / Rest.TotalSeconds);

        start = Stopwatch.GetTimestamp();
        for (var i = 0; i < Questions; i++)
        {
            _ = hub.HasTunnel(Id(i % count)) ? hub.PeerCount : 0;
        }

        report.Add("known_peers_question_ns", $"{count} known peers, finding one and counting all", "ns", Stopwatch.GetElapsedTime(start).TotalNanoseconds / Questions);

        start = Stopwatch.GetTimestamp();
        for (var i = 0; i < count; i++)
        {
            now += TimeSpan.FromMilliseconds(1);
            hub.Ping(now, Id(count + i), i, Patience);
            while (hub.TryGetEvent(out _))
            {
            }
        }

        report.Add("full_table_us", $"one more peer when the table of {count} is full", "µs", Stopwatch.GetElapsedTime(start).TotalMicroseconds / count);
    }

    private static uint Id(int index) => Hub + 1 + (uint)index;

    private static Node Make(NodeOptions options, Identity identity, uint nodeId, Instant now)
    {
        var node = new Node(options, identity, new Randomness(nodeId), now, DateTimeOffset.UtcNow);
        node.SetRegistered(now, nodeId);
        return node;
    }

    /// <summary>The hub pings a new peer, which answers; the peer is thrown away then.</summary>
    private static void Meet(Node hub, Identity hubIdentity, Identity identity, uint nodeId, Instant now, byte[] buffer)
    {
        var peer = Make(new NodeOptions { BufferLimit = 1 << 20 }, identity, nodeId, now);
        peer.SetTrust(TrustSnapshot.Create([new TrustedPeer { NodeId = Hub, PublicKey = hubIdentity.PublicKeyText, ApprovedAt = DateTimeOffset.UnixEpoch }], [], []));
        var hubEndpoint = UdpEndpoint.FromIPv4(0x7F00_0001, 4000);
        var endpoint = UdpEndpoint.FromIPv4(0x0A00_0000 + nodeId, 4000);
        hub.Ping(now, nodeId, nodeId, Patience);
        for (var round = 0; round < 20; round++)
        {
            var isDone = Answer(hub, now, nodeId, endpoint, identity);
            Pass(hub, peer, hubEndpoint, now, buffer);
            Answer(peer, now, nodeId, hubEndpoint, hubIdentity);
            Pass(peer, hub, endpoint, now, buffer);
            if (isDone)
            {
                return;
            }
        }

        throw new BenchmarkException($"no tunnel with peer {nodeId}");
    }

    private static void Pass(Node from, Node to, UdpEndpoint source, Instant now, byte[] buffer)
    {
        if (from.NextDeadline <= now)
        {
            from.HandleTimeout(now);
        }

        for (int length; (length = from.Transmit(now, buffer, out var transmit)) > 0;)
        {
            for (var at = 0; at < length; at += transmit.SegmentSize)
            {
                to.ReceiveDatagram(now, source, buffer.AsSpan(at, Math.Min(transmit.SegmentSize, length - at)));
            }
        }
    }

    /// <summary>Plays the registry; true when the ping was answered.</summary>
    private static bool Answer(Node node, Instant now, uint nodeId, UdpEndpoint endpoint, Identity identity)
    {
        var isDone = false;
        while (node.TryGetEvent(out var nodeEvent))
        {
            switch (nodeEvent.Kind)
            {
                case NodeEventKind.ResolveNeeded:
                    node.CompleteResolve(now, nodeEvent.NodeId, new ResolveAnswer(ResolveOutcome.Found, endpoint, []));
                    break;
                case NodeEventKind.LookupNeeded:
                    node.CompleteLookup(now, nodeEvent.NodeId, new LookupAnswer(true, identity.PublicKey, []));
                    break;
                case NodeEventKind.PingResult:
                    isDone = nodeEvent.Error == ConnectionError.None
                        ? true
                        : throw new BenchmarkException($"ping of peer {nodeId}: {nodeEvent.Error} {nodeEvent.Detail}");
                    break;
            }
        }

        return isDone;
    }

    private sealed class Randomness(uint seed) : IRandomSource
    {
        private readonly Random _random = new((int)seed);

        public void Fill(Span<byte> destination) => _random.NextBytes(destination);

        public uint NextUInt32() => (uint)_random.NextInt64(0, 1L << 32);
    }
}
