using System.Diagnostics.CodeAnalysis;
using Pilot.Protocol;

namespace Pilot.Rendezvous.Beacon;

/// <summary>Node id to observed address, with the oldest entries at hand: proven and unproven ones each in the order of their last refresh.</summary>
internal sealed class NodeTable
{
    private readonly Dictionary<uint, NodeEntry> _entries = [];
    private readonly LinkedList<NodeEntry> _unproven = new();
    private readonly LinkedList<NodeEntry> _proven = new();

    public int Count => _entries.Count;

    public IEnumerable<uint> Ids => _entries.Keys;

    public bool TryGet(uint id, [NotNullWhen(true)] out NodeEntry? entry) => _entries.TryGetValue(id, out entry);

    public NodeEntry Set(uint id, UdpEndpoint source, bool proven, DateTimeOffset now)
    {
        if (_entries.TryGetValue(id, out NodeEntry? entry))
        {
            entry.Place.List!.Remove(entry.Place);
        }
        else
        {
            _entries[id] = entry = new NodeEntry(id);
        }

        entry.Source = source;
        entry.Proven = proven;
        entry.RefreshedAt = now;
        (proven ? _proven : _unproven).AddLast(entry.Place);
        return entry;
    }

    public void Clear()
    {
        _entries.Clear();
        _unproven.Clear();
        _proven.Clear();
    }

    public void EvictOldest()
    {
        if ((_unproven.First ?? _proven.First) is { } oldest)
        {
            Remove(oldest.Value);
        }
    }

    public void RemoveOlderThan(DateTimeOffset time)
    {
        foreach (LinkedList<NodeEntry> list in (LinkedList<NodeEntry>[])[_unproven, _proven])
        {
            while (list.First is { } oldest && oldest.Value.RefreshedAt < time)
            {
                Remove(oldest.Value);
            }
        }
    }

    private void Remove(NodeEntry entry)
    {
        entry.Place.List!.Remove(entry.Place);
        _entries.Remove(entry.Id);
    }
}

/// <summary>One node as the beacon knows it.</summary>
internal sealed class NodeEntry
{
    public NodeEntry(uint id)
    {
        Id = id;
        Place = new LinkedListNode<NodeEntry>(this);
    }

    public uint Id { get; }

    public UdpEndpoint Source { get; set; }

    public DateTimeOffset RefreshedAt { get; set; }

    /// <summary>The registry saw the node at this address.</summary>
    public bool Proven { get; set; }

    /// <summary>The node signed for this address.</summary>
    public bool Signed { get; set; }

    /// <summary>The node showed that it gets what is sent to this address.</summary>
    public bool Verified { get; set; }

    /// <summary>The token of the last DISCOVER of a node of ours; 0 for references.</summary>
    public ulong Token { get; set; }

    /// <summary>Bytes that came from this address and were not yet used up by bytes sent there.</summary>
    public int Received { get; set; }

    /// <summary>Frames dropped for want of time that it was not told about, and when it was told last.</summary>
    public int Dropped { get; set; }

    public DateTimeOffset ToldAt { get; set; }

    public LinkedListNode<NodeEntry> Place { get; }

    /// <summary>The address is a new one: what was shown for the old one is gone.</summary>
    public void Forget()
    {
        Signed = Verified = false;
        Token = 0;
        Received = 0;
    }
}
