namespace Pilot.Protocol;

/// <summary>AES-256-GCM under one key, in place. Not thread-safe.</summary>
internal interface IAesGcm : IDisposable
{
    /// <summary>Encrypts <paramref name="data"/> and writes the tag.</summary>
    void Seal(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associated, Span<byte> data, Span<byte> tag);

    /// <summary>Decrypts <paramref name="data"/>; false when the tag is wrong, and then <paramref name="data"/> is what it was.</summary>
    bool TryOpen(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associated, Span<byte> data, ReadOnlySpan<byte> tag);
}
