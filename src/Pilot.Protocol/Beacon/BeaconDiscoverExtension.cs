using System.Buffers.Binary;

namespace Pilot.Protocol;

/// <summary>What our nodes append to DISCOVER (docs/wire.md). A view of the datagram's bytes.</summary>
public readonly ref struct BeaconDiscoverExtension
{
    /// <summary>Bytes of an unsigned message, DISCOVER included: no shorter than the longest answer.</summary>
    public const int Size = 72;

    /// <summary>Bytes of a signed message.</summary>
    public const int SignedSize = SignatureOffset + Ed25519.SignatureSize;

    private const int FlagsOffset = BeaconDiscover.Size + 4;
    private const int TokenOffset = FlagsOffset + 1;
    private const int CookieOffset = TokenOffset + 8;
    private const int SignatureOffset = CookieOffset + 8;
    private const byte SignedFlag = 1;

    private BeaconDiscoverExtension(ulong token, ulong cookie, ReadOnlySpan<byte> signature)
    {
        Token = token;
        Cookie = cookie;
        Signature = signature;
    }

    /// <summary>Echoed in the answer and in punch commands.</summary>
    public ulong Token { get; }

    /// <summary>The cookie of the beacon's last answer; 0 before the first.</summary>
    public ulong Cookie { get; }

    /// <summary>64 bytes, or none.</summary>
    public ReadOnlySpan<byte> Signature { get; }

    /// <summary>Reads the extension of a DISCOVER; false when there is none. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out BeaconDiscoverExtension extension)
    {
        extension = default;
        if (!BeaconMessage.Is(datagram, BeaconMessageType.Discover, Size) || !BeaconExtension.HasMarker(datagram[BeaconDiscover.Size..]))
        {
            return false;
        }

        bool signed = (datagram[FlagsOffset] & SignedFlag) != 0;
        if (signed && datagram.Length < SignedSize)
        {
            return false;
        }

        extension = new BeaconDiscoverExtension(
            BinaryPrimitives.ReadUInt64BigEndian(datagram[TokenOffset..]),
            BinaryPrimitives.ReadUInt64BigEndian(datagram[CookieOffset..]),
            signed ? datagram.Slice(SignatureOffset, Ed25519.SignatureSize) : default);
        return true;
    }

    /// <summary>Writes DISCOVER with the extension; signed when there is an identity. Returns 72 or 90.</summary>
    public static int Write(Span<byte> destination, uint nodeId, ulong token, ulong cookie, Identity? signer)
    {
        int size = signer is null ? Size : SignedSize;
        destination[..size].Clear();
        new BeaconDiscover(nodeId).Write(destination);
        BeaconExtension.WriteMarker(destination[BeaconDiscover.Size..]);
        BinaryPrimitives.WriteUInt64BigEndian(destination[TokenOffset..], token);
        BinaryPrimitives.WriteUInt64BigEndian(destination[CookieOffset..], cookie);
        if (signer is not null)
        {
            destination[FlagsOffset] = SignedFlag;
            Span<byte> text = stackalloc byte[SignedText.Length + 12];
            WriteSignedText(text, nodeId, cookie);
            signer.Sign(text, destination.Slice(SignatureOffset, Ed25519.SignatureSize));
        }

        return size;
    }

    /// <summary>Whether the signature is this key's over node id and cookie; the cookie binds it to the beacon, the sender's address and the time.</summary>
    public bool VerifySignature(uint nodeId, ReadOnlySpan<byte> publicKey)
    {
        if (Signature.Length != Ed25519.SignatureSize || publicKey.Length != Ed25519.PublicKeySize)
        {
            return false;
        }

        Span<byte> text = stackalloc byte[SignedText.Length + 12];
        WriteSignedText(text, nodeId, Cookie);
        return Ed25519.Verify(publicKey, text, Signature);
    }

    private static ReadOnlySpan<byte> SignedText => "pilot-beacon-discover-1:"u8;

    private static void WriteSignedText(Span<byte> text, uint nodeId, ulong cookie)
    {
        SignedText.CopyTo(text);
        BinaryPrimitives.WriteUInt32BigEndian(text[SignedText.Length..], nodeId);
        BinaryPrimitives.WriteUInt64BigEndian(text[(SignedText.Length + 4)..], cookie);
    }
}

