using System.Buffers.Binary;

namespace Pilot.Protocol;

/// <summary>A <c>PILT</c> frame: an unencrypted packet (spec 01 sections 4.2, 8). Only for nodes that run without encryption.</summary>
public static class PlaintextFrame
{
    /// <summary>Recognises a frame by magic and length (at least 38 bytes); <paramref name="packet"/> is undecoded. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out ReadOnlySpan<byte> packet)
    {
        if (!TunnelFrame.HasMagic(datagram, TunnelFrame.PlaintextMagic, TunnelFrame.MagicSize + Packet.HeaderSize))
        {
            packet = default;
            return false;
        }

        packet = datagram[TunnelFrame.MagicSize..];
        return true;
    }

    /// <summary>Writes the magic in front of a packet that stands at <c>destination[4..]</c>; returns 4 + <paramref name="packetLength"/>.</summary>
    public static int Write(Span<byte> destination, int packetLength)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination, TunnelFrame.PlaintextMagic);
        return TunnelFrame.MagicSize + packetLength;
    }
}
