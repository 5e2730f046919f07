using System.Buffers.Binary;

namespace Pilot.Protocol;

/// <summary>The common layout of DISCOVER_REPLY and PUNCH_COMMAND: type, address length (4 or 16), address, port.</summary>
internal static class BeaconEndpoint
{
    public const int MaxSize = 1 + 1 + UdpEndpoint.MaxIpSize + 2;

    public static bool TryParse(ReadOnlySpan<byte> datagram, BeaconMessageType type, out UdpEndpoint endpoint)
    {
        endpoint = default;
        if (!BeaconMessage.Is(datagram, type, 2))
        {
            return false;
        }

        int ipLength = datagram[1];
        if (ipLength is not (4 or 16) || datagram.Length < 2 + ipLength + 2)
        {
            return false;
        }

        ushort port = BinaryPrimitives.ReadUInt16BigEndian(datagram[(2 + ipLength)..]);
        endpoint = UdpEndpoint.FromBytes(datagram.Slice(2, ipLength), port);
        return true;
    }

    public static int Write(Span<byte> destination, BeaconMessageType type, UdpEndpoint endpoint)
    {
        int ipLength = endpoint.WriteIp(destination[2..]);
        destination[0] = (byte)type;
        destination[1] = (byte)ipLength;
        BinaryPrimitives.WriteUInt16BigEndian(destination[(2 + ipLength)..], endpoint.Port);
        return 2 + ipLength + 2;
    }
}

/// <summary>DISCOVER_REPLY, beacon to node (spec 04 section 3.2).</summary>
/// <param name="Observed">The endpoint from which the beacon received DISCOVER.</param>
public readonly record struct BeaconDiscoverReply(UdpEndpoint Observed)
{
    /// <summary>Longest message in bytes.</summary>
    public const int MaxSize = BeaconEndpoint.MaxSize;

    /// <summary>Reads a message; a 16-byte IPv4-mapped address is IPv4, trailing bytes are ignored. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out BeaconDiscoverReply message)
    {
        bool ok = BeaconEndpoint.TryParse(datagram, BeaconMessageType.DiscoverReply, out UdpEndpoint endpoint);
        message = new BeaconDiscoverReply(endpoint);
        return ok;
    }

    /// <summary>Writes the message; returns 8 (IPv4) or 20.</summary>
    public int Write(Span<byte> destination) => BeaconEndpoint.Write(destination, BeaconMessageType.DiscoverReply, Observed);
}

/// <summary>PUNCH_COMMAND, beacon to node (spec 04 section 3.4).</summary>
/// <param name="Target">Where to send punches.</param>
public readonly record struct BeaconPunchCommand(UdpEndpoint Target)
{
    /// <summary>Longest message in bytes.</summary>
    public const int MaxSize = BeaconEndpoint.MaxSize;

    /// <summary>Reads a message; trailing bytes are ignored. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out BeaconPunchCommand message)
    {
        bool ok = BeaconEndpoint.TryParse(datagram, BeaconMessageType.PunchCommand, out UdpEndpoint endpoint);
        message = new BeaconPunchCommand(endpoint);
        return ok;
    }

    /// <summary>Writes the message; returns 8 (IPv4) or 20.</summary>
    public int Write(Span<byte> destination) => BeaconEndpoint.Write(destination, BeaconMessageType.PunchCommand, Target);
}
