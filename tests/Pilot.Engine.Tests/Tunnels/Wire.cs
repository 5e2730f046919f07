using Pilot.Engine.Trust;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Tunnels;

/// <summary>
/// A few nodes on a wire with virtual time: constant delay, a filter that may drop or copy, and questions to the
/// registry answered from a table. Small on purpose; the simulator does the rest.
/// </summary>
internal sealed class Wire
{
    private readonly PriorityQueue<(UdpEndpoint From, UdpEndpoint To, byte[] Datagram), (long, int)> _inFlight = new();
    private readonly PriorityQueue<Action, (long, int)> _planned = new();
    private readonly byte[] _buffer = new byte[1 << 18];
    private int _order;

    public Instant Now { get; private set; } = new(TimeSpan.FromHours(1).Ticks);

    public TimeSpan Delay { get; set; } = TimeSpan.FromMilliseconds(5);

    /// <summary>Of nodes added later.</summary>
    public int MaxTimeWaits { get; init; } = new NodeOptions().MaxTimeWaits;

    public long BufferLimit { get; init; } = Pilot.Engine.Streams.ChunkPool.DefaultLimit;

    public bool IsLogging { get; set; } = true;

    public List<WireNode> Nodes { get; } = [];

    /// <summary>Returns false to drop.</summary>
    public Func<UdpEndpoint, UdpEndpoint, byte[], bool> Filter { get; set; } = static (_, _, _) => true;

    public List<(Instant At, UdpEndpoint From, UdpEndpoint To, byte[] Datagram)> Log { get; } = [];

    public WireNode Add(uint nodeId, bool isPublic = false)
    {
        var node = new WireNode(this, nodeId, isPublic);
        Nodes.Add(node);
        return node;
    }

    /// <summary>A private pair that trusts each other.</summary>
    public static (Wire Wire, WireNode A, WireNode B) Pair()
    {
        var wire = new Wire();
        WireNode a = wire.Add(7);
        WireNode b = wire.Add(9);
        a.Trust(b);
        b.Trust(a);
        return (wire, a, b);
    }

    public void Inject(UdpEndpoint from, UdpEndpoint to, byte[] datagram) =>
        _inFlight.Enqueue((from, to, datagram), ((Now + Delay).Ticks, _order++));

    /// <summary>Runs an action at a time.</summary>
    public void At(Instant time, Action action) => _planned.Enqueue(action, (time.Ticks, _order++));

    public void RunFor(TimeSpan span) => RunUntil(static () => false, span);

    /// <summary>Runs until the condition holds; false when the time is over.</summary>
    public bool RunUntil(Func<bool> condition, TimeSpan limit)
    {
        Instant end = Now + limit;
        while (true)
        {
            foreach (WireNode node in Nodes)
            {
                Drain(node);
            }

            if (condition())
            {
                return true;
            }

            foreach (WireNode node in Nodes)
            {
                Drain(node); // the condition may have written or read
            }

            Instant next = _inFlight.TryPeek(out _, out var due) ? new Instant(due.Item1) : Instant.Never;
            next = _planned.TryPeek(out _, out var planned) ? Instant.Min(next, new Instant(planned.Item1)) : next;
            foreach (WireNode node in Nodes)
            {
                next = Instant.Min(next, Instant.Max(node.Node.NextDeadline, Now + TimeSpan.FromTicks(1)));
                next = node.FreeAt > Now ? Instant.Min(next, node.FreeAt) : next;
            }

            if (next > end)
            {
                Now = end;
                return condition();
            }

            Now = Instant.Max(Now, next);
            while (_planned.TryPeek(out Action? action, out planned) && planned.Item1 <= Now.Ticks)
            {
                _planned.Dequeue();
                action();
            }

            while (_inFlight.TryPeek(out var datagram, out due) && due.Item1 <= Now.Ticks)
            {
                _inFlight.Dequeue();
                WireNode? target = Nodes.Find(n => n.Endpoint == datagram.To);
                target?.Node.ReceiveDatagram(Now, datagram.From, datagram.Datagram.ToArray());
            }

            foreach (WireNode node in Nodes)
            {
                if (node.Node.NextDeadline <= Now)
                {
                    node.Node.HandleTimeout(Now);
                }
            }
        }
    }

    private void Drain(WireNode node)
    {
        while (node.FreeAt <= Now)
        {
            node.TakeEvents(Now);
            int length = node.Node.Transmit(Now, _buffer, out Transmit transmit);
            if (length == 0)
            {
                break;
            }

            if (node.BytesPerSecond is { } rate)
            {
                node.FreeAt = Now + TimeSpan.FromSeconds(length / rate);
            }

            for (int offset = 0; offset < length; offset += transmit.SegmentSize)
            {
                byte[] datagram = _buffer.AsSpan(offset, Math.Min(transmit.SegmentSize, length - offset)).ToArray();
                if (IsLogging)
                {
                    Log.Add((Now, node.Endpoint, transmit.Destination, datagram));
                }

                if (Filter(node.Endpoint, transmit.Destination, datagram))
                {
                    Inject(node.Endpoint, transmit.Destination, datagram);
                }
            }
        }

        node.TakeEvents(Now);
    }
}

