using Pilot.Daemon.PortMapping;
using Pilot.Protocol;

namespace Pilot.Daemon.Net;

/// <summary>What a peer registered besides its endpoint and the addresses of our own networks.</summary>
internal static class PeerEndpoints
{
    private const int Most = 4; // each is tried with a few datagrams: a liar must not aim us at many

    /// <summary>Public IPv4 endpoints, and global IPv6 ones where this host has IPv6; never our own, never the registered one again.</summary>
    public static IReadOnlyList<UdpEndpoint> Others(IEnumerable<string> told, UdpEndpoint? registered, OwnEndpoints own)
    {
        var others = new List<UdpEndpoint>();
        foreach (var text in told)
        {
            if (others.Count < Most && UdpEndpoint.TryParse(text, out var endpoint) && endpoint.Port != 0
                && (endpoint.IsIPv4 ? OutsideAddress.IsPublic(endpoint) : HostAddresses.IsGlobalIPv6(endpoint) && own.Global.Count > 0)
                && endpoint != registered && !others.Contains(endpoint) && endpoint != own.Mapped && endpoint != own.Seen && !own.Global.Contains(endpoint))
            {
                others.Add(endpoint);
            }
        }

        return others;
    }
}
