using System.Buffers.Binary;

namespace Pilot.Protocol;

/// <summary>The clear part of a <c>PILS</c> frame (spec 01 section 4.2). Nothing in it may be believed before <see cref="TunnelCipher.TryOpenInPlace"/> succeeded.</summary>
public readonly ref struct EncryptedFrame
{
    internal const int NodeIdOffset = 4;
    internal const int NonceOffset = 8;
    internal const int CounterOffset = 12;

    private readonly ReadOnlySpan<byte> _frame;

    private EncryptedFrame(ReadOnlySpan<byte> frame) => _frame = frame;

    /// <summary>Claimed sender; also the additional authenticated data.</summary>
    public uint NodeId => BinaryPrimitives.ReadUInt32BigEndian(_frame[NodeIdOffset..]);

    /// <summary>First 4 bytes of the nonce.</summary>
    public uint NoncePrefix => BinaryPrimitives.ReadUInt32BigEndian(_frame[NonceOffset..]);

    /// <summary>Last 8 bytes of the nonce; checked by the replay window.</summary>
    public ulong Counter => BinaryPrimitives.ReadUInt64BigEndian(_frame[CounterOffset..]);

    /// <summary>The 12-byte nonce.</summary>
    public ReadOnlySpan<byte> Nonce => _frame.Slice(NonceOffset, 12);

    /// <summary>Length of the sealed packet in bytes.</summary>
    public int PacketLength => _frame.Length - TunnelFrame.EncryptedOverhead;

    /// <summary>Recognises a frame by magic and length (at least 36 bytes). Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out EncryptedFrame frame)
    {
        if (!TunnelFrame.HasMagic(datagram, TunnelFrame.EncryptedMagic, TunnelFrame.EncryptedOverhead))
        {
            frame = default;
            return false;
        }

        frame = new EncryptedFrame(datagram);
        return true;
    }
}
