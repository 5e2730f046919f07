namespace Pilot.Protocol.Registry;

// Members stand in the order of their JSON names, which is the order in which the reference writes them.

/// <summary>Announces a beacon for 60 s. Spec 03 section 6.9.</summary>
public sealed record BeaconRegisterRequest
{
    /// <summary><c>host:port</c>.</summary>
    public required string Addr { get; init; }

    /// <summary>Not 0.</summary>
    public required uint BeaconId { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "beacon_register";
}

/// <summary>Lists the beacons. Spec 03 section 6.9.</summary>
public sealed record BeaconListRequest
{
    /// <summary>The message type.</summary>
    public string Type { get; } = "beacon_list";
}

/// <summary>Lists the networks. Spec 03 section 6.9.</summary>
public sealed record ListNetworksRequest
{
    /// <summary>The message type.</summary>
    public string Type { get; } = "list_networks";
}

/// <summary>Lists the members of a network. Spec 03 section 6.9.</summary>
public sealed record ListNodesRequest
{
    /// <summary>For network 0.</summary>
    public string? AdminToken { get; init; }

    /// <summary>Extension: where to go on.</summary>
    public string? Cursor { get; init; }

    /// <summary>Extension: most entries wanted.</summary>
    public int? Limit { get; init; }

    /// <summary>0 needs the admin token.</summary>
    public required ushort NetworkId { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "list_nodes";
}
