using System.Globalization;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Pilot.Protocol;

namespace Pilot.Daemon.Net;

/// <summary>The addresses of this host's interfaces, as endpoints with the tunnel's port.</summary>
/// <param name="Lan">Private IPv4 addresses (04 §7).</param>
/// <param name="Global">Global IPv6 addresses, the one that the system sends from first.</param>
/// <param name="All">Every address, also loopback and public IPv4: what a socket may be bound to.</param>
internal sealed record HostAddresses(IReadOnlyList<UdpEndpoint> Lan, IReadOnlyList<UdpEndpoint> Global, IReadOnlyList<UdpEndpoint> All)
{
    private const int MostGlobal = 4; // stable and temporary ones of two networks
    private const string LinuxIPv6Table = "/proc/net/if_inet6";
    private const uint Unusable = 0x08 | 0x20 | 0x40; // IFA_F_DADFAILED, IFA_F_DEPRECATED, IFA_F_TENTATIVE
    private const uint GlobalScope = 0; // IPV6_ADDR_ANY of the kernel's table: global

    public static HostAddresses Collect(ushort port) => new(LanAddresses.Collect(port), CollectGlobal(port), CollectAll(port));

    public bool Equals(HostAddresses? other) =>
        other is not null && Lan.SequenceEqual(other.Lan) && Global.SequenceEqual(other.Global) && All.SequenceEqual(other.All);

    public override int GetHashCode() => All.Count;

    /// <summary>Reads a line of the kernel's table of IPv6 addresses. False for one that is no global address, or that is not to be used (deprecated, not checked yet).</summary>
    public static bool TryParseLine(ReadOnlySpan<char> line, out UdpEndpoint address)
    {
        address = default;
        Span<Range> fields = stackalloc Range[7];
        if (line.Split(fields, ' ', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) < 6
            || !UInt128.TryParse(line[fields[0]], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var ip)
            || !uint.TryParse(line[fields[3]], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var scope)
            || !uint.TryParse(line[fields[4]], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var flags))
        {
            return false;
        }

        address = new UdpEndpoint(ip, 0);
        return scope == GlobalScope && (flags & Unusable) == 0 && IsGlobalIPv6(address);
    }

    /// <summary>2000::/3, what the Internet routes; unique-local addresses are not.</summary>
    public static bool IsGlobalIPv6(UdpEndpoint endpoint) => !endpoint.IsIPv4 && endpoint.Ip >> 125 == 1;

    private static UdpEndpoint[] CollectGlobal(ushort port)
    {
        var found = new List<UdpEndpoint>();
        foreach (var address in OperatingSystem.IsLinux() && File.Exists(LinuxIPv6Table) ? FromTable() : FromInterfaces())
        {
            found.Add(address with { Port = port });
        }

        if (found.Count == 0)
        {
            return [];
        }

        // Peers' firewalls and ours let the answers in that go to the address which we send from: that one first.
        var preferred = PreferredSource();
        return [.. found.Distinct().OrderByDescending(address => address.Ip == preferred).ThenBy(address => address.Ip).Take(MostGlobal)];
    }

    private static IEnumerable<UdpEndpoint> FromTable()
    {
        string[] lines;
        try
        {
            lines = File.ReadAllLines(LinuxIPv6Table);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            lines = []; // IPv6 candidates are an optimisation
        }

        foreach (var line in lines)
        {
            if (TryParseLine(line, out var address))
            {
                yield return address;
            }
        }
    }

    private static IEnumerable<UdpEndpoint> FromInterfaces() => CollectAll(0).Where(IsGlobalIPv6);

    private static UdpEndpoint[] CollectAll(ushort port)
    {
        try
        {
            return
            [
                .. NetworkInterface.GetAllNetworkInterfaces()
                    .Where(static network => network.OperationalStatus is OperationalStatus.Up or OperationalStatus.Unknown)
                    .SelectMany(static network => network.GetIPProperties().UnicastAddresses)
                    .Select(unicast => UdpEndpoint.FromBytes(unicast.Address.GetAddressBytes(), port))
                    .Distinct()
                    .OrderBy(static endpoint => endpoint.Ip),
            ];
        }
        catch (NetworkInformationException)
        {
            return [];
        }
    }

    /// <summary>The IPv6 address that the system would send from to the Internet; nothing is sent.</summary>
    private static UInt128 PreferredSource()
    {
        try
        {
            using var socket = new Socket(AddressFamily.InterNetworkV6, SocketType.Dgram, ProtocolType.Udp);
            socket.Connect(new IPEndPoint(IPAddress.Parse("2001:4860::1"), 9)); // any address of the Internet: only the route counts
            return UdpEndpoint.FromBytes(((IPEndPoint)socket.LocalEndPoint!).Address.GetAddressBytes(), 0).Ip;
        }
        catch (SocketException)
        {
            return 0; // no way out by IPv6
        }
    }
}
