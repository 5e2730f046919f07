using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Pilot.Protocol;

namespace Pilot.Net;

/// <summary>sockaddr_in and sockaddr_in6 of Linux to and from <see cref="UdpEndpoint"/>.</summary>
internal static class LinuxSocketAddress
{
    private const int PortOffset = 2; // after the family, in both forms
    private const int IPv4Offset = 4; // family 2, port 2, address 4, padding 8
    private const int IPv6Offset = 8; // family 2, port 2, flow 4, address 16, scope 4

    /// <summary>Writes the form of the socket's family, IPv4 as IPv4-mapped on an IPv6 socket. Returns the length, 0 when the family cannot reach it.</summary>
    public static int Write(Span<byte> destination, UdpEndpoint endpoint, bool isIPv6)
    {
        if (isIPv6)
        {
            destination[..LinuxSocketCalls.AddressSizeIPv6].Clear();
            Unsafe.WriteUnaligned(ref destination[0], (ushort)LinuxSocketCalls.FamilyIPv6);
            BinaryPrimitives.WriteUInt16BigEndian(destination[PortOffset..], endpoint.Port);
            BinaryPrimitives.WriteUInt128BigEndian(destination[IPv6Offset..], endpoint.Ip);
            return LinuxSocketCalls.AddressSizeIPv6;
        }

        if (!endpoint.IsIPv4)
        {
            return 0;
        }

        destination[..LinuxSocketCalls.AddressSizeIPv4].Clear();
        Unsafe.WriteUnaligned(ref destination[0], (ushort)LinuxSocketCalls.FamilyIPv4);
        BinaryPrimitives.WriteUInt16BigEndian(destination[PortOffset..], endpoint.Port);
        BinaryPrimitives.WriteUInt32BigEndian(destination[IPv4Offset..], endpoint.IPv4);
        return LinuxSocketCalls.AddressSizeIPv4;
    }

    /// <summary>Reads what the kernel wrote; false for an address of another family or none.</summary>
    public static bool TryRead(ReadOnlySpan<byte> address, out UdpEndpoint endpoint)
    {
        endpoint = default;
        if (address.Length < LinuxSocketCalls.AddressSizeIPv4)
        {
            return false;
        }

        var port = BinaryPrimitives.ReadUInt16BigEndian(address[PortOffset..]);
        switch (Unsafe.ReadUnaligned<ushort>(in address[0]))
        {
            case LinuxSocketCalls.FamilyIPv4:
                endpoint = UdpEndpoint.FromBytes(address.Slice(IPv4Offset, 4), port);
                return true;
            case LinuxSocketCalls.FamilyIPv6 when address.Length >= LinuxSocketCalls.AddressSizeIPv6:
                endpoint = UdpEndpoint.FromBytes(address.Slice(IPv6Offset, 16), port);
                return true;
            default:
                return false;
        }
    }
}
