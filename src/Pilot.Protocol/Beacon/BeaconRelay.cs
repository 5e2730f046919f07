using System.Buffers.Binary;

namespace Pilot.Protocol;

/// <summary>RELAY, node to beacon and beacon to beacon (spec 04 section 3.5). A view of the datagram's bytes.</summary>
public readonly ref struct BeaconRelay
{
    /// <summary>Bytes in front of the tunnel frame.</summary>
    public const int HeaderSize = 9;

    private BeaconRelay(uint sender, uint destination, ReadOnlySpan<byte> frame)
    {
        Sender = sender;
        Destination = destination;
        Frame = frame;
    }

    /// <summary>Claimed sender's node id.</summary>
    public uint Sender { get; }

    /// <summary>Destination's node id.</summary>
    public uint Destination { get; }

    /// <summary>The tunnel frame; may be empty.</summary>
    public ReadOnlySpan<byte> Frame { get; }

    /// <summary>Reads a message of at least 9 bytes. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out BeaconRelay message)
    {
        if (!BeaconMessage.Is(datagram, BeaconMessageType.Relay, HeaderSize))
        {
            message = default;
            return false;
        }

        message = new BeaconRelay(
            BinaryPrimitives.ReadUInt32BigEndian(datagram[1..]), BinaryPrimitives.ReadUInt32BigEndian(datagram[5..]), datagram[HeaderSize..]);
        return true;
    }

    /// <summary>Writes the 9 bytes in front of a frame that stands, or will stand, at <c>destination[9..]</c>; returns 9.</summary>
    public static int WriteHeader(Span<byte> destination, uint sender, uint target)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination[5..], target);
        BinaryPrimitives.WriteUInt32BigEndian(destination[1..], sender);
        destination[0] = (byte)BeaconMessageType.Relay;
        return HeaderSize;
    }
}

/// <summary>RELAY_DELIVER, beacon to node (spec 04 section 3.6). A view of the datagram's bytes.</summary>
public readonly ref struct BeaconRelayDeliver
{
    /// <summary>Bytes in front of the tunnel frame.</summary>
    public const int HeaderSize = 5;

    private BeaconRelayDeliver(uint sender, ReadOnlySpan<byte> frame)
    {
        Sender = sender;
        Frame = frame;
    }

    /// <summary>Claimed sender's node id.</summary>
    public uint Sender { get; }

    /// <summary>The tunnel frame, at least 1 byte.</summary>
    public ReadOnlySpan<byte> Frame { get; }

    /// <summary>Reads a message with at least 1 byte of frame, as a node must. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out BeaconRelayDeliver message)
    {
        if (!BeaconMessage.Is(datagram, BeaconMessageType.RelayDeliver, HeaderSize + 1))
        {
            message = default;
            return false;
        }

        message = new BeaconRelayDeliver(BinaryPrimitives.ReadUInt32BigEndian(datagram[1..]), datagram[HeaderSize..]);
        return true;
    }

    /// <summary>Writes the 5 bytes in front of a frame that stands, or will stand, at <c>destination[5..]</c>; returns 5.
    /// A beacon can forward in place: <c>WriteHeader(relay[4..], sender)</c> makes a RELAY's bytes from offset 4 on a RELAY_DELIVER.</summary>
    public static int WriteHeader(Span<byte> destination, uint sender)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination[1..], sender);
        destination[0] = (byte)BeaconMessageType.RelayDeliver;
        return HeaderSize;
    }
}
