using System.Buffers.Binary;

namespace Pilot.Protocol;

/// <summary>
/// AES-256-GCM of one tunnel key, for both directions (spec 01 section 6). Works in place, allocates nothing. Not thread-safe.
/// The caller owns nonce uniqueness: a (prefix, counter) pair must never be sealed twice under one key.
/// </summary>
public sealed class TunnelCipher : IDisposable
{
    private readonly IAesGcm _aead;

    /// <summary>A cipher for a key of 32 bytes; the key is copied.</summary>
    public TunnelCipher(ReadOnlySpan<byte> key)
        : this(key, AesGcmContext.IsSupported)
    {
    }

    /// <summary>A cipher over a kept libcrypto context, or over the framework's AesGcm.</summary>
    internal TunnelCipher(ReadOnlySpan<byte> key, bool keepsContext) => _aead = keepsContext ? new AesGcmContext(key) : new FrameworkAesGcm(key);

    /// <summary>Turns a packet that stands at <c>frame[20..20+packetLength]</c> into a <c>PILS</c> frame of 36 + <paramref name="packetLength"/> bytes, in place.</summary>
    public void SealInPlace(Span<byte> frame, int packetLength, uint senderNodeId, uint prefix, ulong counter)
    {
        Span<byte> data = frame.Slice(TunnelFrame.EncryptedHeaderSize, packetLength);
        Span<byte> tag = frame.Slice(TunnelFrame.EncryptedHeaderSize + packetLength, TunnelFrame.TagSize);
        BinaryPrimitives.WriteUInt32BigEndian(frame, TunnelFrame.EncryptedMagic);
        BinaryPrimitives.WriteUInt32BigEndian(frame[EncryptedFrame.NodeIdOffset..], senderNodeId);
        BinaryPrimitives.WriteUInt32BigEndian(frame[EncryptedFrame.NonceOffset..], prefix);
        BinaryPrimitives.WriteUInt64BigEndian(frame[EncryptedFrame.CounterOffset..], counter);
        _aead.Seal(Nonce(frame), Associated(frame), data, tag);
    }

    /// <summary>Verifies a <c>PILS</c> frame and decrypts it in place. False when it is too short, has another magic or does not authenticate; the frame is then unchanged, so another key can be tried. Never throws on input.</summary>
    /// <param name="frame">The whole frame.</param>
    /// <param name="packet">The decrypted packet, a slice of <paramref name="frame"/>; empty on failure.</param>
    public bool TryOpenInPlace(Span<byte> frame, out Span<byte> packet)
    {
        packet = default;
        if (!TunnelFrame.HasMagic(frame, TunnelFrame.EncryptedMagic, TunnelFrame.EncryptedOverhead))
        {
            return false;
        }

        Span<byte> data = frame[TunnelFrame.EncryptedHeaderSize..^TunnelFrame.TagSize];
        if (!_aead.TryOpen(Nonce(frame), Associated(frame), data, frame[^TunnelFrame.TagSize..]))
        {
            return false;
        }

        packet = data;
        return true;
    }

    /// <inheritdoc/>
    public void Dispose() => _aead.Dispose();

    private static ReadOnlySpan<byte> Nonce(ReadOnlySpan<byte> frame) => frame.Slice(EncryptedFrame.NonceOffset, AesGcmContext.NonceSize);

    private static ReadOnlySpan<byte> Associated(ReadOnlySpan<byte> frame) => frame.Slice(EncryptedFrame.NodeIdOffset, 4);
}
