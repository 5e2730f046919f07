using System.Buffers.Binary;
using System.Text;
using Pilot.Protocol;
using Pilot.Protocol.Registry;

namespace Pilot.Rendezvous.Registry;

/// <summary>Outcome of looking at the member <c>signature</c>.</summary>
internal enum SignatureState
{
    /// <summary>The request is not signed by its nature, or the signer is unknown.</summary>
    NotChecked,
    Missing,
    BadEncoding,
    Invalid,
    Valid,

    /// <summary>Signed by the challenge alone, though the node has used the better signature (<see cref="RequestProof"/>) before.</summary>
    Outdated,

    /// <summary>Under a MAC (<see cref="RequestMac"/>) that does not count: wrong, of a key that this connection has not, or under a request that must be signed.</summary>
    MacRefused,
}

/// <summary>What must be verified before a request is decided. Taken from the state under its owner, verified anywhere.</summary>
internal readonly record struct SignatureTask(uint Signer, PublicKey Key, string Challenge, string Signature)
{
    /// <summary>A key that the request brings along and that is to be a point of the curve; null when there is none.</summary>
    public PublicKey? NewKey { get; init; }

    /// <summary>
    /// A signature of this signer that was found valid for this challenge and key before. The challenges of spec 03 section 4.2 hold no time, so that a
    /// daemon repeats its heartbeat byte by byte; verifying is a pure function, and equal bytes have an equal result.
    /// </summary>
    public byte[]? KnownValid { get; init; }

    /// <summary>Set when the request carries the better signature: it alone counts.</summary>
    public FreshSignature? Fresh { get; init; }

    /// <summary>Set when the request carries a MAC in place of a signature.</summary>
    public MacProof? Mac { get; init; }

    /// <summary>What is known without verifying; <see cref="SignatureState.NotChecked"/> when nothing is.</summary>
    public SignatureState Known { get; init; }

    /// <summary>True when there is nothing to verify.</summary>
    public bool IsNone => Signer == 0 && Fresh is null && Mac is null && NewKey is null && Known == SignatureState.NotChecked;

    /// <summary>Verifies signature and new key. Stateless, any thread.</summary>
    public SignatureVerdict Verify() => (Glance(out byte[] signature) ?? VerifySignature(signature)) with { NewKeyIsInvalid = NewKey is { } key && !CurvePoint.IsValid(key) };

    /// <summary>The verdict when it takes no signature to be verified; null when it does. A MAC is checked here, in about two microseconds.</summary>
    public SignatureVerdict? Glance() => NewKey is null ? Glance(out _) : null;

    private SignatureVerdict? Glance(out byte[] signature)
    {
        signature = [];
        if (Known != SignatureState.NotChecked)
        {
            return new SignatureVerdict(Known, Signer, Key, 0);
        }

        if (Mac is { } mac)
        {
            return mac.Verify()
                ? new SignatureVerdict(SignatureState.Valid, Signer, Key, 0) { Fresh = true, Mac = mac.Key }
                : new SignatureVerdict(SignatureState.MacRefused, Signer, Key, 0);
        }

        if (Fresh is not null)
        {
            return null;
        }

        if (Signer == 0)
        {
            return default(SignatureVerdict);
        }

        if (Signature.Length == 0)
        {
            return new SignatureVerdict(SignatureState.Missing, Signer, Key, 0);
        }

        if (!StandardBase64.TryDecode(Signature, out byte[]? decoded))
        {
            return new SignatureVerdict(SignatureState.BadEncoding, Signer, Key, Base64Errors.FirstIllegalByte(Signature));
        }

        signature = decoded;
        return KnownValid is { } known && signature.AsSpan().SequenceEqual(known)
            ? new SignatureVerdict(SignatureState.Valid, Signer, Key, 0) { Bytes = known }
            : null;
    }

    // About 60 microseconds of processor time.
    private SignatureVerdict VerifySignature(byte[] signature)
    {
        if (Fresh is { } fresh)
        {
            bool genuine = fresh.Verify(Key);
            return new SignatureVerdict(genuine ? SignatureState.Valid : SignatureState.Invalid, Signer, Key, 0)
            {
                Fresh = true,
                NewMac = genuine ? fresh.Offer?.Agree(fresh.Session, Key) : null,
            };
        }

        Span<byte> key = stackalloc byte[PublicKey.Size];
        Key.Write(key);
        bool valid = signature.Length == Ed25519.SignatureSize && Ed25519.Verify(key, Encoding.UTF8.GetBytes(Challenge), signature);
        return new SignatureVerdict(valid ? SignatureState.Valid : SignatureState.Invalid, Signer, Key, 0) { Bytes = valid ? signature : null };
    }
}

/// <summary>A signature over the whole request and the session of its connection; with it, perhaps, a key for the MACs of those that follow.</summary>
internal sealed record FreshSignature(RegistryRequest Request, UInt128 Session, MacOffer? Offer)
{
    public bool Verify(PublicKey key)
    {
        Span<byte> session = stackalloc byte[RequestProof.SessionSize];
        BinaryPrimitives.WriteUInt128BigEndian(session, Session);
        Span<byte> bytes = stackalloc byte[PublicKey.Size];
        key.Write(bytes);
        return RequestProof.Verify(bytes, session, Request);
    }
}

/// <summary>A verified signature, with the key that it was verified with: a key changed in between makes it worthless.</summary>
internal readonly record struct SignatureVerdict(SignatureState State, uint Signer, PublicKey Key, int ErrorOffset)
{
    /// <summary>The valid signature.</summary>
    public byte[]? Bytes { get; init; }

    /// <summary>It is the better signature, or a MAC, which nobody can use again.</summary>
    public bool Fresh { get; init; }

    /// <summary>What the MAC was verified with; null when it was a signature. Must still be the node's when the request is decided.</summary>
    public MacKey? Mac { get; init; }

    /// <summary>The key for MACs that came with the valid signature.</summary>
    public MacKey? NewMac { get; init; }

    /// <summary>The new key is no point of the curve.</summary>
    public bool NewKeyIsInvalid { get; init; }

    public string EncodingError => $"invalid signature encoding: illegal base64 data at input byte {ErrorOffset}";
}

/// <summary>Where a text stops being base64, in the words of the reference.</summary>
internal static class Base64Errors
{
    public static int FirstIllegalByte(string text)
    {
        int digits = 0;
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (c is '\r' or '\n')
            {
                continue;
            }

            bool padding = c == '=' && digits % 4 >= 2;
            if (!char.IsAsciiLetterOrDigit(c) && c is not ('+' or '/') && !padding)
            {
                return i;
            }

            digits++;
        }

        return text.Length;
    }
}
