namespace Pilot.Protocol.Tests.Packets;

public sealed class SequenceAndSackTests
{
    [Fact]
    public void Order_is_antisymmetric_and_follows_the_distance()
    {
        var random = new Random(5);
        for (int round = 0; round < 20_000; round++)
        {
            uint a = (uint)random.NextInt64(1L << 32);
            uint b = round % 3 == 0 ? a + (uint)random.Next(-5, 6) : (uint)random.NextInt64(1L << 32);
            int distance = SequenceNumber.Distance(b, a);
            Assert.Equal(a, b + (uint)distance);
            Assert.Equal(distance > 0, SequenceNumber.IsAfter(a, b));
            Assert.False(SequenceNumber.IsAfter(a, b) && SequenceNumber.IsAfter(b, a));
            Assert.Equal(a == b || SequenceNumber.IsAfter(a, b), SequenceNumber.IsAtOrAfter(a, b));
            Assert.Equal(SequenceNumber.IsAfter(b, a), SequenceNumber.IsBefore(a, b));
            Assert.Equal(SequenceNumber.IsAtOrAfter(b, a), SequenceNumber.IsAtOrBefore(a, b));
            if (distance != int.MinValue)
            {
                Assert.Equal(distance > 0 ? a : b, SequenceNumber.Max(a, b));
                Assert.Equal(distance > 0 ? b : a, SequenceNumber.Min(a, b));
            }
        }

        Assert.False(SequenceNumber.IsAfter(0x8000_0000, 0));
        Assert.False(SequenceNumber.IsAfter(0, 0x8000_0000));
    }

    [Fact]
    public void Sack_lists_survive_the_round_trip_and_look_like_sack()
    {
        var random = new Random(6);
        byte[] buffer = new byte[Sack.MaxSize + 10];
        var read = new SackBlock[Sack.MaxBlocks];
        for (int round = 0; round < 5_000; round++)
        {
            SackBlock[] blocks = [.. Enumerable.Range(0, random.Next(1, 5))
                .Select(_ => new SackBlock((uint)random.NextInt64(1L << 32), (uint)random.NextInt64(1L << 32)))];
            int length = Sack.Write(buffer, blocks);
            Assert.Equal(Sack.SizeOf(blocks.Length), length);
            ReadOnlySpan<byte> payload = buffer.AsSpan(0, length + random.Next(0, 10));
            Assert.True(Sack.LooksLikeSack(payload));
            Assert.True(Sack.TryParse(payload, read, out int count));
            Assert.Equal(blocks, read[..count]);
            Assert.False(Sack.TryParse(payload[..(length - 1)], read, out _));
            Assert.False(Sack.TryParse(payload, read.AsSpan(0, blocks.Length - 1), out _));
        }

        Assert.Equal(0, Sack.Write(buffer, default));
    }
}
