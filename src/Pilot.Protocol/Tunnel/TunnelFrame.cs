using System.Buffers.Binary;

namespace Pilot.Protocol;

/// <summary>What a received UDP datagram is, by its first bytes (spec 01 section 4.1).</summary>
public enum DatagramKind
{
    /// <summary>No bytes: ignore.</summary>
    Empty,

    /// <summary>First byte below 0x10.</summary>
    Beacon,

    /// <summary><c>PILA</c>.</summary>
    AuthenticatedKeyExchange,

    /// <summary><c>PILK</c>.</summary>
    KeyExchange,

    /// <summary><c>PILS</c>.</summary>
    Encrypted,

    /// <summary><c>PILP</c>.</summary>
    Punch,

    /// <summary><c>PILT</c>.</summary>
    Plaintext,

    /// <summary>Anything else: ignore.</summary>
    Unknown,
}

/// <summary>Sizes and magics of the tunnel frames (spec 01 section 4.2).</summary>
public static class TunnelFrame
{
    /// <summary>Bytes that <c>PILS</c> adds to a packet: magic 4, id 4, nonce 12, tag 16.</summary>
    public const int EncryptedOverhead = EncryptedHeaderSize + TagSize;

    /// <summary>Bytes in front of the ciphertext of <c>PILS</c>.</summary>
    public const int EncryptedHeaderSize = 20;

    /// <summary>AES-GCM tag bytes.</summary>
    public const int TagSize = 16;

    /// <summary>Bytes of <c>PILA</c> without mark.</summary>
    public const int KeyExchangeSize = 136;

    /// <summary>Bytes of <c>PILA</c> with mark (spec 01 section 15.1 item 3).</summary>
    public const int MarkedKeyExchangeSize = KeyExchangeSize + 9;

    /// <summary>Bytes of <c>PILK</c>.</summary>
    public const int UnauthenticatedKeyExchangeSize = 40;

    /// <summary>Bytes that <c>PILT</c> adds to a packet.</summary>
    public const int PlaintextOverhead = MagicSize;

    /// <summary>First bytes below this are beacon messages.</summary>
    public const byte BeaconLimit = 0x10;

    internal const int MagicSize = 4;
    internal const uint AuthenticatedKeyExchangeMagic = 0x5049_4C41;
    internal const uint KeyExchangeMagic = 0x5049_4C4B;
    internal const uint EncryptedMagic = 0x5049_4C53;
    internal const uint PunchMagic = 0x5049_4C50;
    internal const uint PlaintextMagic = 0x5049_4C54;

    /// <summary>Sorts a datagram by its first bytes; says nothing about the rest of it.</summary>
    public static DatagramKind Classify(ReadOnlySpan<byte> datagram)
    {
        if (datagram.IsEmpty)
        {
            return DatagramKind.Empty;
        }

        if (datagram[0] < BeaconLimit)
        {
            return DatagramKind.Beacon;
        }

        if (datagram.Length < MagicSize)
        {
            return DatagramKind.Unknown;
        }

        return BinaryPrimitives.ReadUInt32BigEndian(datagram) switch
        {
            EncryptedMagic => DatagramKind.Encrypted,
            AuthenticatedKeyExchangeMagic => DatagramKind.AuthenticatedKeyExchange,
            KeyExchangeMagic => DatagramKind.KeyExchange,
            PunchMagic => DatagramKind.Punch,
            PlaintextMagic => DatagramKind.Plaintext,
            _ => DatagramKind.Unknown,
        };
    }

    internal static bool HasMagic(ReadOnlySpan<byte> frame, uint magic, int minimumSize) =>
        frame.Length >= minimumSize && BinaryPrimitives.ReadUInt32BigEndian(frame) == magic;
}
