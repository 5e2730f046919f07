using System.Security.Cryptography;

namespace Pilot.Protocol;

/// <summary>X25519 key agreement (RFC 7748).</summary>
public static unsafe class X25519
{
    /// <summary>Bytes of a private key, a public key and a shared secret.</summary>
    public const int KeySize = 32;

    /// <summary>Derives the public key (32 bytes) of a private key (32 bytes, any value).</summary>
    public static void GetPublicKey(ReadOnlySpan<byte> privateKey, Span<byte> publicKey) =>
        RawKey.GetPublicKey(Libcrypto.X25519Type, privateKey, publicKey);

    /// <summary>The shared secret with a peer; false when the peer key has a wrong length or gives the all-zero result (low-order points). Never throws on input.</summary>
    /// <param name="privateKey">Own private key, 32 bytes.</param>
    /// <param name="peerPublic">Peer's public key.</param>
    /// <param name="shared">Receives 32 bytes; zero on failure.</param>
    public static bool TryAgree(ReadOnlySpan<byte> privateKey, ReadOnlySpan<byte> peerPublic, Span<byte> shared)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(shared.Length, KeySize);
        shared.Clear();
        if (peerPublic.Length != KeySize)
        {
            return false;
        }

        nint own = RawKey.FromPrivate(Libcrypto.X25519Type, privateKey);
        nint peer = 0;
        nint context = 0;
        try
        {
            fixed (byte* raw = peerPublic)
            {
                peer = Libcrypto.EVP_PKEY_new_raw_public_key(Libcrypto.X25519Type, 0, raw, KeySize);
            }

            context = Libcrypto.EVP_PKEY_CTX_new(own, 0);
            if (peer == 0 || context == 0 || Libcrypto.EVP_PKEY_derive_init(context) != 1)
            {
                throw Libcrypto.Failure("X25519");
            }

            nuint length = KeySize;
            fixed (byte* to = shared)
            {
                // libcrypto itself refuses the all-zero result; the second check does not depend on its version.
                if (Libcrypto.EVP_PKEY_derive_set_peer(context, peer) == 1
                    && Libcrypto.EVP_PKEY_derive(context, to, &length) == 1
                    && length == KeySize
                    && !CryptographicOperations.FixedTimeEquals(shared, stackalloc byte[KeySize]))
                {
                    return true;
                }
            }

            Libcrypto.ERR_clear_error();
            shared.Clear();
            return false;
        }
        finally
        {
            Libcrypto.EVP_PKEY_CTX_free(context);
            Libcrypto.EVP_PKEY_free(peer);
            Libcrypto.EVP_PKEY_free(own);
        }
    }
}
