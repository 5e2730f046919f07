namespace Pilot.Protocol.Tests.Packets;

public sealed class Crc32Tests
{
    [Fact]
    public void All_implementations_agree_at_every_length_and_offset()
    {
        byte[] data = new byte[700];
        new Random(1).NextBytes(data);
        for (int offset = 0; offset < 17; offset++)
        {
            for (int length = 0; offset + length <= data.Length; length += length < 300 ? 1 : 37)
            {
                ReadOnlySpan<byte> part = data.AsSpan(offset, length);
                uint expected = BitByBit(part);
                Assert.Equal(expected, Crc32.AppendPortable(0, part));
                Assert.Equal(expected, Crc32.Compute(part));
            }
        }
    }

    [Fact]
    public void Appending_in_pieces_equals_the_whole()
    {
        var random = new Random(2);
        byte[] data = new byte[70_000];
        random.NextBytes(data);
        uint whole = Crc32.Compute(data);
        Assert.Equal(whole, Crc32.AppendPortable(0, data));
        for (int round = 0; round < 50; round++)
        {
            uint fast = 0;
            uint portable = 0;
            for (int at = 0; at < data.Length;)
            {
                int length = Math.Min(random.Next(0, 5000), data.Length - at);
                fast = Crc32.Append(fast, data.AsSpan(at, length));
                portable = Crc32.AppendPortable(portable, data.AsSpan(at, length));
                at += length;
            }

            Assert.Equal(whole, fast);
            Assert.Equal(whole, portable);
        }
    }

    // The definition, one bit at a time.
    private static uint BitByBit(ReadOnlySpan<byte> data)
    {
        uint crc = 0xFFFF_FFFF;
        foreach (byte value in data)
        {
            crc ^= value;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc & 1) != 0 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1;
            }
        }

        return ~crc;
    }
}
