using Pilot.Engine;
using Pilot.Protocol;

namespace Pilot.Daemon.PortMapping;

/// <summary>The mapping as status commands show it.</summary>
/// <param name="State">A word of <see cref="Pilot.Ipc.PortMappingState"/>.</param>
/// <param name="Protocol"><c>pcp</c>, <c>nat-pmp</c>, <c>upnp</c>, or empty.</param>
/// <param name="Gateway">Who was asked; null when there is none.</param>
/// <param name="Lease">The mapping in force.</param>
/// <param name="Error">Why there is none; empty if unknown or none needed.</param>
internal sealed record PortMappingStatus(string State, string Protocol, UdpEndpoint? Gateway, PortLease? Lease, string Error)
{
    /// <summary>The gateway's own outside address is one that others cannot reach.</summary>
    public bool IsBehindAnotherNat => Lease is { } lease && !OutsideAddress.IsPublic(lease.External);

    /// <summary>The outside endpoint that others can send to; null if there is none.</summary>
    public UdpEndpoint? PublicEndpoint => Lease is { } lease && OutsideAddress.IsPublic(lease.External) ? lease.External : null;
}
