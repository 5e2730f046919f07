using Pilot.Engine.Streams;
using Pilot.Engine.Tunnels;

namespace Pilot.Engine;

/// <summary>The table of peers: what is asked of it often costs the same for ten peers and for ten thousand.</summary>
public sealed partial class Node
{
    /// <summary>Peers that one look over the table finds for eviction: so a full table is not looked over for each new peer.</summary>
    private const int EvictionBatch = 256;

    /// <summary>The next ones to go when the table is full, with the time of their last use when they were chosen.</summary>
    private readonly Queue<(Peer Peer, Instant Used)> _evictable = new();

    /// <summary>Peers with a tunnel or the wish for one.</summary>
    public int PeerCount => _peers.Count;

    /// <summary>Times that the whole table was looked over because it was full.</summary>
    internal long EvictionScans { get; private set; }

    /// <summary>Whether there is a tunnel key for this peer now.</summary>
    public bool HasTunnel(uint nodeId) => _peers.TryGetValue(nodeId, out Peer? peer) && peer.IsReady;

    private static Instant UsedAt(Peer peer) => Instant.Max(peer.LastUsed, peer.LastReceived);

    private Peer GetOrAddPeer(Instant now, uint nodeId)
    {
        if (_peers.TryGetValue(nodeId, out Peer? peer))
        {
            return peer;
        }

        if (_peers.Count >= _options.MaxPeers)
        {
            EvictOnePeer();
        }

        peer = new Peer(_context, nodeId, now) { IsOurs = _directory.Find(nodeId) is { IsOurs: true } };
        _peers.Add(nodeId, peer);
        return peer;
    }

    /// <summary>Forgets peers without connections that were not used for this long.</summary>
    private void EvictIdlePeers(Instant now, TimeSpan age)
    {
        List<Peer>? idle = null;
        foreach (Peer peer in _peers.Values)
        {
            if (peer.Connections.Count == 0 && now - UsedAt(peer) > age)
            {
                (idle ??= []).Add(peer);
            }
        }

        idle?.ForEach(RemovePeer);
    }

    /// <summary>
    /// Makes room in a full table: of the peers without connections the least recently used one goes, those with trust last. Whoever
    /// was used since the look over the table stays.
    /// </summary>
    private void EvictOnePeer()
    {
        if (!TryEvictChosen())
        {
            ChooseEvictable();
            TryEvictChosen();
        }
    }

    private bool TryEvictChosen()
    {
        while (_evictable.TryDequeue(out var chosen))
        {
            Peer peer = chosen.Peer;
            if (peer.Connections.Count == 0 && UsedAt(peer) == chosen.Used && _peers.TryGetValue(peer.NodeId, out Peer? known) && known == peer)
            {
                RemovePeer(peer);
                return true;
            }
        }

        return false;
    }

    private void ChooseEvictable()
    {
        EvictionScans++;
        // The worst of the chosen stands first, to be replaced by a better one: trusted before untrusted, later before earlier.
        var order = Comparer<(bool IsTrusted, Instant Used)>.Create(static (a, b) =>
            a.IsTrusted == b.IsTrusted ? b.Used.CompareTo(a.Used) : b.IsTrusted.CompareTo(a.IsTrusted));
        var chosen = new PriorityQueue<Peer, (bool IsTrusted, Instant Used)>(EvictionBatch + 1, order);
        foreach (Peer peer in _peers.Values)
        {
            if (peer.Connections.Count == 0)
            {
                (bool, Instant) rank = (_trust.IsKnown(peer.NodeId), UsedAt(peer));
                if (chosen.Count < EvictionBatch)
                {
                    chosen.Enqueue(peer, rank);
                }
                else
                {
                    chosen.EnqueueDequeue(peer, rank);
                }
            }
        }

        var worstFirst = new Stack<Peer>(chosen.Count);
        while (chosen.TryDequeue(out Peer? peer, out _))
        {
            worstFirst.Push(peer);
        }

        while (worstFirst.TryPop(out Peer? peer))
        {
            _evictable.Enqueue((peer, UsedAt(peer)));
        }
    }

    private void RemovePeer(Peer peer)
    {
        _deadlines.Remove(peer);
        peer.FailWaiters(ConnectionError.Aborted, null);
        peer.Forget();
        _deadlines.Remove(peer);
        _peers.Remove(peer.NodeId);
        if (peer.IsOurs)
        {
            _directory.GetOrAdd(peer.NodeId).IsOurs = true;
        }
    }
}
