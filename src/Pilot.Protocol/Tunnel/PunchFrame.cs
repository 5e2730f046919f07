using System.Buffers.Binary;

namespace Pilot.Protocol;

/// <summary>A <c>PILP</c> frame: opens a NAT mapping, carries nothing (spec 01 section 4.2, 04 section 3.8).</summary>
public static class PunchFrame
{
    /// <summary>Bytes of the frame as sent.</summary>
    public const int Size = TunnelFrame.MagicSize;

    /// <summary>Recognises the magic; any length of at least 4 bytes is a punch. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram) => TunnelFrame.HasMagic(datagram, TunnelFrame.PunchMagic, Size);

    /// <summary>Writes the 4 bytes; returns 4.</summary>
    public static int Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination, TunnelFrame.PunchMagic);
        return Size;
    }
}
