using Pilot.Protocol;

namespace Pilot.Rendezvous.Beacon;

// Several beacons (spec 04 sections 3.7 and 4.3, docs/wire.md).
public sealed partial class BeaconMachine
{
    private const int MaxSyncNodes = (65507 - BeaconSync.HeaderSize - BeaconSyncTrailer.Size) / 4; // what one UDP datagram over IPv4 carries

    private readonly GossipTable _gossip;
    private readonly HashSet<UdpEndpoint> _peers = [];
    private readonly Dictionary<UdpEndpoint, PeerBeacon> _ours = []; // only peers, so it needs no cap of its own

    /// <summary>Nodes known by gossip.</summary>
    public int GossipCount => _gossip.Count;

    /// <summary>Other beacons.</summary>
    public int PeerCount => _peers.Count;

    /// <summary>Replaces the beacons whose SYNC and RELAY count, and which get ours.</summary>
    public void SetPeers(IEnumerable<UdpEndpoint> peers)
    {
        ArgumentNullException.ThrowIfNull(peers);
        _peers.Clear();
        _peers.UnionWith(peers);
        foreach (UdpEndpoint known in _ours.Keys)
        {
            if (!_peers.Contains(known))
            {
                _ours.Remove(known);
            }
        }
    }

    /// <summary>Tells the peers that no node is here any more: before a stop.</summary>
    public void SayGoodbye(DateTimeOffset now, IBeaconSink sink)
    {
        _nodes.Clear();
        SendSync(now, sink);
    }

    private bool IsOurs(DateTimeOffset now, UdpEndpoint beacon) =>
        _ours.TryGetValue(beacon, out PeerBeacon peer) && now - peer.HeardAt <= _options.GossipLifetime + _options.GossipLifetime;

    private bool HasProbingPeer(UdpEndpoint node) => ProbingPeer(node) is not null;

    private UdpEndpoint? ProbingPeer(UdpEndpoint node)
    {
        foreach ((UdpEndpoint beacon, _) in _ours)
        {
            if (beacon.IsIPv4 == node.IsIPv4)
            {
                return beacon;
            }
        }

        return null;
    }

    private bool TryGetElsewhere(DateTimeOffset now, uint node, out UdpEndpoint beacon) =>
        _gossip.TryGet(node, out beacon, out DateTimeOffset announced) && (!Has(BeaconRules.Expiry) || now - announced <= _options.GossipLifetime);

    private bool IsAuthentic(DateTimeOffset now, ulong time, bool verified) =>
        verified && (_options.Key.Length == 0 || Math.Abs(now.ToUnixTimeMilliseconds() - (double)time) <= _options.GossipLifetime.TotalMilliseconds);

    private void SendForward(
        DateTimeOffset now, BeaconExtensionType type, uint requester, uint target, ulong token, UdpEndpoint endpoint, UdpEndpoint beacon, IBeaconSink sink)
    {
        Span<byte> message = stackalloc byte[BeaconForward.MaxSize];
        sink.Send(beacon, message[..BeaconForward.Write(message, type, (ulong)now.ToUnixTimeMilliseconds(), requester, target, token, endpoint, _options.Key)]);
    }

    private void HandleSync(DateTimeOffset now, UdpEndpoint source, ReadOnlySpan<byte> datagram)
    {
        if (!BeaconSync.TryParse(datagram, out BeaconSync sync) || (Has(BeaconRules.PeerSource) && !_peers.Contains(source)))
        {
            return;
        }

        if (BeaconSyncTrailer.TryVerify(datagram, sync.Count, _options.Key, out ulong round) && _options.Extends && _peers.Contains(source))
        {
            if (!TakeRound(now, source, round, isNew: true))
            {
                return;
            }
        }
        else if (_options.Key.Length > 0)
        {
            // With a key, a beacon that does not have it is no peer.
            return;
        }

        _gossip.Forget(source);
        for (int i = 0; i < sync.Count; i++)
        {
            Learn(now, sync[i], source);
        }
    }

    private void HandleSyncChunk(DateTimeOffset now, UdpEndpoint source, ReadOnlySpan<byte> datagram)
    {
        if (!BeaconSyncChunk.TryParse(datagram, out BeaconSyncChunk chunk) || !chunk.Verify(_options.Key))
        {
            return;
        }

        bool isNew = !_ours.TryGetValue(source, out PeerBeacon peer) || chunk.Round > peer.Round;
        if (!TakeRound(now, source, chunk.Round, isNew))
        {
            return;
        }

        if (chunk is { Count: 1, NodeCount: 0 })
        {
            _gossip.Forget(source);
        }
        else if (isNew)
        {
            // What the new list does not name any more expires by itself: a lost part must not make its nodes unreachable.
            _gossip.Begin(source);
        }

        for (int i = 0; i < chunk.NodeCount; i++)
        {
            Learn(now, chunk[i], source);
        }
    }

    // A list counts once, and with a key only while it is fresh: a recorded one is worth nothing.
    private bool TakeRound(DateTimeOffset now, UdpEndpoint source, ulong round, bool isNew)
    {
        bool known = _ours.TryGetValue(source, out PeerBeacon peer);
        if (!IsAuthentic(now, round, verified: true) || (known && (round < peer.Round || (isNew && round == peer.Round))))
        {
            return false;
        }

        _ours[source] = new PeerBeacon(round, now);
        return true;
    }

    private void Learn(DateTimeOffset now, uint id, UdpEndpoint beacon)
    {
        if (!TryGetFresh(now, id, out NodeEntry? entry) || (Has(BeaconRules.Expiry) && IsOlderThanRebind(now, entry!)))
        {
            _gossip.Add(id, beacon, now);
        }
    }

    // One datagram with everything toward references, which replace what they knew by each; parts toward ours.
    private void SendSync(DateTimeOffset now, IBeaconSink sink)
    {
        if (_peers.Count == 0)
        {
            return;
        }

        uint[] ids = [.. _nodes.Ids];
        ulong round = (ulong)now.ToUnixTimeMilliseconds();
        foreach (UdpEndpoint peer in _peers)
        {
            if (_options.Extends && IsOurs(now, peer))
            {
                SendChunks(peer, ids, round, sink);
                continue;
            }

            int length = BeaconSync.Write(_scratch, _options.BeaconId, ids.AsSpan(0, Math.Min(ids.Length, MaxSyncNodes)));
            sink.Send(peer, _scratch.AsSpan(0, _options.Extends ? BeaconSyncTrailer.Write(_scratch, length, round, _options.Key) : length));
        }
    }

    private void SendChunks(UdpEndpoint peer, uint[] ids, ulong round, IBeaconSink sink)
    {
        Span<byte> message = stackalloc byte[BeaconSyncChunk.MaxSize];
        int count = Math.Max(1, (ids.Length + BeaconSyncChunk.MaxNodes - 1) / BeaconSyncChunk.MaxNodes);
        for (int i = 0; i < count; i++)
        {
            int start = i * BeaconSyncChunk.MaxNodes;
            ReadOnlySpan<uint> part = ids.AsSpan(start, Math.Min(BeaconSyncChunk.MaxNodes, ids.Length - start));
            sink.Send(peer, message[..BeaconSyncChunk.Write(message, _options.BeaconId, round, i, count, part, _options.Key)]);
        }
    }

    private readonly record struct PeerBeacon(ulong Round, DateTimeOffset HeardAt);
}
