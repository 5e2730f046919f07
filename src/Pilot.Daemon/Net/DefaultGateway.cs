using System.Globalization;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Pilot.Daemon.PortMapping;
using Pilot.Protocol;

namespace Pilot.Daemon.Net;

/// <summary>The way out of the local IPv4 network.</summary>
/// <param name="Gateway">Router, port 0.</param>
/// <param name="Own">Our address toward it, port 0.</param>
internal sealed record GatewayRoute(UdpEndpoint Gateway, UdpEndpoint Own);

/// <summary>Finds the default gateway: from the kernel's table on Linux, else from the interfaces.</summary>
internal static class DefaultGateway
{
    private const string LinuxTable = "/proc/net/route";
    private const uint LinuxUsableGateway = 0x3; // RTF_UP | RTF_GATEWAY

    /// <summary>The route whose gateway may be asked for a mapping; null without a default route, and when our address is a public one.</summary>
    public static GatewayRoute? Find()
    {
        var gateway = FromTable() ?? FromInterfaces();
        return gateway is { } known && OwnAddress(known) is { } own && NeedsMapping(own) ? new GatewayRoute(known, own) : null;
    }

    /// <summary>Reads a table as the kernel prints it: the default route of the lowest metric. False when there is none.</summary>
    public static bool TryParseTable(ReadOnlySpan<char> table, out UdpEndpoint gateway)
    {
        gateway = default;
        var best = uint.MaxValue;
        var found = false;
        Span<Range> fields = stackalloc Range[9];
        foreach (var line in table.EnumerateLines())
        {
            if (line.Split(fields, '\t', StringSplitOptions.TrimEntries) < 8
                || !Hex(line[fields[1]], out var destination) || destination != 0
                || !Hex(line[fields[2]], out var address) || address == 0
                || !Hex(line[fields[3]], out var flags) || (flags & LinuxUsableGateway) != LinuxUsableGateway
                || !uint.TryParse(line[fields[6]], NumberStyles.None, CultureInfo.InvariantCulture, out var metric)
                || !Hex(line[fields[7]], out var mask) || mask != 0
                || (found && metric >= best))
            {
                continue;
            }

            // The kernel prints the four bytes of network order as one number of its own byte order.
            var host = BitConverter.IsLittleEndian ? System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(address) : address;
            (gateway, best, found) = (UdpEndpoint.FromIPv4(host, 0), metric, true);
        }

        return found;

        static bool Hex(ReadOnlySpan<char> text, out uint value) => uint.TryParse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out value);
    }

    /// <summary>Only an address that the Internet does not know lies behind a NAT of this network.</summary>
    internal static bool NeedsMapping(UdpEndpoint own) => own.IsPrivate || OutsideAddress.IsShared(own);

    private static UdpEndpoint? FromTable()
    {
        try
        {
            return OperatingSystem.IsLinux() && TryParseTable(File.ReadAllText(LinuxTable), out var gateway) ? gateway : null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null; // a system without that file: the interfaces tell
        }
    }

    private static UdpEndpoint? FromInterfaces()
    {
        try
        {
            foreach (var network in NetworkInterface.GetAllNetworkInterfaces())
            {
                if (network.OperationalStatus is OperationalStatus.Up or OperationalStatus.Unknown)
                {
                    foreach (var gateway in network.GetIPProperties().GatewayAddresses)
                    {
                        if (gateway.Address.AddressFamily == AddressFamily.InterNetwork && !gateway.Address.Equals(IPAddress.Any))
                        {
                            return UdpEndpoint.FromBytes(gateway.Address.GetAddressBytes(), 0);
                        }
                    }
                }
            }
        }
        catch (NetworkInformationException)
        {
            // No list, no mapping: it is an optimisation.
        }

        return null;
    }

    /// <summary>The address that the system would send from; nothing is sent.</summary>
    private static UdpEndpoint? OwnAddress(UdpEndpoint gateway)
    {
        try
        {
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
            Span<byte> bytes = stackalloc byte[4];
            gateway.WriteIp(bytes);
            socket.Connect(new IPEndPoint(new IPAddress(bytes), PortMappingConstants.ServerPort));
            return UdpEndpoint.FromBytes(((IPEndPoint)socket.LocalEndPoint!).Address.GetAddressBytes(), 0);
        }
        catch (SocketException)
        {
            return null; // no route at this moment
        }
    }
}
