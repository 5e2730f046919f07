using System.Net.NetworkInformation;
using System.Net.Sockets;
using Pilot.Protocol;

namespace Pilot.Daemon.Net;

/// <summary>Own private IPv4 addresses (04 §7), which peers of the same network may try.</summary>
internal static class LanAddresses
{
    private const int Most = 16; // as many as our registry keeps (03 §5.4)
    private static readonly string[] VirtualPrefixes = ["docker", "br-", "veth", "virbr", "cni", "flannel", "podman", "vmnet", "tun", "tap"];

    /// <summary>The addresses with the tunnel's port. Interfaces with a default route, if any have one; never bridges of container software.</summary>
    public static IReadOnlyList<UdpEndpoint> Collect(ushort port)
    {
        var routed = new List<UdpEndpoint>();
        var others = new List<UdpEndpoint>();
        try
        {
            foreach (var network in NetworkInterface.GetAllNetworkInterfaces())
            {
                if (network.OperationalStatus is not (OperationalStatus.Up or OperationalStatus.Unknown)
                    || network.NetworkInterfaceType == NetworkInterfaceType.Loopback
                    || VirtualPrefixes.Any(prefix => network.Name.StartsWith(prefix, StringComparison.Ordinal)))
                {
                    continue;
                }

                var properties = network.GetIPProperties();
                var isRouted = properties.GatewayAddresses.Any(gateway => gateway.Address.AddressFamily == AddressFamily.InterNetwork);
                foreach (var unicast in properties.UnicastAddresses)
                {
                    if (unicast.Address.AddressFamily == AddressFamily.InterNetwork)
                    {
                        var endpoint = UdpEndpoint.FromBytes(unicast.Address.GetAddressBytes(), port);
                        if (endpoint.IsPrivate || endpoint.IsLinkLocal)
                        {
                            (isRouted ? routed : others).Add(endpoint);
                        }
                    }
                }
            }
        }
        catch (NetworkInformationException)
        {
            // No list: LAN paths are an optimisation.
        }

        return [.. (routed.Count > 0 ? routed : others).Take(Most)];
    }

    /// <summary>Those of the peer's addresses that share their first 24 bits with an own one, the own ones left out (04 §7).</summary>
    public static IReadOnlyList<UdpEndpoint> Matching(IReadOnlyList<UdpEndpoint> own, IEnumerable<string> peer)
    {
        var matching = new List<UdpEndpoint>();
        foreach (var text in peer)
        {
            if (matching.Count < Most && UdpEndpoint.TryParse(text, out var endpoint) && endpoint.IsIPv4 && endpoint.Port != 0
                && own.Any(mine => mine.IPv4 >> 8 == endpoint.IPv4 >> 8) && !own.Contains(endpoint))
            {
                matching.Add(endpoint);
            }
        }

        return matching;
    }
}
