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

    public void Set(uint id, UdpEndpoint source, bool proven, DateTimeOffset now)
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

    public LinkedListNode<NodeEntry> Place { get; }
}
