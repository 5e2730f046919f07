namespace Pilot.Protocol.Registry;

// Members stand in the order of their JSON names, which is the order in which the reference writes them.

/// <summary>Response to <c>beacon_register</c>. Spec 03 section 6.9.</summary>
public sealed record BeaconRegisterResponse
{
    /// <summary>The beacon.</summary>
    public uint BeaconId { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "beacon_register_ok";
}

/// <summary>Response to <c>beacon_list</c>. Spec 03 section 6.9.</summary>
public sealed record BeaconListResponse
{
    /// <summary>Unordered.</summary>
    public IReadOnlyList<BeaconEntry> Beacons { get; init => field = value ?? []; } = [];

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "beacon_list_ok";
}

/// <summary>Response to <c>list_networks</c>. Spec 03 section 6.9.</summary>
public sealed record ListNetworksResponse
{
    /// <summary>Unordered.</summary>
    public IReadOnlyList<NetworkEntry> Networks { get; init => field = value ?? []; } = [];

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "list_networks_ok";
}

/// <summary>Response to <c>list_nodes</c>. Spec 03 section 6.9.</summary>
public sealed record ListNodesResponse
{
    /// <summary>Extension: more entries follow.</summary>
    public string? NextCursor { get; init; }

    /// <summary>The members.</summary>
    public IReadOnlyList<NodeEntry> Nodes { get; init => field = value ?? []; } = [];

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "list_nodes_ok";
}

/// <summary>A beacon. Spec 03 section 6.9.</summary>
public sealed record BeaconEntry
{
    /// <summary><c>host:port</c>.</summary>
    public string Addr { get; init => field = value ?? ""; } = "";

    /// <summary>Its id.</summary>
    public uint Id { get; init; }
}

/// <summary>A network. Spec 03 section 6.9.</summary>
public sealed record NetworkEntry
{
    /// <summary>Unix seconds.</summary>
    public long Created { get; init; }

    /// <summary>Enterprise networks, when set.</summary>
    public string? Description { get; init; }

    /// <summary>Enterprise features.</summary>
    public bool Enterprise { get; init; }

    /// <summary>Its id.</summary>
    public ushort Id { get; init; }

    /// <summary>Join rule.</summary>
    public string JoinRule { get; init => field = value ?? ""; } = "";

    /// <summary>Enterprise networks, when set.</summary>
    public int? MaxMembers { get; init; }

    /// <summary>Count, offline ones included.</summary>
    public int Members { get; init; }

    /// <summary>Its name.</summary>
    public string Name { get; init => field = value ?? ""; } = "";
}

/// <summary>A member of a network. Spec 03 section 6.9.</summary>
public sealed record NodeEntry
{
    /// <summary>Overlay address in that network.</summary>
    public string Address { get; init => field = value ?? ""; } = "";

    /// <summary>External identity.</summary>
    public string? ExternalId { get; init; }

    /// <summary>Hostname.</summary>
    public string? Hostname { get; init; }

    /// <summary>RFC 3339, seconds; live nodes.</summary>
    public string? LastSeen { get; init; }

    /// <summary>The node.</summary>
    public uint NodeId { get; init; }

    /// <summary>True for a member without live record, else absent.</summary>
    public bool? Offline { get; init; }

    /// <summary>Reputation; live nodes.</summary>
    public long? PoloScore { get; init; }

    /// <summary>Visibility; live nodes.</summary>
    public bool? Public { get; init; }

    /// <summary>Endpoint; live and public.</summary>
    public string? RealAddr { get; init; }

    /// <summary>Role in the network.</summary>
    public string? Role { get; init; }

    /// <summary>Tags, when set.</summary>
    public IReadOnlyList<string>? Tags { get; init; }

    /// <summary>True, or absent.</summary>
    public bool? TaskExec { get; init; }
}
