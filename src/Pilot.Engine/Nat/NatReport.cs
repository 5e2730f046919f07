using Pilot.Protocol;

namespace Pilot.Engine.Nat;

/// <summary>What a NAT's mapping or filtering depends on (RFC 4787 sections 4.1 and 5).</summary>
public enum NatBehavior : byte
{
    /// <summary>Not measured, or not measurable with the beacons at hand.</summary>
    Unknown,

    /// <summary>The same for every destination.</summary>
    EndpointIndependent,

    /// <summary>Depends on the other side's address.</summary>
    AddressDependent,

    /// <summary>Depends on the other side's address and port.</summary>
    AddressAndPortDependent,
}

/// <summary>The one word for a NAT (spec 04 section 11).</summary>
public enum NatType : byte
{
    /// <summary>Not known yet, or not measurable.</summary>
    Unknown,

    /// <summary>No translation and no filter in front of us.</summary>
    Open,

    /// <summary>Endpoint-independent mapping and filtering.</summary>
    FullCone,

    /// <summary>Endpoint-independent mapping, address-dependent filtering.</summary>
    RestrictedCone,

    /// <summary>Endpoint-independent mapping, address-and-port-dependent filtering.</summary>
    PortRestrictedCone,

    /// <summary>The mapping depends on the destination.</summary>
    Symmetric,

    /// <summary>No beacon answers: UDP does not get out, or not back.</summary>
    Blocked,
}

/// <summary>What was measured about the NAT in front of the tunnel socket.</summary>
/// <param name="Type">The summary.</param>
/// <param name="Mapping">How mappings are made.</param>
/// <param name="Filtering">What is let in.</param>
/// <param name="PreservesPort">Whether the outside port equals the socket's; null if unknown.</param>
/// <param name="Hairpins">Whether a datagram to our own outside endpoint comes back; null if unknown.</param>
/// <param name="BindingLifetime">The longest silence after which a mapping was still alive; null if not measured.</param>
/// <param name="EndpointV4">Our outside IPv4 endpoint, if a beacon told it.</param>
/// <param name="EndpointV6">Our outside IPv6 endpoint, if a beacon told it.</param>
public readonly record struct NatReport(
    NatType Type,
    NatBehavior Mapping,
    NatBehavior Filtering,
    bool? PreservesPort,
    bool? Hairpins,
    TimeSpan? BindingLifetime,
    UdpEndpoint? EndpointV4,
    UdpEndpoint? EndpointV6)
{
    /// <summary>Nothing measured.</summary>
    public static NatReport Nothing { get; } = new(NatType.Unknown, NatBehavior.Unknown, NatBehavior.Unknown, null, null, null, null, null);
}

/// <summary>One beacon as the host may show it.</summary>
/// <param name="Endpoint">Its address.</param>
/// <param name="IsAnswering">Whether the last DISCOVERs were answered.</param>
/// <param name="IsCurrent">Whether it relays and coordinates for us.</param>
/// <param name="Rtt">Smoothed round trip; null before the first answer.</param>
/// <param name="IsOurs">Whether it answers the extended probes (docs/wire.md).</param>
public sealed record BeaconStatus(UdpEndpoint Endpoint, bool IsAnswering, bool IsCurrent, TimeSpan? Rtt, bool IsOurs)
{
    /// <summary>It says that it drops frames, because more is to be relayed than it can.</summary>
    public bool IsOverloaded { get; init; }

    /// <summary>Where it sees this socket; null before the first answer.</summary>
    public UdpEndpoint? Observed { get; init; }
}
