using Pilot.Protocol;
using Pilot.Protocol.Registry;

namespace Pilot.Rendezvous.Registry;

// Beacons, networks and their nodes (spec 03 section 6.9)
internal sealed partial class RegistryCore
{
    private const int MaxBeaconsPerSource = 16;
    private const int EmptyListBytes = 96;
    private const int BeaconEntryBytes = 40;
    private const int NodeEntryBytes = 320; // all fixed members with their names, two addresses, time and role

    private readonly Dictionary<uint, BeaconRecord> _beacons = [];

    private object BeaconRegister(Turn turn)
    {
        uint id = turn.Request.GetUInt32("beacon_id");
        string address = turn.Request.GetString("addr");
        if (id == 0)
        {
            return Refusal.Invalid("beacon_id required");
        }

        if (address.Length == 0)
        {
            return Refusal.Invalid("addr required");
        }

        UInt128 source = turn.Connection.Source.Ip;
        bool vouched = turn.Admin == AdminState.Valid || _options.AllowedBeacons.Contains(address);
        bool fresh = _beacons.TryGetValue(id, out BeaconRecord? known) && IsFresh(known, turn.Now);
        if (Has(RegistryPolicy.BeaconSource) && !vouched)
        {
            if (!UdpEndpoint.TryParse(address, out UdpEndpoint parsed) || parsed.Ip != source || parsed.Port == 0)
            {
                return Refusal.Unauthorized("beacon address is not its source address");
            }

            if (fresh && known!.Source != source)
            {
                return new Refusal("beacon id is in use", RegistryErrorCode.Conflict);
            }

            if (!fresh && _beacons.Values.Count(b => b.Source == source && IsFresh(b, turn.Now)) >= MaxBeaconsPerSource)
            {
                return new Refusal($"too many beacons from {turn.Connection.SourceText}", RegistryErrorCode.Full);
            }
        }

        if (known is null && _beacons.Count >= _options.Limits.MaxBeacons && !MakeRoom(turn.Now, vouched))
        {
            return new Refusal("beacon table is full", RegistryErrorCode.Full);
        }

        _beacons[id] = new BeaconRecord(address, source, turn.Now);
        return new BeaconRegisterResponse { BeaconId = id };
    }

    // What ran out goes first; for a beacon that the operator named, the oldest of those that nobody did.
    private bool MakeRoom(DateTimeOffset now, bool vouched)
    {
        uint victim = _beacons
            .Where(b => !IsFresh(b.Value, now) || (vouched && !_options.AllowedBeacons.Contains(b.Value.Address)))
            .OrderBy(b => b.Value.SeenAt)
            .Select(b => b.Key)
            .FirstOrDefault();
        return _beacons.Remove(victim);
    }

    private object BeaconList(Turn turn)
    {
        int room = _options.Limits.MaxAnswerBytes - EmptyListBytes;
        var entries = new List<BeaconEntry>();
        foreach ((uint id, BeaconRecord beacon) in _beacons)
        {
            if (IsFresh(beacon, turn.Now) && (room -= BeaconEntryBytes + JsonSize.UpperBound(beacon.Address)) >= 0)
            {
                entries.Add(new BeaconEntry { Id = id, Addr = beacon.Address });
            }
        }

        return new BeaconListResponse { Beacons = entries };
    }

    private bool IsFresh(BeaconRecord beacon, DateTimeOffset now) => now - beacon.SeenAt <= _options.BeaconLifetime;

    private object ListNetworks(Turn turn)
    {
        var entries = new List<NetworkEntry>
        {
            new() { Id = 0, Name = "backbone", JoinRule = "open", Members = State.LiveCount, Created = State.Created.ToUnixTimeSeconds() },
        };
        foreach (NetworkRecord network in State.Networks.Values)
        {
            entries.Add(new NetworkEntry
            {
                Id = network.Id,
                Name = network.Name,
                JoinRule = network.JoinRule,
                Members = network.Members.Count,
                Enterprise = network.Enterprise,
                Created = network.Created.ToUnixTimeSeconds(),
            });
        }

