using System.Buffers.Binary;

namespace Pilot.Protocol;

/// <summary>PUNCH_REQUEST, node to beacon (spec 04 section 3.3).</summary>
/// <param name="Requester">The sender.</param>
/// <param name="Target">The node to be reached.</param>
public readonly record struct BeaconPunchRequest(uint Requester, uint Target)
{
    /// <summary>Bytes of the message.</summary>
    public const int Size = 9;

    /// <summary>Reads a message; trailing bytes are ignored. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out BeaconPunchRequest message)
    {
        bool ok = BeaconMessage.Is(datagram, BeaconMessageType.PunchRequest, Size);
        message = ok
            ? new BeaconPunchRequest(BinaryPrimitives.ReadUInt32BigEndian(datagram[1..]), BinaryPrimitives.ReadUInt32BigEndian(datagram[5..]))
            : default;
        return ok;
    }

    /// <summary>Writes the message; returns 9.</summary>
    public int Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination[5..], Target);
        BinaryPrimitives.WriteUInt32BigEndian(destination[1..], Requester);
        destination[0] = (byte)BeaconMessageType.PunchRequest;
        return Size;
    }
}
