using Pilot.Engine;
using Pilot.Protocol;

namespace Pilot.Daemon.PortMapping;

/// <summary>The protocols, the preferred one first.</summary>
internal enum PortMappingProtocol : byte
{
    Pcp,
    NatPmp,
    Upnp,
}

/// <summary>A mapping that the gateway granted.</summary>
/// <param name="External">Its outside; unspecified address when the gateway told none.</param>
/// <param name="GrantedAt">When it was granted or renewed.</param>
/// <param name="Lifetime">How long it lives from then on.</param>
internal sealed record PortLease(UdpEndpoint External, Instant GrantedAt, TimeSpan Lifetime)
{
    public Instant ExpiresAt => GrantedAt + Lifetime;

    /// <summary>Half of the lifetime (RFC 6887 section 11.2.1), but not in a hurry.</summary>
    public Instant RenewAt => GrantedAt + (Lifetime / 2 > PortMappingConstants.MinRenewal ? Lifetime / 2 : PortMappingConstants.MinRenewal);
}

/// <summary>What the addresses of gateways mean.</summary>
internal static class OutsideAddress
{
    /// <summary>Whether others can send there: false behind one more NAT (RFC 1918, RFC 6598) and for what is no address of a host.</summary>
    public static bool IsPublic(UdpEndpoint endpoint) =>
        !(endpoint.IsUnspecified || endpoint.IsPrivate || endpoint.IsLoopback || endpoint.IsLinkLocal || endpoint.IsMulticast || IsShared(endpoint)
            || (endpoint.IsIPv4 && (endpoint.IPv4 >> 24 == 0 || endpoint.IPv4 >> 28 == 0xF || endpoint.IPv4 >> 8 == 0xC0_0000)));

    /// <summary>100.64.0.0/10, between a carrier's NAT and its customers (RFC 6598).</summary>
    public static bool IsShared(UdpEndpoint endpoint) => endpoint.IsIPv4 && endpoint.IPv4 >> 22 == 0x6440_0000 >> 22;
}
