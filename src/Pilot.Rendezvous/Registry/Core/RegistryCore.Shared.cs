namespace Pilot.Rendezvous.Registry;

// What several processes on one store tell each other besides events
internal sealed partial class RegistryCore
{
    private readonly HashSet<uint> _touched = [];

    /// <summary>Collects the signs of life for <see cref="TakeSigns"/>.</summary>
    public bool SharesSigns { get; set; }

    /// <summary>The nodes heard of since the last call.</summary>
    public List<SharedSign> TakeSigns(DateTimeOffset now)
    {
        var signs = new List<SharedSign>(_touched.Count);
        foreach (uint id in _touched)
        {
            if (State.Nodes.TryGetValue(id, out NodeRecord? node))
            {
                signs.Add(new SharedSign(id, node.LastSeen, HasConnection(node), node.ProofIp, node.ProofAt));
            }
        }

        _touched.Clear();
        return signs;
    }

    /// <summary>Beacons that registered here.</summary>
    public List<SharedBeacon> OwnBeacons(DateTimeOffset now) =>
        [.. _beacons.Where(b => !b.Value.Foreign && IsFresh(b.Value, now)).Select(b => new SharedBeacon(b.Key, b.Value.Address, b.Value.Source, b.Value.SeenAt, false))];

    /// <summary>Takes over what other processes saw.</summary>
    public void Merge(IEnumerable<SharedSign> signs, IEnumerable<SharedBeacon> beacons, DateTimeOffset now)
    {
        foreach (SharedSign sign in signs)
        {
            if (!State.Nodes.TryGetValue(sign.Node, out NodeRecord? node))
            {
                continue;
            }

            DateTimeOffset seen = sign.SeenAt < now ? sign.SeenAt : now; // clocks of machines differ
            node.LastSeen = seen > node.LastSeen ? seen : node.LastSeen;
            node.ConnectedElsewhere = sign.Connected ? seen : default;
            if (sign.ProofAt > node.ProofAt)
            {
                node.ProofAt = sign.ProofAt < now ? sign.ProofAt : now;
                node.ProofIp = sign.ProofIp;
            }
        }

        foreach (SharedBeacon beacon in beacons)
        {
            if (!_beacons.TryGetValue(beacon.Id, out BeaconRecord? known) ? _beacons.Count < _options.Limits.MaxBeacons : known.SeenAt < beacon.SeenAt)
            {
                _beacons[beacon.Id] = new BeaconRecord(beacon.Address, beacon.Source, beacon.SeenAt < now ? beacon.SeenAt : now) { Foreign = true };
            }
        }
    }

    private void Touch(uint node)
    {
        if (SharesSigns)
        {
            _touched.Add(node);
        }
    }

    private bool HasConnection(NodeRecord node) =>
        _present.TryGetValue(node.Id, out List<RegistryConnection>? connections) && connections.Exists(c => c.Proves(node.Id, node.Key));

    // A lease: renewed by every heartbeat at the other process.
    private bool IsConnectedElsewhere(NodeRecord node, DateTimeOffset now) => now - node.ConnectedElsewhere < _options.SharedLease;
}
