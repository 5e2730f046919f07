using System.Buffers.Binary;

namespace Pilot.Protocol;

/// <summary>The unsigned mark behind a <c>PILA</c> frame; a hint between nodes of this implementation (spec 01 section 15.1 item 3).</summary>
public enum ExchangeMark : byte
{
    /// <summary>No mark: a reference node, or a mark that is not understood.</summary>
    None = 0,

    /// <summary>The frame asks for an exchange.</summary>
    Request = 1,

    /// <summary>The frame answers the key whose first bytes it names.</summary>
    Answer = 2,
}

/// <summary>A <c>PILA</c> frame: node id, X25519 key and Ed25519 key, signed (spec 01 sections 4.2, 5.3). A view of the datagram's bytes.</summary>
public readonly ref struct AuthenticatedKeyExchange
{
    private const int NodeIdOffset = 4;
    private const int X25519Offset = 8;
    private const int Ed25519Offset = 40;
    private const int SignatureOffset = 72;
    private const int MarkOffset = TunnelFrame.KeyExchangeSize;
    private const int SignedSize = 40;

    private readonly ReadOnlySpan<byte> _frame;

    private AuthenticatedKeyExchange(ReadOnlySpan<byte> frame) => _frame = frame;

    /// <summary>Claimed sender.</summary>
    public uint NodeId => BinaryPrimitives.ReadUInt32BigEndian(_frame[NodeIdOffset..]);

    /// <summary>Sender's X25519 public key, 32 bytes.</summary>
    public ReadOnlySpan<byte> X25519PublicKey => _frame.Slice(X25519Offset, X25519.KeySize);

    /// <summary>Sender's Ed25519 public key, 32 bytes; compare with the registry's before believing it.</summary>
    public ReadOnlySpan<byte> Ed25519PublicKey => _frame.Slice(Ed25519Offset, Ed25519.PublicKeySize);

    /// <summary>Signature, 64 bytes.</summary>
    public ReadOnlySpan<byte> Signature => _frame.Slice(SignatureOffset, Ed25519.SignatureSize);

    /// <summary>The mark; <see cref="ExchangeMark.None"/> when there is none or it is unknown or incomplete.</summary>
    public ExchangeMark Mark => _frame.Length >= TunnelFrame.MarkedKeyExchangeSize && _frame[MarkOffset] is 1 or 2
        ? (ExchangeMark)_frame[MarkOffset]
        : ExchangeMark.None;

    /// <summary>First 8 bytes, big-endian, of the X25519 key that this frame answers; 0 without a mark and in a request.</summary>
    public ulong AnsweredKeyPrefix => Mark == ExchangeMark.None ? 0 : BinaryPrimitives.ReadUInt64BigEndian(_frame[(MarkOffset + 1)..]);

    /// <summary>Recognises a frame by magic and length; bytes behind the known ones are ignored. Nothing is verified. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out AuthenticatedKeyExchange frame)
    {
        if (!TunnelFrame.HasMagic(datagram, TunnelFrame.AuthenticatedKeyExchangeMagic, TunnelFrame.KeyExchangeSize))
        {
            frame = default;
            return false;
        }

        frame = new AuthenticatedKeyExchange(datagram);
        return true;
    }

    /// <summary>Verifies the signature by the Ed25519 key inside the frame. Never throws on a parsed frame.</summary>
    public bool VerifySignature()
    {
        Span<byte> signed = stackalloc byte[SignedSize];
        WriteSigned(signed, NodeId, X25519PublicKey);
        return Ed25519.Verify(Ed25519PublicKey, signed, Signature);
    }

    /// <summary>Signs and writes a frame; returns 136, or 145 with a mark.</summary>
    /// <param name="destination">Room for the frame.</param>
    /// <param name="nodeId">Own node id.</param>
    /// <param name="x25519Public">Own X25519 public key, 32 bytes.</param>
    /// <param name="identity">Own identity; signs.</param>
    /// <param name="mark">Mark; none is not written.</param>
    /// <param name="answeredKeyPrefix">See <see cref="KeyPrefix"/>; 0 in a request.</param>
    public static int Write(
        Span<byte> destination, uint nodeId, ReadOnlySpan<byte> x25519Public, Identity identity, ExchangeMark mark, ulong answeredKeyPrefix)
    {
        ArgumentNullException.ThrowIfNull(identity);
        ArgumentOutOfRangeException.ThrowIfNotEqual(x25519Public.Length, X25519.KeySize);
        Span<byte> signed = stackalloc byte[SignedSize];
        WriteSigned(signed, nodeId, x25519Public);

        BinaryPrimitives.WriteUInt32BigEndian(destination, TunnelFrame.AuthenticatedKeyExchangeMagic);
        BinaryPrimitives.WriteUInt32BigEndian(destination[NodeIdOffset..], nodeId);
        x25519Public.CopyTo(destination[X25519Offset..]);
        identity.PublicKeySpan.CopyTo(destination[Ed25519Offset..]);
        identity.Sign(signed, destination.Slice(SignatureOffset, Ed25519.SignatureSize));
        if (mark == ExchangeMark.None)
        {
            return TunnelFrame.KeyExchangeSize;
        }

        destination[MarkOffset] = (byte)mark;
        BinaryPrimitives.WriteUInt64BigEndian(destination[(MarkOffset + 1)..], answeredKeyPrefix);
        return TunnelFrame.MarkedKeyExchangeSize;
    }

    /// <summary>The 8 bytes by which a mark names an X25519 public key: its first 8, big-endian.</summary>
    public static ulong KeyPrefix(ReadOnlySpan<byte> x25519Public) => BinaryPrimitives.ReadUInt64BigEndian(x25519Public);

    /// <summary>The signed bytes: <c>auth</c>, node id, X25519 key (spec 01 section 5.3).</summary>
    internal static void WriteSigned(Span<byte> destination, uint nodeId, ReadOnlySpan<byte> x25519Public)
    {
        "auth"u8.CopyTo(destination);
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], nodeId);
        x25519Public.CopyTo(destination[8..]);
    }
}
