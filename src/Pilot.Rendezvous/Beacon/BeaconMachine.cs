using Pilot.Protocol;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Beacon;

/// <summary>
/// The beacon (spec 04 sections 3 and 4) without a socket: discovery, punching, relay and gossip. Pure: time is an argument, datagrams go to a sink.
/// Not thread-safe: one caller at a time.
/// </summary>
public sealed class BeaconMachine
{
    private const int MaxSyncNodes = (65507 - BeaconSync.HeaderSize) / 4; // what one UDP datagram over IPv4 carries

    private readonly BeaconOptions _options;
    private readonly IBeaconDirectory? _directory;
    private readonly NodeTable _nodes = new();
    private readonly GossipTable _gossip;
    private readonly HashSet<UdpEndpoint> _peers = [];
    private readonly Dictionary<(uint Requester, uint Target), DateTimeOffset> _punches = [];
    private readonly RateLimiter _requests;
    private readonly RateLimiter _commands;
    private readonly RateLimiter _relayed;
    private readonly byte[] _scratch = new byte[ushort.MaxValue];

    /// <summary>A beacon that knows nobody.</summary>
    /// <param name="options">Settings.</param>
    /// <param name="directory">The registry of the same process, or null: relations and proofs are then unknown, and punching is open to all.</param>
    /// <param name="now">Time of the host.</param>
    public BeaconMachine(BeaconOptions options, IBeaconDirectory? directory, DateTimeOffset now)
    {
        ArgumentNullException.ThrowIfNull(options);
        _options = options;
        _directory = directory;
        _gossip = new GossipTable(options.MaxGossipNodes);
        NextTick = now + options.SyncInterval;
        bool limited = Has(BeaconRules.Limits);
        _requests = new RateLimiter(limited ? 3 * options.RequestsPerSecond : 0, TimeSpan.FromSeconds(3), options.MaxNodes);
        _commands = new RateLimiter(limited ? 2 * options.PunchesPerSecond : 0, TimeSpan.FromSeconds(2), options.MaxNodes);
        _relayed = new RateLimiter(limited ? options.RelayBytesPerSecond : 0, TimeSpan.FromSeconds(1), options.MaxNodes);
    }

    /// <summary>When to call <see cref="Tick"/> next.</summary>
    public DateTimeOffset NextTick { get; private set; }

    /// <summary>Nodes known at first hand.</summary>
    public int NodeCount => _nodes.Count;

    /// <summary>Nodes known by gossip.</summary>
    public int GossipCount => _gossip.Count;

    /// <summary>Datagrams relayed to a node or to another beacon.</summary>
    public long RelayedCount { get; private set; }

    /// <summary>Replaces the beacons whose SYNC and RELAY count, and which get ours.</summary>
    public void SetPeers(IEnumerable<UdpEndpoint> peers)
    {
        ArgumentNullException.ThrowIfNull(peers);
        _peers.Clear();
        _peers.UnionWith(peers);
    }

    /// <summary>The address stored for a node; false when there is none, or none that is fresh.</summary>
    public bool TryGetAddress(DateTimeOffset now, uint node, out UdpEndpoint address)
    {
        address = default;
        if (!TryGetFresh(now, node, out NodeEntry? entry))
        {
            return false;
        }

        address = entry!.Source;
        return true;
    }

    /// <summary>Takes one datagram. Never throws on its content; what is malformed or not for a beacon is dropped.</summary>
    public void Handle(DateTimeOffset now, UdpEndpoint source, ReadOnlySpan<byte> datagram, IBeaconSink sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        if (!BeaconMessage.TryGetType(datagram, out BeaconMessageType type))
        {
            return;
        }

        switch (type)
        {
            case BeaconMessageType.Discover:
                HandleDiscover(now, source, datagram, sink);
                break;
            case BeaconMessageType.PunchRequest:
                HandlePunchRequest(now, source, datagram, sink);
                break;
            case BeaconMessageType.Relay:
                HandleRelay(now, source, datagram, sink);
                break;
            case BeaconMessageType.Sync:
                HandleSync(now, source, datagram);
                break;
        }
    }

