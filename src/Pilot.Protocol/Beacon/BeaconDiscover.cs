using System.Buffers.Binary;

namespace Pilot.Protocol;

/// <summary>DISCOVER, node to beacon (spec 04 section 3.1).</summary>
/// <param name="NodeId">The sender; 0 in a start-up probe.</param>
public readonly record struct BeaconDiscover(uint NodeId)
{
    /// <summary>Bytes of the message.</summary>
    public const int Size = 5;

    /// <summary>Reads a message; trailing bytes are ignored. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out BeaconDiscover message)
    {
        bool ok = BeaconMessage.Is(datagram, BeaconMessageType.Discover, Size);
        message = ok ? new BeaconDiscover(BinaryPrimitives.ReadUInt32BigEndian(datagram[1..])) : default;
        return ok;
    }

    /// <summary>Writes the message; returns 5.</summary>
    public int Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination[1..], NodeId);
        destination[0] = (byte)BeaconMessageType.Discover;
        return Size;
    }
}
