using System.Buffers.Binary;

namespace Pilot.Protocol;

/// <summary>A <c>PILK</c> frame: unauthenticated key exchange (spec 01 sections 4.2, 5.7). Parsed for completeness; a node with an identity installs nothing from it.</summary>
public readonly ref struct KeyExchange
{
    private KeyExchange(uint nodeId, ReadOnlySpan<byte> x25519Public)
    {
        NodeId = nodeId;
        X25519PublicKey = x25519Public;
    }

    /// <summary>Claimed sender.</summary>
    public uint NodeId { get; }

    /// <summary>Sender's X25519 public key, 32 bytes.</summary>
    public ReadOnlySpan<byte> X25519PublicKey { get; }

    /// <summary>Recognises a frame by magic and length; extra bytes are ignored. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out KeyExchange frame)
    {
        if (!TunnelFrame.HasMagic(datagram, TunnelFrame.KeyExchangeMagic, TunnelFrame.UnauthenticatedKeyExchangeSize))
        {
            frame = default;
            return false;
        }

        frame = new KeyExchange(BinaryPrimitives.ReadUInt32BigEndian(datagram[4..]), datagram.Slice(8, X25519.KeySize));
        return true;
    }

    /// <summary>Writes a frame; returns 40.</summary>
    public static int Write(Span<byte> destination, uint nodeId, ReadOnlySpan<byte> x25519Public)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(x25519Public.Length, X25519.KeySize);
        BinaryPrimitives.WriteUInt32BigEndian(destination, TunnelFrame.KeyExchangeMagic);
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], nodeId);
        x25519Public.CopyTo(destination[8..]);
        return TunnelFrame.UnauthenticatedKeyExchangeSize;
    }
}
