namespace Pilot.Ipc;

/// <summary>One path to a peer.</summary>
public sealed record PathData
{
    /// <summary>The peer; only in the answer of <c>path</c>.</summary>
    public uint? NodeId { get; init; }

    /// <summary>See <see cref="PathName"/>.</summary>
    public required string Path { get; init; }

    /// <summary>UDP endpoint of the peer, or of the beacon of a relayed path; empty for <c>none</c>.</summary>
    public required string Endpoint { get; init; }

    /// <summary>Name of the beacon of a relayed path, as configured; null otherwise.</summary>
    public string? Via { get; init; }

    /// <summary>True: frames go this way now.</summary>
    public bool Used { get; init; }

    /// <summary>True: a probe on it was answered.</summary>
    public bool Confirmed { get; init; }

    /// <summary>True: its probes stopped being answered.</summary>
    public bool Failed { get; init; }

    /// <summary>Smoothed round trip in milliseconds; null before the first answer.</summary>
    public double? RttMs { get; init; }

    /// <summary>Share of the last probes that were not answered, 0 to 1; null before the first.</summary>
    public double? Loss { get; init; }

    /// <summary>Bytes of UDP payload sent on it.</summary>
    public long BytesSent { get; init; }

    /// <summary>Authenticated bytes received on it.</summary>
    public long BytesRecv { get; init; }
}

/// <summary>Answer of <c>net</c>.</summary>
public sealed record NetData
{
    /// <summary>Whether UDP gets out and back: a beacon answers. Null without a beacon.</summary>
    public bool? Udp { get; init; }

    /// <summary>There is an outside IPv4 endpoint.</summary>
    public required bool Ipv4 { get; init; }

    /// <summary>There is an outside IPv6 endpoint, or a global IPv6 address of this host.</summary>
    public required bool Ipv6 { get; init; }

    /// <summary>What was measured about the NAT.</summary>
    public required NatData Nat { get; init; }

    /// <summary>The port mapping at the gateway.</summary>
    public required PortMappingData PortMapping { get; init; }

    /// <summary>The beacons, the one in use first.</summary>
    public required IReadOnlyList<BeaconData> Beacons { get; init; }

    /// <summary>Endpoint as the beacon sees it; empty if unknown.</summary>
    public required string Endpoint { get; init; }

    /// <summary>Further endpoints that peers are told: a port mapping, global IPv6 addresses.</summary>
    public required IReadOnlyList<string> OtherEndpoints { get; init; }

    /// <summary>LAN endpoints that the registry has.</summary>
    public required IReadOnlyList<string> LanEndpoints { get; init; }

    /// <summary>Registry in use.</summary>
    public required string Registry { get; init; }

    /// <summary>True while the registry connection is up.</summary>
    public required bool RegistryConnected { get; init; }
}

/// <summary>NAT behaviour in the words of RFC 4787.</summary>
public sealed record NatData
{
    /// <summary>The words of <see cref="InfoData.NatType"/>.</summary>
    public required string Type { get; init; }

    /// <summary><c>endpoint-independent</c>, <c>address-dependent</c>, <c>address-and-port-dependent</c> or <c>unknown</c>.</summary>
    public required string Mapping { get; init; }

    /// <summary>The same words for what is let in.</summary>
    public required string Filtering { get; init; }

    /// <summary>Whether the outside port equals the socket's; null if unknown.</summary>
    public bool? PreservesPort { get; init; }

    /// <summary>Whether a datagram to the own outside endpoint comes back; null if unknown.</summary>
    public bool? Hairpins { get; init; }

    /// <summary>Longest silence in seconds after which a mapping was still alive; null if not measured.</summary>
    public double? BindingLifetimeSecs { get; init; }

    /// <summary>Outside IPv4 endpoint; empty if unknown.</summary>
    public required string EndpointV4 { get; init; }

    /// <summary>Outside IPv6 endpoint; empty if unknown.</summary>
    public required string EndpointV6 { get; init; }
}

/// <summary>One beacon.</summary>
public sealed record BeaconData
{
    /// <summary>As configured.</summary>
    public required string Name { get; init; }

    /// <summary>Its address <c>ip:port</c>; empty while the name is not resolved.</summary>
    public required string Endpoint { get; init; }

    /// <summary>Whether it answers.</summary>
    public required bool Answering { get; init; }

    /// <summary>Whether it relays and coordinates for this node.</summary>
    public required bool Current { get; init; }

    /// <summary>Whether it answers the probes that a full classification needs.</summary>
    public required bool Extended { get; init; }

    /// <summary>Smoothed round trip in milliseconds; null before the first answer.</summary>
    public double? RttMs { get; init; }
}
