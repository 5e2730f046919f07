using System.Buffers.Binary;

namespace Pilot.Protocol;

/// <summary>First byte of the messages between our nodes and our beacons (docs/wire.md); reference receivers ignore them.</summary>
public enum BeaconExtensionType : byte
{
    /// <summary>Beacon to node: the target of a punch request is not known here, or not for the asker.</summary>
    PunchRefused = 0x08,

    /// <summary>Beacon to beacon: a part of the nodes that I know.</summary>
    SyncChunk = 0x09,

    /// <summary>Node to beacon: send me a datagram from elsewhere.</summary>
    Probe = 0x0A,

    /// <summary>Beacon to node: that datagram, or the note that it was sent.</summary>
    ProbeAnswer = 0x0B,

    /// <summary>Beacon to beacon: a punch request for a node of yours.</summary>
    PunchForward = 0x0C,

    /// <summary>Beacon to beacon: where that node is.</summary>
    PunchFound = 0x0D,

    /// <summary>Beacon to beacon: probe this node for me.</summary>
    ProbeForward = 0x0E,

    /// <summary>Beacon to node: frames that you wanted relayed were dropped.</summary>
    RelayStatus = 0x0F,
}

/// <summary>What the extensions have in common.</summary>
public static class BeaconExtension
{
    /// <summary>ASCII <c>PXB1</c>, in front of every extension that follows a reference message.</summary>
    public const uint Marker = 0x5058_4231;

    /// <summary>Bytes of the authentication code of messages between beacons.</summary>
    public const int MacSize = 16;

    /// <summary>Longest form of an endpoint: length, address, port.</summary>
    internal const int MaxEndpointSize = 1 + UdpEndpoint.MaxIpSize + 2;

    /// <summary>True when the first byte is a type of ours; says nothing about the rest.</summary>
    public static bool TryGetType(ReadOnlySpan<byte> datagram, out BeaconExtensionType type)
    {
        type = datagram.IsEmpty ? default : (BeaconExtensionType)datagram[0];
        return type is >= BeaconExtensionType.PunchRefused and <= BeaconExtensionType.RelayStatus;
    }

    internal static bool Is(ReadOnlySpan<byte> datagram, BeaconExtensionType type, int minimumSize) =>
        datagram.Length >= minimumSize && datagram[0] == (byte)type;

    internal static bool HasMarker(ReadOnlySpan<byte> bytes) => bytes.Length >= 4 && BinaryPrimitives.ReadUInt32BigEndian(bytes) == Marker;

    internal static int WriteMarker(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination, Marker);
        return 4;
    }

    /// <summary>Reads length (0, 4 or 16), address and port; length 0 is "none" and has a port of 0.</summary>
    internal static bool TryReadEndpoint(ReadOnlySpan<byte> bytes, out UdpEndpoint endpoint, out int size)
    {
        endpoint = default;
        size = 0;
        if (bytes.IsEmpty || bytes[0] is not (0 or 4 or 16) || bytes.Length < 1 + bytes[0] + 2)
        {
            return false;
        }

        int length = bytes[0];
        size = 1 + length + 2;
        if (length > 0)
        {
            endpoint = UdpEndpoint.FromBytes(bytes.Slice(1, length), BinaryPrimitives.ReadUInt16BigEndian(bytes[(1 + length)..]));
        }

        return true;
    }

    internal static int WriteEndpoint(Span<byte> destination, UdpEndpoint endpoint)
    {
        int length = endpoint == default ? 0 : endpoint.WriteIp(destination[1..]);
        destination[0] = (byte)length;
        BinaryPrimitives.WriteUInt16BigEndian(destination[(1 + length)..], endpoint.Port);
        return 1 + length + 2;
    }
}
