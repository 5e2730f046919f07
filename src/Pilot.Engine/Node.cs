using Pilot.Engine.Limits;
using Pilot.Engine.Nat;
using Pilot.Engine.Streams;
using Pilot.Engine.Trust;
using Pilot.Engine.Tunnels;
using Pilot.Protocol;

namespace Pilot.Engine;

/// <summary>
/// One Pilot node as a state machine without sockets, files, threads or clock (spec 00 section 8). The host hands in
/// datagrams, commands, answers and the time; it takes out datagrams (<see cref="Transmit"/>), events
/// (<see cref="TryGetEvent"/>) and the next time to call <see cref="HandleTimeout"/>. Not thread-safe: one owner.
/// </summary>
public sealed partial class Node
{
    private readonly NodeOptions _options;
    private readonly TunnelContext _context;
    private readonly NodeDirectory _directory = new();
    private readonly Dictionary<uint, Peer> _peers = [];
    private readonly DeadlineQueue _deadlines = new();
    private readonly RateLimiter<UInt128> _exchangeSources = new(TunnelConstants.ExchangeRatePerSource, TunnelConstants.ExchangeBurstPerSource, TunnelConstants.MaxRateSources);
    private readonly List<ushort> _networks = [];
    private TokenBucket _repairs = new(TunnelConstants.RepairRate, TunnelConstants.RepairRate);
    private TrustSnapshot _trust = TrustSnapshot.Empty;
    private UdpEndpoint? _relayBeacon;
    private Instant _sweepAt;

    /// <summary>Creates a node that ignores tunnel frames until <see cref="SetRegistered"/>.</summary>
    /// <param name="options">Limits and switches.</param>
    /// <param name="identity">The Ed25519 identity that signs key exchanges.</param>
    /// <param name="random">Cryptographic randomness (seeded in simulations).</param>
    /// <param name="now">The monotonic time now.</param>
    /// <param name="wallClock">The wall clock at the same moment; send counters start there (spec 01 section 15.3).</param>
    public Node(NodeOptions options, Identity identity, IRandomSource random, Instant now, DateTimeOffset wallClock)
    {
        _options = options;
        _chunks = new ChunkPool(options.BufferLimit, options.BufferMemory);
        _context = new TunnelContext(identity, random, now, wallClock)
        {
            AskResolve = AskResolve,
            PeerReady = OnPeerReady,
            Rescheduled = _deadlines.Update,
        };
        _sweepAt = now + SweepInterval;
        _nextPort = (ushort)(TunnelConstants.FirstEphemeralPort + random.NextUInt32() % (65_536 - TunnelConstants.FirstEphemeralPort));
        _synGlobal = new TokenBucket(options.SynRatePerSecond, options.SynRatePerSecond);
        _synSources = new RateLimiter<uint>(options.SynRatePerSource, options.SynRatePerSource, TunnelConstants.MaxRateSources);
        _datagramSources = new RateLimiter<uint>(10_000, 20_000, TunnelConstants.MaxRateSources);
    }

    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(15);

    /// <summary>Free buffer memory that was not needed for two to three of these is given back.</summary>
    private static readonly TimeSpan TrimInterval = TimeSpan.FromSeconds(5);

    /// <summary>Own node id; 0 until registered.</summary>
    public uint NodeId => _context.NodeId;

    /// <summary>Own address, on network 0.</summary>
    public PilotAddress Address => PilotAddress.OfNode(_context.NodeId);

    /// <summary>Counters since the start.</summary>
    public NodeStatistics Statistics => _context.Statistics;

    /// <summary>Where the beacon sees our socket, once it answered.</summary>
    public UdpEndpoint? Mapping => _context.Beacons.Mapping;

    /// <summary>Whether a beacon answers.</summary>
    public bool IsBeaconAnswering => _context.Beacons.IsAnswering;

    /// <summary>What is known about the NAT in front of the tunnel socket.</summary>
    public NatReport Nat => _context.Beacons.Nat;

    /// <summary>The beacons, the one in use first.</summary>
    public IReadOnlyList<BeaconStatus> Beacons => _context.Beacons.Statuses();

