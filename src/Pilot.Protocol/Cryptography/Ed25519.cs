namespace Pilot.Protocol;

/// <summary>Ed25519 signatures (RFC 8032, pure).</summary>
public static unsafe class Ed25519
{
    /// <summary>Bytes of a public key.</summary>
    public const int PublicKeySize = 32;

    /// <summary>Bytes of a seed (the private key of RFC 8032).</summary>
    public const int SeedSize = 32;

    /// <summary>Bytes of a signature.</summary>
    public const int SignatureSize = 64;

    /// <summary>Derives the public key (32 bytes) of a seed (32 bytes).</summary>
    public static void GetPublicKey(ReadOnlySpan<byte> seed, Span<byte> publicKey) =>
        RawKey.GetPublicKey(Libcrypto.Ed25519Type, seed, publicKey);

    /// <summary>Signs a message; the signature is 64 bytes.</summary>
    public static void Sign(ReadOnlySpan<byte> seed, ReadOnlySpan<byte> message, Span<byte> signature)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(seed.Length, SeedSize);
        ArgumentOutOfRangeException.ThrowIfNotEqual(signature.Length, SignatureSize);
        nint key = RawKey.FromPrivate(Libcrypto.Ed25519Type, seed);
        nint context = Libcrypto.EVP_MD_CTX_new();
        try
        {
            nuint length = SignatureSize;
            fixed (byte* to = signature)
            fixed (byte* from = message)
            {
                // A null message pointer with length 0 is taken as a question for the length by some versions.
                byte none = 0;
                if (context == 0
                    || Libcrypto.EVP_DigestSignInit(context, null, 0, 0, key) != 1
                    || Libcrypto.EVP_DigestSign(context, to, &length, from == null ? &none : from, (nuint)message.Length) != 1
                    || length != SignatureSize)
                {
                    throw Libcrypto.Failure("Ed25519 sign");
                }
            }
        }
        finally
        {
            Libcrypto.EVP_MD_CTX_free(context);
            Libcrypto.EVP_PKEY_free(key);
        }
    }

    /// <summary>True iff the signature is valid; false also for a key or signature of a wrong length or a key that is no point. Never throws on input.</summary>
    public static bool Verify(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature)
    {
        if (publicKey.Length != PublicKeySize || signature.Length != SignatureSize)
        {
            return false;
        }

        nint key;
        fixed (byte* raw = publicKey)
        {
            key = Libcrypto.EVP_PKEY_new_raw_public_key(Libcrypto.Ed25519Type, 0, raw, PublicKeySize);
        }

        if (key == 0)
        {
            Libcrypto.ERR_clear_error();
            return false;
        }

        nint context = Libcrypto.EVP_MD_CTX_new();
        try
        {
            if (context == 0 || Libcrypto.EVP_DigestVerifyInit(context, null, 0, 0, key) != 1)
            {
                throw Libcrypto.Failure("Ed25519 verify");
            }

            fixed (byte* from = message)
            fixed (byte* proof = signature)
            {
                byte none = 0;
                if (Libcrypto.EVP_DigestVerify(context, proof, SignatureSize, from == null ? &none : from, (nuint)message.Length) == 1)
                {
                    return true;
                }
            }

            Libcrypto.ERR_clear_error();
            return false;
        }
        finally
        {
            Libcrypto.EVP_MD_CTX_free(context);
            Libcrypto.EVP_PKEY_free(key);
        }
    }

    /// <summary>True for 32 bytes that are the canonical encoding of a curve point that is not of small order. Use it before storing a foreign key: small-order keys verify signatures that nobody made. Slow (a big-number exponentiation); not for the packet path.</summary>
    public static bool IsValidPublicKey(ReadOnlySpan<byte> publicKey) => publicKey.Length == PublicKeySize && Ed25519Point.IsValid(publicKey);
}
