namespace Pilot.Protocol;

/// <summary>libcrypto keys made from the raw 32 bytes of the RFCs.</summary>
internal static unsafe class RawKey
{
    public const int Size = 32;

    /// <summary>A private key handle; the caller frees it.</summary>
    public static nint FromPrivate(int type, ReadOnlySpan<byte> privateKey)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(privateKey.Length, Size);
        fixed (byte* raw = privateKey)
        {
            nint key = Libcrypto.EVP_PKEY_new_raw_private_key(type, 0, raw, Size);
            return key != 0 ? key : throw Libcrypto.Failure("import of a private key");
        }
    }

    public static void GetPublicKey(int type, ReadOnlySpan<byte> privateKey, Span<byte> publicKey)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(publicKey.Length, Size);
        nint key = FromPrivate(type, privateKey);
        try
        {
            nuint length = Size;
            fixed (byte* raw = publicKey)
            {
                if (Libcrypto.EVP_PKEY_get_raw_public_key(key, raw, &length) != 1 || length != Size)
                {
                    throw Libcrypto.Failure("export of a public key");
                }
            }
        }
        finally
        {
            Libcrypto.EVP_PKEY_free(key);
        }
    }
}
