using Pilot.Engine.Streams;

namespace Pilot.Engine.Tests.Streams;

public sealed class BufferTests
{
    /// <summary>Random segments against a byte-by-byte model: merge, trim, limit, what can be read, what memory is held.</summary>
    [Fact]
    public void Reassembly_agrees_with_a_model()
    {
        for (int seed = 0; seed < 15; seed++)
        {
            Random random = new(seed);
            ChunkPool pool = new();
            ReceiveBuffer buffer = new(pool);
            const int size = 200_000;
            bool[] have = new bool[size + 1];
            int next = 0;
            int read = 0;
            byte[] segment = new byte[30_000];
            while (read < size)
            {
                int offset = Math.Max(0, next + random.Next(-2_000, 40_000));
                int length = Math.Min(random.Next(1, random.Next(2) == 0 ? 200 : segment.Length), size - offset);
                long limit = read + random.Next(30_000, 100_000);
                if (length > 0)
                {
                    for (int i = 0; i < length; i++)
                    {
                        segment[i] = Transfer.ByteAt(seed, offset + i);
                    }
                    ReceiveOutcome outcome = buffer.Write(offset, segment.AsSpan(0, length), limit);
                    int start = next;
                    int kept = (int)Math.Min(offset + length, limit);
                    bool news = false;
                    for (int i = Math.Max(offset, next); i < kept; i++)
                    {
                        news |= !have[i];
                        have[i] = true;
                    }
                    int before = next;
                    while (have[next])
                    {
                        next++;
                    }
                    Assert.Equal(
                        next > before ? ReceiveOutcome.InOrder : news ? ReceiveOutcome.OutOfOrder
                            : offset + length > start && offset >= limit ? ReceiveOutcome.Dropped : ReceiveOutcome.Duplicate,
                        outcome);
                }
                Assert.Equal(next, buffer.NextOffset);
                if (random.Next(10) == 0)
                {
                    AssertRuns(buffer, have, next);
                }
                while (buffer.Readable > 0 && random.Next(3) > 0)
                {
                    ReadOnlySpan<byte> run = buffer.Peek();
                    run = run[..random.Next(1, run.Length + 1)];
                    for (int i = 0; i < run.Length; i++)
                    {
                        if (run[i] != Transfer.ByteAt(seed, read + i))
                        {
                            Assert.Fail($"seed {seed}: wrong byte at {read + i}");
                        }
                    }
                    read += run.Length;
                    buffer.Consume(run.Length);
                }
            }
            Assert.Equal(0, pool.Rented);
        }
    }

    [Fact]
    public void A_run_limit_bounds_the_list_of_runs()
    {
        ReceiveBuffer buffer = new(new ChunkPool());
        for (int i = 0; i < 5000; i++)
        {
            buffer.Write(1 + (i * 2), "x"u8, long.MaxValue);
        }
        Assert.Equal(StreamConstants.MaxOutOfOrderRuns, buffer.RunCount);
        Assert.Equal(ReceiveOutcome.InOrder, buffer.Write(0, new byte[20_000], long.MaxValue));
        Assert.Equal(0, buffer.RunCount);
    }

    [Fact]
    public void Send_buffer_keeps_what_is_not_released()
    {
        ChunkPool pool = new();
        SendBuffer buffer = new(pool, 100_000);
        Random random = new(3);
        byte[] data = new byte[5000];
        byte[] copy = new byte[3000];
        long written = 0;
        for (int i = 0; i < 2000; i++)
        {
            for (int b = 0; b < data.Length; b++)
            {
                data[b] = Transfer.ByteAt(9, (int)(written + b));
            }
            int count = random.Next(1, data.Length);
            int taken = buffer.Write(data.AsSpan(0, count));
            Assert.Equal(Math.Min(count, 100_000 - (int)(written - buffer.Start)), taken);
            written += taken;
            long at = buffer.Start + random.NextInt64(buffer.End - buffer.Start);
            int length = (int)Math.Min(copy.Length, buffer.End - at);
            buffer.CopyTo(at, copy.AsSpan(0, length));
            for (int b = 0; b < length; b++)
            {
                if (copy[b] != Transfer.ByteAt(9, (int)(at + b)))
                {
                    Assert.Fail($"wrong byte at {at + b}");
                }
            }
            buffer.Release(buffer.Start + random.NextInt64(buffer.End - buffer.Start + 1));
            Assert.True(pool.Rented <= 100_000 / ChunkPool.ChunkSize + 2);
        }
        buffer.Release(buffer.End);
        Assert.Equal(0, pool.Rented);
    }

    [Fact]
    public void An_exhausted_pool_leaves_every_connection_a_chunk()
    {
        ChunkPool pool = new(kept: 4, limit: 8);
        SendBuffer[] senders = [.. Enumerable.Range(0, 20).Select(_ => new SendBuffer(pool, 4 << 20))];
        ReceiveBuffer[] receivers = [.. Enumerable.Range(0, 20).Select(_ => new ReceiveBuffer(pool))];
        byte[] data = new byte[1 << 20];
        Assert.True(senders[0].Write(data) > ChunkPool.ChunkSize); // alone it gets what it wants
        Assert.True(pool.IsExhausted);
        Assert.All(senders[1..], sender => Assert.InRange(sender.Write(data), 1, ChunkPool.ChunkSize));
        Assert.All(senders, sender => Assert.Equal(0, sender.Write(data)));
        foreach (ReceiveBuffer receiver in receivers)
        {
            Assert.Equal(ReceiveOutcome.Dropped, receiver.Write(5000, data.AsSpan(0, 1000), long.MaxValue));
            long next = 0;
            while (receiver.Write(next, data.AsSpan(0, 1000), long.MaxValue) == ReceiveOutcome.InOrder)
            {
                next += 1000;
            }
            Assert.InRange(next, ChunkPool.ChunkSize, ChunkPool.ChunkSize + 1000);
            receiver.Consume(receiver.Readable);
            Assert.Equal(ReceiveOutcome.InOrder, receiver.Write(next, data.AsSpan(0, 1000), long.MaxValue));
        }
    }

    private static void AssertRuns(ReceiveBuffer buffer, bool[] have, int next)
    {
        long previous = next;
        foreach (ByteRun run in buffer.Runs)
        {
            Assert.True(run.Start > previous && run.End > run.Start);
            Assert.False(have[run.Start - 1]);
            Assert.False(have[run.End]);
            for (long i = run.Start; i < run.End; i++)
            {
                if (!have[i])
                {
                    Assert.Fail("a run names bytes that never came");
                }
            }
            previous = run.End;
        }
    }
}