    /// <summary>
    /// Further endpoints under which this node can be reached (a port mapping, global IPv6 addresses, LAN addresses): told to
    /// peers of ours inside the tunnel, so that they can try them.
    /// </summary>
    public void SetOwnEndpoints(IReadOnlyList<UdpEndpoint> endpoints) => _context.OwnEndpoints = endpoints;

    /// <summary>Round trip to the beacon in use, if it answered.</summary>
    public TimeSpan? BeaconRtt => _context.Beacons.Rtt;

    /// <summary>The earliest time at which <see cref="HandleTimeout"/> has something to do; may be early, never late.</summary>
    public Instant NextDeadline => Instant.Min(Instant.Min(_deadlines.Next, _context.Beacons.Deadline), Instant.Min(_sweepAt, _trimAt));

    /// <summary>
    /// Whether <see cref="TryGetEvent"/> may have something. <see cref="Transmit"/> causes events too (a stream of the node with itself
    /// needs no datagrams): a host rests only when both have nothing more.
    /// </summary>
    public bool HasEvents => _context.Events.Count > 0 || _news.Count > 0;

    /// <summary>Takes the next event; false if there is none.</summary>
    public bool TryGetEvent(out NodeEvent nodeEvent) => _context.Events.TryTake(out nodeEvent) || TryGetConnectionEvent(out nodeEvent);

    /// <summary>Does what is due.</summary>
    public void HandleTimeout(Instant now)
    {
        _context.Beacons.HandleTimeout(now, _context.NodeId, _context.Identity, _context.Output, _context.Events);
        CheckBeacon(now);
        // Bounded by what was due when we began: an item that stays due is served again at the next call.
        for (int budget = _deadlines.Count; budget > 0 && _deadlines.TakeDue(now) is { } item; budget--)
        {
            switch (item)
            {
                case Peer peer:
                    peer.HandleTimeout(now);
                    break;
                case ConnectionEntry entry:
                    entry.Connection.HandleDeadline(now);
                    AfterConnection(now, entry);
                    break;
            }

            _deadlines.Update(item);
        }

        if (now >= _trimAt)
        {
            _chunks.Trim();
            _trimAt = _chunks.HasSpare ? now + TrimInterval : Instant.Never;
        }

        if (now >= _sweepAt)
        {
            _sweepAt = now + SweepInterval;
            _exchangeSources.Sweep(now);
            _synSources.Sweep(now);
            _synTrusted.Sweep(now);
            _datagramSources.Sweep(now);
            EvictIdlePeers(now, TunnelConstants.UseLifetime * 6);
        }
    }

    /// <summary>Tells the peers when the beacon that relays for us is another one than before.</summary>
    private void CheckBeacon(Instant now)
    {
        if (_context.Beacons.Current != _relayBeacon)
        {
            _relayBeacon = _context.Beacons.Current;
            foreach (Peer peer in _peers.Values)
            {
                peer.OnBeaconChanged(now);
            }
        }
    }

    /// <summary>The registry gave us this id (again). With another id than before, all tunnels begin anew (spec 00 section 3).</summary>
    public void SetRegistered(Instant now, uint nodeId)
    {
        uint before = _context.NodeId;
        _context.NodeId = nodeId;
        _context.Beacons.DiscoverNow(now);
        if (before == nodeId || before == 0)
        {
            return;
        }

        foreach (ConnectionEntry entry in _connections.Values.ToArray())
        {
            entry.Connection.Fail(now, ConnectionError.Reset);
            AfterConnection(now, entry);
        }

        foreach (Peer peer in _peers.Values)
        {
            peer.Forget();
        }
    }

    /// <summary>The host's addresses changed: asks the beacons for our mapping at once, and shows the peers in use where we are now.</summary>
    public void Discover(Instant now)
    {
        _context.Beacons.DiscoverNow(now);
        foreach (Peer peer in _peers.Values)
        {
            peer.OnOwnAddressChanged(now);
        }
    }

    /// <summary>The identity after a key rotation; new exchanges are signed with it.</summary>
    public void SetIdentity(Identity identity) => _context.Identity = identity;

