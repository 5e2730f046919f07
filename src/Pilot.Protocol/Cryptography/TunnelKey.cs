using System.Security.Cryptography;

namespace Pilot.Protocol;

/// <summary>Derivation of a tunnel's AES key (spec 01 section 5.2).</summary>
public static class TunnelKey
{
    /// <summary>Bytes of the AES-256 key.</summary>
    public const int Size = 32;

    /// <summary>HKDF-SHA-256 of the X25519 secret with empty salt and info <c>pilot-tunnel-v1</c>: the same key on both sides. False when the peer's key has a wrong length or low order.</summary>
    public static bool TryDerive(ReadOnlySpan<byte> ownX25519Private, ReadOnlySpan<byte> peerX25519Public, Span<byte> key)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(key.Length, Size);
        key.Clear();
        Span<byte> shared = stackalloc byte[X25519.KeySize];
        if (!X25519.TryAgree(ownX25519Private, peerX25519Public, shared))
        {
            return false;
        }

        HKDF.DeriveKey(HashAlgorithmName.SHA256, shared, key, default, "pilot-tunnel-v1"u8);
        CryptographicOperations.ZeroMemory(shared);
        return true;
    }
}
