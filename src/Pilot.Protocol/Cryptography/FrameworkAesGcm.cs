using System.Security.Cryptography;

namespace Pilot.Protocol;

/// <summary>AES-256-GCM by the framework, for systems where libcrypto gives no context that lives longer than a message. Dearer per message; the same bytes. Not thread-safe.</summary>
internal sealed class FrameworkAesGcm : IAesGcm
{
    private readonly AesGcm _cipher;
    private byte[] _scratch = [];

    public FrameworkAesGcm(ReadOnlySpan<byte> key)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(key.Length, AesGcmContext.KeySize);
        _cipher = new AesGcm(key, AesGcmContext.TagSize);
    }

    /// <inheritdoc/>
    public void Seal(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associated, Span<byte> data, Span<byte> tag) =>
        _cipher.Encrypt(nonce, data, data, tag, associated);

    /// <inheritdoc/>
    public bool TryOpen(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associated, Span<byte> data, ReadOnlySpan<byte> tag)
    {
        if (_scratch.Length < data.Length)
        {
            _scratch = GC.AllocateUninitializedArray<byte>(data.Length);
        }

        // The framework wipes what does not authenticate, so it must not work in place.
        Span<byte> opened = _scratch.AsSpan(0, data.Length);
        try
        {
            _cipher.Decrypt(nonce, data, tag, opened, associated);
        }
        catch (AuthenticationTagMismatchException)
        {
            return false;
        }

        opened.CopyTo(data);
        CryptographicOperations.ZeroMemory(opened);
        return true;
    }

    public void Dispose() => _cipher.Dispose();
}