    /// <summary>Own networks other than 0: a peer that shares one is admitted (spec 05 section 12, case b).</summary>
    public void SetNetworks(IEnumerable<ushort> networks)
    {
        _networks.Clear();
        _networks.AddRange(networks.Where(static n => n != 0).Distinct());
    }

    /// <summary>Public nodes admit every registered node.</summary>
    public void SetVisibility(bool isPublic) => _options.IsPublic = isPublic;

    /// <summary>Whether the gates are open for every registered node.</summary>
    public bool IsPublic => _options.IsPublic;

    /// <summary>The trust records, marks and denials that the gates use from now on.</summary>
    public void SetTrust(TrustSnapshot trust)
    {
        _trust = trust;
        _directory.UnblockResolves();
    }

    /// <summary>Ends everything with a peer whose trust ended: connections get RST, its tunnel and queue go (spec 05 section 10.3).</summary>
    public void DropPeer(Instant now, uint nodeId)
    {
        if (!_peers.TryGetValue(nodeId, out Peer? peer))
        {
            return;
        }

        foreach (ConnectionEntry entry in peer.Connections.ToArray())
        {
            entry.Connection.Abort(now);
            SendNow(now, entry);
            AfterConnection(now, entry);
        }

        peer.FailWaiters(ConnectionError.Aborted, "trust revoked");
        peer.Forget();
        RemovePeer(peer);
    }

    /// <summary>Establishes a tunnel and tells the round trip, or why not, as <see cref="NodeEventKind.PingResult"/> with the token.</summary>
    public void Ping(Instant now, uint nodeId, long token, TimeSpan timeout)
    {
        if (nodeId == _context.NodeId)
        {
            _context.Events.AddCertain(new NodeEvent { Kind = NodeEventKind.PingResult, NodeId = nodeId, Token = token });
            return;
        }

        if (Unreachable(nodeId) is { } reason)
        {
            _context.Events.AddCertain(new NodeEvent { Kind = NodeEventKind.PingResult, NodeId = nodeId, Token = token, Error = ConnectionError.Refused, Detail = reason });
            return;
        }

        Wanted(now, nodeId).AddWaiter(now, token, now + timeout);
    }

    /// <summary>The peers with a tunnel or the wish for one.</summary>
    public IReadOnlyList<PeerStatus> GetPeers(Instant now)
    {
        var list = new List<PeerStatus>(_peers.Count);
        foreach (Peer peer in _peers.Values)
        {
            list.Add(new PeerStatus(peer.NodeId, peer.IsReady, peer.IsConfirmed, peer.SendPath(now)?.Status, peer.IsOurs, peer.BytesSent, peer.BytesReceived)
            {
                Paths = peer.PathDetails(now),
            });
        }

        list.Sort(static (a, b) => a.NodeId.CompareTo(b.NodeId));
        return list;
    }

    private string? Unreachable(uint nodeId) =>
        _context.NodeId == 0 ? "not registered yet"
        : nodeId == uint.MaxValue ? $"resolve node {nodeId}: registry: node {nodeId}: node not found"
        : _trust.IsDenied(nodeId) ? $"node {nodeId} was revoked"
        : null;

    /// <summary>The peer that the user wants to reach: an earlier refusal of the registry does not count.</summary>
    private Peer Wanted(Instant now, uint nodeId)
    {
        _directory.Find(nodeId)?.Resolve.Unblock();
        return GetOrAddPeer(now, nodeId);
    }
}

/// <summary>A peer as the host may show it.</summary>
/// <param name="NodeId">Its node id.</param>
/// <param name="IsEncrypted">There is a tunnel key.</param>
/// <param name="IsConfirmed">The peer proved to hold that key.</param>
/// <param name="Path">The path that is used now.</param>
/// <param name="IsOurs">The peer showed that it is a node of ours.</param>
/// <param name="BytesSent">Bytes of UDP payload sent to it.</param>
/// <param name="BytesReceived">Authenticated bytes received from it.</param>
public sealed record PeerStatus(uint NodeId, bool IsEncrypted, bool IsConfirmed, PathStatus? Path, bool IsOurs, ulong BytesSent, ulong BytesReceived)
{
    /// <summary>Every path that is known, the one in use first.</summary>
    public IReadOnlyList<PathDetail> Paths { get; init; } = [];
}
