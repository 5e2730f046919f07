using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Pilot.Protocol;

/// <summary>One libcrypto AES-256-GCM context: key schedule computed once (it serves both directions), then one nonce per message. Not thread-safe.</summary>
internal sealed unsafe class AesGcmContext : SafeHandle, IAesGcm
{
    public const int KeySize = 32;
    public const int NonceSize = 12;
    public const int TagSize = 16;

    private const int Encrypt = 1;
    private const int Decrypt = 0;

    public AesGcmContext(ReadOnlySpan<byte> key)
        : base(0, ownsHandle: true)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(key.Length, KeySize);
        SetHandle(Libcrypto.EVP_CIPHER_CTX_new());
        fixed (byte* raw = key)
        {
            // The IV length of GCM is 12 unless set otherwise.
            if (IsInvalid || Libcrypto.EVP_CipherInit_ex(handle, Libcrypto.EVP_aes_256_gcm(), 0, raw, null, Encrypt) != 1)
            {
                throw Libcrypto.Failure("AES-256-GCM set-up");
            }
        }
    }

    /// <summary>Whether this system's libcrypto gives such contexts; found out once.</summary>
    public static bool IsSupported { get; } = Probe();

    public override bool IsInvalid => handle == 0;

    /// <inheritdoc/>
    public void Seal(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associated, Span<byte> data, Span<byte> tag)
    {
        int written;
        fixed (byte* to = tag)
        {
            if (!Run(Encrypt, nonce, associated, data)
                || Libcrypto.EVP_CipherFinal_ex(handle, to, &written) != 1
                || Libcrypto.EVP_CIPHER_CTX_ctrl(handle, Libcrypto.GetTag, TagSize, to) != 1)
            {
                throw Libcrypto.Failure("AES-256-GCM seal");
            }
        }

        GC.KeepAlive(this);
    }

    /// <inheritdoc/>
    public bool TryOpen(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associated, Span<byte> data, ReadOnlySpan<byte> tag)
    {
        int written;
        fixed (byte* from = tag)
        {
            byte ignored;
            if (!Run(Decrypt, nonce, associated, data)
                || Libcrypto.EVP_CIPHER_CTX_ctrl(handle, Libcrypto.SetTag, TagSize, from) != 1)
            {
                throw Libcrypto.Failure("AES-256-GCM open");
            }

            if (Libcrypto.EVP_CipherFinal_ex(handle, &ignored, &written) == 1)
            {
                GC.KeepAlive(this);
                return true;
            }
        }

        Libcrypto.ERR_clear_error();
        // GCM is a key stream XORed over the data: encrypting what came out restores what went in. So no unauthenticated
        // plaintext is left, and the caller can try the same frame with another key.
        if (!Run(Encrypt, nonce, associated, data))
        {
            CryptographicOperations.ZeroMemory(data);
            throw Libcrypto.Failure("AES-256-GCM restore");
        }

        GC.KeepAlive(this);
        return false;
    }

    private static bool Probe()
    {
        try
        {
            using var context = new AesGcmContext(new byte[KeySize]);
            Span<byte> data = stackalloc byte[1];
            Span<byte> tag = stackalloc byte[TagSize];
            Span<byte> nonce = stackalloc byte[NonceSize];
            nonce.Clear();
            data.Clear();
            context.Seal(nonce, [], data, tag);
            return context.TryOpen(nonce, [], data, tag);
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException or CryptographicException)
        {
            return false;
        }
    }

    protected override bool ReleaseHandle()
    {
        Libcrypto.EVP_CIPHER_CTX_free(handle); // also wipes the key schedule
        return true;
    }

    private bool Run(int direction, ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associated, Span<byte> data)
    {
        ObjectDisposedException.ThrowIf(IsClosed, this);
        int written;
        fixed (byte* iv = nonce)
        fixed (byte* aad = associated)
        fixed (byte* at = data)
        {
            return Libcrypto.EVP_CipherInit_ex(handle, 0, 0, null, iv, direction) == 1
                && Libcrypto.EVP_CipherUpdate(handle, null, &written, aad, associated.Length) == 1
                && (data.IsEmpty || Libcrypto.EVP_CipherUpdate(handle, at, &written, at, data.Length) == 1);
        }
    }
}
