using Pilot.Protocol;

namespace Pilot.Rendezvous.Beacon;

/// <summary>Nodes that other beacons announced by SYNC. Each SYNC replaces what its source said before.</summary>
internal sealed class GossipTable(int capacity)
{
    private readonly Dictionary<uint, (UdpEndpoint Beacon, DateTimeOffset At)> _nodes = [];
    private readonly Dictionary<UdpEndpoint, List<uint>> _announced = [];

    public int Count => _nodes.Count;

    public bool TryGet(uint id, out UdpEndpoint beacon, out DateTimeOffset at)
    {
        bool found = _nodes.TryGetValue(id, out (UdpEndpoint Beacon, DateTimeOffset At) entry);
        (beacon, at) = entry;
        return found;
    }

    public void Forget(UdpEndpoint beacon)
    {
        if (_announced.Remove(beacon, out List<uint>? ids))
        {
            foreach (uint id in ids)
            {
                if (_nodes.TryGetValue(id, out (UdpEndpoint Beacon, DateTimeOffset At) entry) && entry.Beacon == beacon)
                {
                    _nodes.Remove(id);
                }
            }
        }
    }

    /// <summary>A new list of this beacon begins; what the old one named stays until it is too old.</summary>
    public void Begin(UdpEndpoint beacon) => _announced.Remove(beacon);

    public void Add(uint id, UdpEndpoint beacon, DateTimeOffset now)
    {
        if (_nodes.Count >= capacity && !_nodes.ContainsKey(id))
        {
            return;
        }

        _nodes[id] = (beacon, now);
        if (!_announced.TryGetValue(beacon, out List<uint>? ids))
        {
            _announced[beacon] = ids = [];
        }

        ids.Add(id);
    }

    public void Remove(uint id) => _nodes.Remove(id);

    public void RemoveOlderThan(DateTimeOffset time)
    {
        foreach ((uint id, (UdpEndpoint Beacon, DateTimeOffset At) entry) in _nodes)
        {
            if (entry.At < time)
            {
                _nodes.Remove(id);
            }
        }

        foreach ((UdpEndpoint beacon, List<uint> ids) in _announced)
        {
            if (!ids.Exists(id => _nodes.TryGetValue(id, out (UdpEndpoint Beacon, DateTimeOffset At) entry) && entry.Beacon == beacon))
            {
                _announced.Remove(beacon);
            }
        }
    }
}