internal sealed class WireNode
{
    private readonly Wire _wire;
    private readonly List<TrustedPeer> _trusted = [];

    public WireNode(Wire wire, uint nodeId, bool isPublic)
    {
        _wire = wire;
        NodeId = nodeId;
        IsPublic = isPublic;
        Identity = new Identity(Enumerable.Range(0, 32).Select(i => (byte)(nodeId + i)).ToArray());
        Endpoint = UdpEndpoint.FromIPv4(0xCB007100 + nodeId, 4000);
        Node = Create(1);
    }

    public uint NodeId { get; }

    public bool IsPublic { get; }

    public Identity Identity { get; }

    public UdpEndpoint Endpoint { get; set; }

    public Node Node { get; private set; }

    /// <summary>How fast its network card takes datagrams; null for at once.</summary>
    public double? BytesPerSecond { get; set; }

    public Instant FreeAt { get; set; } = Instant.Origin;

    public List<NodeEvent> Events { get; } = [];

    public bool RegistryIsDown { get; set; }

    /// <summary>The registry takes until then to tell a key.</summary>
    public Instant AnswersLookupsAt { get; set; }

    /// <summary>The registry names its endpoint to everybody, although the node trusts nobody.</summary>
    public bool IsLeaked { get; set; }

    /// <summary>The process ends without a word and starts again with the same identity.</summary>
    public void Restart(uint seed)
    {
        Node = Create(seed);
        ApplyTrust();
    }

    public void Trust(WireNode other)
    {
        _trusted.Add(new TrustedPeer { NodeId = other.NodeId, PublicKey = other.Identity.PublicKeyText, ApprovedAt = DateTimeOffset.UnixEpoch });
        ApplyTrust();
    }

    /// <summary>Pings the other node and waits; the result event, or null when none came in time.</summary>
    public NodeEvent? Ping(WireNode other, TimeSpan? timeout = null)
    {
        long token = Random.Shared.NextInt64();
        Node.Ping(_wire.Now, other.NodeId, token, timeout ?? TimeSpan.FromSeconds(15));
        _wire.RunUntil(() => Events.Exists(e => e.Kind == NodeEventKind.PingResult && e.Token == token), TimeSpan.FromSeconds(60));
        int index = Events.FindIndex(e => e.Kind == NodeEventKind.PingResult && e.Token == token);
        return index < 0 ? null : Events[index];
    }

    public PeerStatus? Peer(WireNode other) => Node.GetPeers(_wire.Now).FirstOrDefault(p => p.NodeId == other.NodeId);

    public void TakeEvents(Instant now)
    {
        while (Node.TryGetEvent(out NodeEvent nodeEvent))
        {
            Events.Add(nodeEvent);
            WireNode? subject = _wire.Nodes.Find(n => n.NodeId == nodeEvent.NodeId);
            switch (nodeEvent.Kind)
            {
                case NodeEventKind.ResolveNeeded when RegistryIsDown:
                    Node.CompleteResolve(now, nodeEvent.NodeId, new ResolveAnswer(ResolveOutcome.Unavailable, null, []));
                    break;
                case NodeEventKind.ResolveNeeded:
                    bool allowed = subject is not null && (subject.IsPublic || subject.IsLeaked || subject._trusted.Exists(t => t.NodeId == NodeId));
                    Node.CompleteResolve(now, nodeEvent.NodeId, allowed
                        ? new ResolveAnswer(ResolveOutcome.Found, subject!.Endpoint, [])
                        : new ResolveAnswer(ResolveOutcome.Refused, null, [], "request failed"));
                    break;
                case NodeEventKind.LookupNeeded when AnswersLookupsAt > now:
                    _wire.At(AnswersLookupsAt, () => Node.CompleteLookup(_wire.Now, nodeEvent.NodeId, new LookupAnswer(true, subject?.Identity.PublicKey, [])));
                    break;
                case NodeEventKind.LookupNeeded:
                    Node.CompleteLookup(now, nodeEvent.NodeId, new LookupAnswer(!RegistryIsDown, RegistryIsDown ? null : subject?.Identity.PublicKey, []));
                    break;
            }
        }
    }

    private void ApplyTrust() => Node.SetTrust(TrustSnapshot.Create(_trusted, [], []));

    private Node Create(uint seed)
    {
        var node = new Node(new NodeOptions { IsPublic = IsPublic, BufferLimit = _wire.BufferLimit, MaxTimeWaits = _wire.MaxTimeWaits }, Identity, new SeededRandom((NodeId << 8) + seed), _wire.Now,
            DateTimeOffset.UnixEpoch.AddDays(20_000) + (_wire.Now - Instant.Origin));
        node.SetRegistered(_wire.Now, NodeId);
        return node;
    }
}

internal sealed class SeededRandom(uint seed) : IRandomSource
{
    private readonly Random _random = new((int)seed);

    public void Fill(Span<byte> destination) => _random.NextBytes(destination);

    public uint NextUInt32() => (uint)_random.NextInt64(0, 1L << 32);
}
