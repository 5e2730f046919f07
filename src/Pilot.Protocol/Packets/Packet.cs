using System.Buffers.Binary;

namespace Pilot.Protocol;

/// <summary>Codec of the 34-byte packet header and its payload (spec 01 section 3).</summary>
public static class Packet
{
    /// <summary>Bytes of the header.</summary>
    public const int HeaderSize = 34;

    /// <summary>Largest payload that the 16-bit length field can state.</summary>
    public const int MaxPayload = ushort.MaxValue;

    /// <summary>The only protocol version.</summary>
    public const int Version = 1;

    private const int LengthOffset = 2;
    private const int SourceOffset = 4;
    private const int DestinationOffset = 10;
    private const int SourcePortOffset = 16;
    private const int DestinationPortOffset = 18;
    private const int SequenceOffset = 20;
    private const int AcknowledgementOffset = 24;
    private const int WindowOffset = 28;
    private const int ChecksumOffset = 30;

    /// <summary>Decodes a packet; see the overload with the error.</summary>
    public static bool TryParse(ReadOnlySpan<byte> packet, out PacketHeader header, out ReadOnlySpan<byte> payload) =>
        TryParse(packet, out header, out payload, out _);

    /// <summary>Decodes a packet out of a frame that was authenticated: a checksum of 0 says that none was computed (docs/wire.md, feature 8).</summary>
    public static bool TryParseAuthenticated(ReadOnlySpan<byte> packet, out PacketHeader header, out ReadOnlySpan<byte> payload) =>
        TryParse(packet, checksumIsOptional: true, out header, out payload, out _);

    /// <summary>Decodes and verifies a packet. Bytes behind the payload are ignored. Never throws.</summary>
    /// <param name="packet">The received bytes.</param>
    /// <param name="header">The header, or default.</param>
    /// <param name="payload">A slice of <paramref name="packet"/>, or empty.</param>
    /// <param name="error">The first check that failed.</param>
    public static bool TryParse(ReadOnlySpan<byte> packet, out PacketHeader header, out ReadOnlySpan<byte> payload, out PacketError error) =>
        TryParse(packet, checksumIsOptional: false, out header, out payload, out error);

    private static bool TryParse(ReadOnlySpan<byte> packet, bool checksumIsOptional, out PacketHeader header, out ReadOnlySpan<byte> payload, out PacketError error)
    {
        header = default;
        payload = default;
        if (packet.Length < HeaderSize)
        {
            error = PacketError.TooShort;
            return false;
        }

        int length = BinaryPrimitives.ReadUInt16BigEndian(packet[LengthOffset..]);
        if (packet.Length < HeaderSize + length)
        {
            error = PacketError.Truncated;
            return false;
        }

        packet = packet[..(HeaderSize + length)];
        uint checksum = BinaryPrimitives.ReadUInt32BigEndian(packet[ChecksumOffset..]);
        if (!(checksum == 0 && checksumIsOptional) && checksum != Checksum(packet))
        {
            error = PacketError.ChecksumMismatch;
            return false;
        }

        if (packet[0] >> 4 != Version)
        {
            error = PacketError.UnsupportedVersion;
            return false;
        }

        header.Protocol = (PacketProtocol)packet[1];
        header.Flags = (PacketFlags)(packet[0] & 0x0F);
        header.Source = PilotAddress.Read(packet[SourceOffset..]);
        header.Destination = PilotAddress.Read(packet[DestinationOffset..]);
        header.SourcePort = BinaryPrimitives.ReadUInt16BigEndian(packet[SourcePortOffset..]);
        header.DestinationPort = BinaryPrimitives.ReadUInt16BigEndian(packet[DestinationPortOffset..]);
        header.Sequence = BinaryPrimitives.ReadUInt32BigEndian(packet[SequenceOffset..]);
        header.Acknowledgement = BinaryPrimitives.ReadUInt32BigEndian(packet[AcknowledgementOffset..]);
        header.Window = BinaryPrimitives.ReadUInt16BigEndian(packet[WindowOffset..]);
        payload = packet[HeaderSize..];
        error = PacketError.None;
        return true;
    }

    /// <summary>Writes header, payload and checksum; returns 34 + payload length.</summary>
    /// <exception cref="ArgumentException">The payload is longer than 65535 bytes or the destination too small.</exception>
    public static int Write(Span<byte> destination, in PacketHeader header, ReadOnlySpan<byte> payload)
    {
        CheckRoom(destination.Length, payload.Length);
        payload.CopyTo(destination[HeaderSize..]);
        return WriteHeader(destination, header, payload.Length);
    }

    /// <summary>Writes the header in front of a payload that already stands at <c>destination[34..]</c> and computes the checksum over both; returns 34 + payload length.</summary>
    /// <param name="destination">Room for the packet, its payload in place.</param>
    /// <param name="header">The header.</param>
    /// <param name="payloadLength">Bytes of the payload.</param>
    /// <param name="withChecksum">False: 0 stands in its place, for peers that take it so inside an authenticated frame.</param>
    /// <exception cref="ArgumentException">The payload is longer than 65535 bytes or the destination too small.</exception>
    public static int WriteHeader(Span<byte> destination, in PacketHeader header, int payloadLength, bool withChecksum = true)
    {
        CheckRoom(destination.Length, payloadLength);
        Span<byte> packet = destination[..(HeaderSize + payloadLength)];
        packet[0] = (byte)(Version << 4 | (byte)header.Flags & 0x0F);
        packet[1] = (byte)header.Protocol;
        BinaryPrimitives.WriteUInt16BigEndian(packet[LengthOffset..], (ushort)payloadLength);
        header.Source.Write(packet[SourceOffset..]);
        header.Destination.Write(packet[DestinationOffset..]);
        BinaryPrimitives.WriteUInt16BigEndian(packet[SourcePortOffset..], header.SourcePort);
        BinaryPrimitives.WriteUInt16BigEndian(packet[DestinationPortOffset..], header.DestinationPort);
        BinaryPrimitives.WriteUInt32BigEndian(packet[SequenceOffset..], header.Sequence);
        BinaryPrimitives.WriteUInt32BigEndian(packet[AcknowledgementOffset..], header.Acknowledgement);
        BinaryPrimitives.WriteUInt16BigEndian(packet[WindowOffset..], header.Window);
        BinaryPrimitives.WriteUInt32BigEndian(packet[ChecksumOffset..], withChecksum ? Checksum(packet) : 0);
        return packet.Length;
    }

    /// <summary>The CRC-32 of a whole packet with its checksum field taken as zero (spec 01 section 3.5).</summary>
    internal static uint Checksum(ReadOnlySpan<byte> packet)
    {
        // The header with the field zeroed is built on the stack, so a received packet is never written to.
        Span<byte> header = stackalloc byte[HeaderSize];
        packet[..ChecksumOffset].CopyTo(header);
        header[ChecksumOffset..].Clear();
        return Crc32.Append(Crc32.Compute(header), packet[HeaderSize..]);
    }

    private static void CheckRoom(int room, int payloadLength)
    {
        if ((uint)payloadLength > MaxPayload)
        {
            throw new ArgumentException("the payload is longer than 65535 bytes", nameof(payloadLength));
        }

        if (room < HeaderSize + payloadLength)
        {
            throw new ArgumentException("the destination is too small for the packet", nameof(room));
        }
    }
}