    /// <summary>Expires entries and sends SYNC to the peers. Does nothing before <see cref="NextTick"/>.</summary>
    public void Tick(DateTimeOffset now, IBeaconSink sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        if (now < NextTick)
        {
            return;
        }

        NextTick = now + _options.SyncInterval;
        if (Has(BeaconRules.Expiry))
        {
            _nodes.RemoveOlderThan(now - _options.NodeLifetime);
            _gossip.RemoveOlderThan(now - _options.GossipLifetime);
        }

        foreach (((uint, uint) pair, DateTimeOffset at) in _punches)
        {
            if (now - at > _options.MutualPunchWindow)
            {
                _punches.Remove(pair);
            }
        }

        _requests.Sweep(now);
        _commands.Sweep(now);
        _relayed.Sweep(now);
        SendSync(sink);
    }

    private bool Has(BeaconRules rule) => (_options.Rules & rule) != 0;

    private void HandleDiscover(DateTimeOffset now, UdpEndpoint source, ReadOnlySpan<byte> datagram, IBeaconSink sink)
    {
        if (!BeaconDiscover.TryParse(datagram, out BeaconDiscover discover) || !_requests.TryTake(now, source.Ip, out _))
        {
            return;
        }

        TryBind(now, discover.NodeId, source);
        Span<byte> reply = stackalloc byte[BeaconDiscoverReply.MaxSize];
        sink.Send(source, reply[..new BeaconDiscoverReply(source).Write(reply)]);
    }

    private void HandlePunchRequest(DateTimeOffset now, UdpEndpoint source, ReadOnlySpan<byte> datagram, IBeaconSink sink)
    {
        if (!BeaconPunchRequest.TryParse(datagram, out BeaconPunchRequest punch)
            || !_requests.TryTake(now, source.Ip, out _)
            || !TryBind(now, punch.Requester, source)
            || punch.Requester == punch.Target)
        {
            return;
        }

        bool allowed = MayPunch(now, punch, source);
        if (_punches.Count < _options.MaxNodes)
        {
            _punches[(punch.Requester, punch.Target)] = now;
        }

        if (!allowed || !TryGetFresh(now, punch.Target, out NodeEntry? target) || !_commands.TryTake(now, punch.Target, out _))
        {
            return;
        }

        Span<byte> command = stackalloc byte[BeaconPunchCommand.MaxSize];
        sink.Send(source, command[..new BeaconPunchCommand(target!.Source).Write(command)]);
        sink.Send(target.Source, command[..new BeaconPunchCommand(source).Write(command)]);
    }

    // Nothing goes out to a stranger, also not to the target alone: its punch packets would show its address just as well.
    private bool MayPunch(DateTimeOffset now, BeaconPunchRequest punch, UdpEndpoint source)
    {
        if (!Has(BeaconRules.PunchPrivacy) || _directory is null)
        {
            return true;
        }

        bool proven = _directory.HasProof(punch.Requester, source.Ip, now - _options.ProofAge);
        bool mutual = _punches.TryGetValue((punch.Target, punch.Requester), out DateTimeOffset at) && now - at <= _options.MutualPunchWindow;
        return proven && (mutual || _directory.MayPunch(punch.Requester, punch.Target));
    }