        return new ListNetworksResponse { Networks = entries };
    }

    private object ListNodes(Turn turn)
    {
        ushort networkId = turn.Request.GetUInt16("network_id");
        if (networkId == 0)
        {
            return turn.Admin == AdminState.Valid
                ? ListPage(turn, null, [.. State.Nodes.Values.Where(n => n.Status == NodeStatus.Live).Select(n => n.Id).Order()])
                : Refusal.Unauthorized("listing backbone nodes is not permitted (use lookup with a specific node_id)");
        }

        if (!State.Networks.TryGetValue(networkId, out NetworkRecord? network))
        {
            return new Refusal($"network {networkId}: network not found", RegistryErrorCode.NotFound);
        }

        bool member = ActiveNode(turn.Connection) is { } viewer && network.Members.Contains(viewer.Id);
        return !Has(RegistryPolicy.MemberPrivacy) || member || turn.Admin == AdminState.Valid
            ? ListPage(turn, network, network.Members)
            : Refusal.Unauthorized("members are listed to members only");
    }

    // A page starts behind the node named by the cursor, and ends at the limit or where the answer would be too long for a reference client. The nodes of
    // the backbone come by their ids, so that one that left meanwhile ends nothing; a network has the order of joining.
    private object ListPage(Turn turn, NetworkRecord? network, List<uint> ids)
    {
        int room = _options.Limits.MaxAnswerBytes - EmptyListBytes;
        int limit = turn.Request.TryGetInteger("limit", out long wanted) && wanted > 0 ? (int)Math.Min(wanted, int.MaxValue) : int.MaxValue;
        int start = 0;
        if (uint.TryParse(turn.Request.GetString("cursor"), out uint after))
        {
            start = network is null ? ids.FindIndex(id => id > after) : ids.IndexOf(after) + 1;
            if (network is not null && start == 0)
            {
                return new Refusal("cannot continue: the node of the cursor is not a member any more", RegistryErrorCode.NotFound);
            }
        }

        var entries = new List<NodeEntry>();
        string? next = null;
        foreach (uint id in start >= 0 ? ids.Skip(start) : [])
        {
            NodeEntry entry = Entry(id, network);
            room -= NodeEntryBytes + JsonSize.UpperBound(entry.Hostname ?? "") + JsonSize.UpperBound(entry.ExternalId ?? "")
                + (entry.Tags?.Sum(t => JsonSize.UpperBound(t) + 1) ?? 0);
            if (entries.Count >= limit || room < 0)
            {
                next = entries.Count > 0 ? entries[^1].NodeId.ToString(System.Globalization.CultureInfo.InvariantCulture) : null;
                break;
            }

            entries.Add(entry);
        }

        return new ListNodesResponse { Nodes = entries, NextCursor = next };
    }

    private NodeEntry Entry(uint id, NetworkRecord? network)
    {
        string address = new PilotAddress(network?.Id ?? 0, id).ToString();
        string? role = network?.Roles.GetValueOrDefault(id);
        if (!State.TryGetLive(id, out NodeRecord? node))
        {
            return new NodeEntry { NodeId = id, Address = address, Offline = true, Role = role };
        }

        return new NodeEntry
        {
            NodeId = id,
            Address = address,
            Public = node.Public,
            PoloScore = node.PoloScore,
            LastSeen = Rfc3339(node.LastSeen),
            RealAddr = node.Public ? node.Endpoint : null,
            Hostname = TextOrNull(node.Hostname),
            Tags = node.Tags.Length > 0 ? node.Tags : null,
            TaskExec = node.TaskExec ? true : null,
            ExternalId = TextOrNull(node.ExternalId),
            Role = role,
        };
    }

    private sealed record BeaconRecord(string Address, UInt128 Source, DateTimeOffset SeenAt)
    {
        /// <summary>Told by another process.</summary>
        public bool Foreign { get; init; }
    }
}