/// <summary>What a beacon of ours can do and what it thinks of the asker.</summary>
[Flags]
public enum BeaconCapabilities : byte
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>It probes from a port that it never tells.</summary>
    OtherPort = 1,

    /// <summary>It probes from another address.</summary>
    OtherAddress = 2,

    /// <summary>It has another beacon probe.</summary>
    OtherBeacon = 4,

    /// <summary>It knows that the sender is the node that it says.</summary>
    KnowsSender = 8,

    /// <summary>It drops frames because too many are to be relayed.</summary>
    Overloaded = 16,
}

/// <summary>What our beacons append to DISCOVER_REPLY toward nodes that sent the extension.</summary>
/// <param name="Token">The token of the DISCOVER.</param>
/// <param name="Cookie">To be sent with the next DISCOVER: shows that the sender gets what is sent to its address.</param>
/// <param name="Capabilities">What the beacon can do.</param>
/// <param name="Port1">A further port that answers DISCOVER; 0 = none.</param>
/// <param name="Port2">Another one.</param>
/// <param name="Port3">Another one.</param>
/// <param name="OtherEndpoint">An endpoint at another address that answers DISCOVER; default = none.</param>
public readonly record struct BeaconReplyExtension(
    ulong Token, ulong Cookie, BeaconCapabilities Capabilities, ushort Port1, ushort Port2, ushort Port3, UdpEndpoint OtherEndpoint)
{
    /// <summary>Longest message in bytes, DISCOVER_REPLY included.</summary>
    public const int MaxSize = BeaconDiscoverReply.MaxSize + FixedSize + BeaconExtension.MaxEndpointSize;

    private const int FixedSize = 4 + 1 + 8 + 8 + 6;

    /// <summary>Reads the extension of a DISCOVER_REPLY; false when there is none. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out BeaconReplyExtension extension)
    {
        extension = default;
        if (!BeaconDiscoverReply.TryParse(datagram, out _))
        {
            return false;
        }

        ReadOnlySpan<byte> rest = datagram[(2 + datagram[1] + 2)..];
        if (rest.Length < FixedSize || !BeaconExtension.HasMarker(rest) || !BeaconExtension.TryReadEndpoint(rest[FixedSize..], out UdpEndpoint other, out _))
        {
            return false;
        }

        extension = new BeaconReplyExtension(
            BinaryPrimitives.ReadUInt64BigEndian(rest[5..]),
            BinaryPrimitives.ReadUInt64BigEndian(rest[13..]),
            (BeaconCapabilities)rest[4],
            BinaryPrimitives.ReadUInt16BigEndian(rest[21..]),
            BinaryPrimitives.ReadUInt16BigEndian(rest[23..]),
            BinaryPrimitives.ReadUInt16BigEndian(rest[25..]),
            other);
        return true;
    }

    /// <summary>Writes DISCOVER_REPLY with the extension; returns the length.</summary>
    public int Write(Span<byte> destination, UdpEndpoint observed)
    {
        int length = new BeaconDiscoverReply(observed).Write(destination);
        Span<byte> rest = destination[length..];
        BeaconExtension.WriteMarker(rest);
        rest[4] = (byte)Capabilities;
        BinaryPrimitives.WriteUInt64BigEndian(rest[5..], Token);
        BinaryPrimitives.WriteUInt64BigEndian(rest[13..], Cookie);
        BinaryPrimitives.WriteUInt16BigEndian(rest[21..], Port1);
        BinaryPrimitives.WriteUInt16BigEndian(rest[23..], Port2);
        BinaryPrimitives.WriteUInt16BigEndian(rest[25..], Port3);
        return length + FixedSize + BeaconExtension.WriteEndpoint(rest[FixedSize..], OtherEndpoint);
    }
}