    private void HandleRelay(DateTimeOffset now, UdpEndpoint source, ReadOnlySpan<byte> datagram, IBeaconSink sink)
    {
        if (!BeaconRelay.TryParse(datagram, out BeaconRelay relay))
        {
            return;
        }

        bool fromBeacon = _peers.Contains(source);
        bool fromSender = TryGetFresh(now, relay.Sender, out NodeEntry? sender) && sender!.Source == source;
        if ((Has(BeaconRules.RelaySource) && !fromBeacon && !fromSender) || !_relayed.TryTake(now, relay.Sender, datagram.Length, out _))
        {
            return;
        }

        bool local = TryGetFresh(now, relay.Destination, out NodeEntry? destination);
        bool elsewhere = _gossip.TryGet(relay.Destination, out UdpEndpoint beacon, out DateTimeOffset announced)
            && (!Has(BeaconRules.Expiry) || now - announced <= _options.GossipLifetime);
        if (local && !(elsewhere && IsOlderThanRebind(now, destination!)))
        {
            int length = BeaconRelayDeliver.WriteHeader(_scratch, relay.Sender);
            relay.Frame.CopyTo(_scratch.AsSpan(length));
            sink.Send(destination!.Source, _scratch.AsSpan(0, length + relay.Frame.Length));
            RelayedCount++;
        }
        else if (elsewhere && !(fromBeacon && Has(BeaconRules.PeerSource)))
        {
            sink.Send(beacon, datagram);
            RelayedCount++;
        }
    }

    private void HandleSync(DateTimeOffset now, UdpEndpoint source, ReadOnlySpan<byte> datagram)
    {
        if (!BeaconSync.TryParse(datagram, out BeaconSync sync) || (Has(BeaconRules.PeerSource) && !_peers.Contains(source)))
        {
            return;
        }

        _gossip.Forget(source);
        for (int i = 0; i < sync.Count; i++)
        {
            uint id = sync[i];
            if (!TryGetFresh(now, id, out NodeEntry? entry) || (Has(BeaconRules.Expiry) && IsOlderThanRebind(now, entry!)))
            {
                _gossip.Add(id, source, now);
            }
        }
    }

    private void SendSync(IBeaconSink sink)
    {
        if (_peers.Count == 0)
        {
            return;
        }

        uint[] ids = [.. _nodes.Ids.Take(MaxSyncNodes)];
        int length = BeaconSync.Write(_scratch, _options.BeaconId, ids);
        foreach (UdpEndpoint peer in _peers)
        {
            sink.Send(peer, _scratch.AsSpan(0, length));
        }
    }

    // Stores where a node is; false when another address holds the id and nothing speaks for this one.
    private bool TryBind(DateTimeOffset now, uint id, UdpEndpoint source)
    {
        bool guarded = Has(BeaconRules.Rebinding);
        if (guarded && id == 0)
        {
            return false;
        }

        bool proven = _directory?.HasProof(id, source.Ip, now - _options.ProofAge) == true;
        if (TryGetFresh(now, id, out NodeEntry? entry))
        {
            if (entry!.Source == source)
            {
                proven |= entry.Proven;
            }
            else if (guarded && !MayRebind(now, id, source, entry, proven))
            {
                return false;
            }
        }
        else if (Has(BeaconRules.Limits) && _nodes.Count >= _options.MaxNodes)
        {
            _nodes.EvictOldest();
        }

        _nodes.Set(id, source, proven, now);
        _gossip.Remove(id);
        return true;
    }

    // A proof counts against a proven entry only if it is newer: the old address was proved once, too.
    private bool MayRebind(DateTimeOffset now, uint id, UdpEndpoint source, NodeEntry entry, bool proven) =>
        IsOlderThanRebind(now, entry)
        || (proven && (!entry.Proven || _directory!.HasProof(id, source.Ip, entry.RefreshedAt + TimeSpan.FromTicks(1))));

    private bool IsOlderThanRebind(DateTimeOffset now, NodeEntry entry) => now - entry.RefreshedAt > _options.RebindAge;

    private bool TryGetFresh(DateTimeOffset now, uint id, out NodeEntry? entry) =>
        _nodes.TryGet(id, out entry) && (!Has(BeaconRules.Expiry) || now - entry.RefreshedAt <= _options.NodeLifetime);
}
