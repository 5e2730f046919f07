using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Pilot.Protocol.Tests.Tunnel;

public sealed class TunnelCipherTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Frames_equal_those_of_the_frameworks_AesGcm_and_open_again(bool keepsContext)
    {
        var random = new Random(10);
        byte[] key = new byte[TunnelKey.Size];
        byte[] tag = new byte[TunnelFrame.TagSize];
        for (int round = 0; round < 400; round++)
        {
            random.NextBytes(key);
            using var cipher = new TunnelCipher(key, keepsContext);
            using var framework = new AesGcm(key, TunnelFrame.TagSize);
            for (int repeat = 0; repeat < 5; repeat++)
            {
                byte[] packet = new byte[repeat == 0 ? 0 : random.Next(0, round % 50 == 0 ? 65_000 : 2000)];
                random.NextBytes(packet);
                uint node = (uint)random.NextInt64(1L << 32);
                uint prefix = (uint)random.NextInt64(1L << 32);
                ulong counter = (ulong)random.NextInt64();
                byte[] frame = new byte[TunnelFrame.EncryptedOverhead + packet.Length];
                packet.CopyTo(frame, TunnelFrame.EncryptedHeaderSize);
                cipher.SealInPlace(frame, packet.Length, node, prefix, counter);

                byte[] nonce = new byte[12];
                BinaryPrimitives.WriteUInt32BigEndian(nonce, prefix);
                BinaryPrimitives.WriteUInt64BigEndian(nonce.AsSpan(4), counter);
                byte[] expected = new byte[packet.Length];
                framework.Encrypt(nonce, packet, expected, tag, frame.AsSpan(4, 4));
                Assert.Equal(expected, frame[20..^16]);
                Assert.Equal(tag, frame[^16..]);
                Assert.True(EncryptedFrame.TryParse(frame, out EncryptedFrame clear));
                Assert.Equal((node, prefix, counter), (clear.NodeId, clear.NoncePrefix, clear.Counter));
                Assert.Equal(nonce, clear.Nonce.ToArray());

                Assert.True(cipher.TryOpenInPlace(frame, out Span<byte> opened));
                Assert.Equal(packet, opened.ToArray());
            }
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_frame_that_does_not_open_is_unchanged_so_another_key_can_be_tried(bool keepsContext)
    {
        var random = new Random(11);
        byte[] key = new byte[TunnelKey.Size];
        byte[] packet = new byte[1200];
        random.NextBytes(packet);
        random.NextBytes(key);
        using var right = new TunnelCipher(key, keepsContext);
        random.NextBytes(key);
        using var wrong = new TunnelCipher(key, keepsContext);
        byte[] frame = new byte[TunnelFrame.EncryptedOverhead + packet.Length];
        packet.CopyTo(frame, TunnelFrame.EncryptedHeaderSize);
        right.SealInPlace(frame, packet.Length, 7, 8, 9);
        byte[] original = [.. frame];

        Assert.False(wrong.TryOpenInPlace(frame, out Span<byte> none));
        Assert.True(none.IsEmpty);
        Assert.Equal(original, frame);
        Assert.True(right.TryOpenInPlace(frame, out Span<byte> opened));
        Assert.Equal(packet, opened.ToArray());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Any_changed_bit_is_detected_and_the_frame_stays_as_received(bool keepsContext)
    {
        byte[] key = new byte[TunnelKey.Size];
        using var cipher = new TunnelCipher(key, keepsContext);
        byte[] frame = new byte[TunnelFrame.EncryptedOverhead + 40];
        cipher.SealInPlace(frame, 40, 1, 2, 3);
        for (int bit = 0; bit < frame.Length * 8; bit++)
        {
            byte[] changed = [.. frame];
            changed[bit / 8] ^= (byte)(1 << bit % 8);
            byte[] received = [.. changed];
            Assert.False(cipher.TryOpenInPlace(changed, out _));
            Assert.Equal(received, changed);
        }

        Assert.True(cipher.TryOpenInPlace(frame, out _));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Short_frames_are_refused_and_a_disposed_cipher_says_so(bool keepsContext)
    {
        var cipher = new TunnelCipher(new byte[TunnelKey.Size], keepsContext);
        for (int length = 0; length < TunnelFrame.EncryptedOverhead; length++)
        {
            byte[] frame = new byte[length];
            "PILS"u8[..Math.Min(4, length)].CopyTo(frame);
            Assert.False(cipher.TryOpenInPlace(frame, out _));
        }

        cipher.Dispose();
        Assert.Throws<ObjectDisposedException>(() => cipher.SealInPlace(new byte[100], 10, 1, 1, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new TunnelCipher(new byte[16], keepsContext));
    }

    [Fact]
    public void This_system_keeps_contexts() => Assert.True(AesGcmContext.IsSupported);
}
