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
                        segment[i] = Transfer.ByteAt(seed, (int)(offset + i));
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
    public void An_exhausted_pool_leaves_every_buffer_its_part()
    {
        const int limit = 200;
        ChunkPool pool = new(limit: limit * ChunkPool.ChunkSize);
        for (int i = 0; i < 20; i++)
        {
            pool.Admit();
        }
        SendBuffer[] senders = [.. Enumerable.Range(0, 20).Select(_ => new SendBuffer(pool, 4 << 20))];
        ReceiveBuffer[] receivers = [.. Enumerable.Range(0, 20).Select(_ => new ReceiveBuffer(pool))];
        byte[] data = new byte[4 << 20];
        Assert.Equal(senders[0].Free, senders[0].Write(data)); // alone it gets what there is
        Assert.True(pool.Rented > limit / 4);
        Assert.Equal(0, pool.Available);
        foreach (SendBuffer sender in senders[1..])
        {
            Assert.Equal(ChunkPool.Guaranteed * ChunkPool.ChunkSize, sender.Free);
            Assert.Equal(sender.Free, sender.Write(data));
        }
        Assert.All(senders, sender => Assert.Equal(0, sender.Write(data)));
        foreach (ReceiveBuffer receiver in receivers)
        {
            Assert.Equal(ReceiveOutcome.Dropped, receiver.Write(5000, data.AsSpan(0, 1000), long.MaxValue));
            long next = 0;
            while (receiver.Write(next, data.AsSpan(0, 1000), long.MaxValue) == ReceiveOutcome.InOrder)
            {
                next = receiver.NextOffset;
            }
            Assert.Equal(ChunkPool.Guaranteed * ChunkPool.ChunkSize, next);
            receiver.Consume(receiver.Readable);
            Assert.Equal(ReceiveOutcome.InOrder, receiver.Write(next, data.AsSpan(0, 1000), long.MaxValue));
        }
        Assert.True(pool.Rented <= limit && pool.Committed <= limit, $"{pool.Rented} rented, {pool.Committed} committed");
    }

    /// <summary>Others take all that is shared while this one waits for a hole to be filled: what came behind it gives way.</summary>
    [Fact]
    public void A_hole_is_filled_although_the_pool_is_exhausted()
    {
        ChunkPool pool = new(limit: 32 * ChunkPool.ChunkSize);
        pool.Admit();
        ReceiveBuffer receiver = new(pool);
        byte[] data = new byte[1 << 20];
        Assert.Equal(ReceiveOutcome.OutOfOrder, receiver.Write(ChunkPool.ChunkSize, data.AsSpan(0, 6 * ChunkPool.ChunkSize), long.MaxValue));
        while (pool.CanAdmit)
        {
            pool.Admit(); // up to the limit, the part for further connections included
        }
        Assert.Equal(-1, pool.TryRent(ChunkPool.Guaranteed, isUrgent: true));
        Assert.Equal(ReceiveOutcome.InOrder, receiver.Write(0, data.AsSpan(0, 1000), long.MaxValue));
        Assert.Equal(1000, receiver.Readable);
        Assert.Equal(0, receiver.RunCount);
        receiver.Consume(1000);
        Assert.Equal(0, pool.Rented);
    }

    [Fact]
    public void Memory_goes_back_when_it_was_not_needed_for_a_while()
    {
        CountingMemory memory = new();
        ChunkPool pool = new(memory: memory);
        pool.Admit();
        SendBuffer buffer = new(pool, 64 << 20);
        byte[] data = new byte[20 << 20];
        for (int round = 0; round < 3; round++)
        {
            Assert.Equal(data.Length, buffer.Write(data));
            int blocks = memory.Blocks;
            Assert.InRange(blocks, 20, 21);
            buffer.Release(buffer.End - 1000); // a single chunk stays
            pool.Trim(); // the interval in which it was needed
            pool.Trim(); // the one after
            Assert.Equal(blocks, memory.Blocks);
            pool.Trim();
            Assert.Equal(1, memory.Blocks);
            Assert.Equal(0, pool.Spare);
            Assert.True(memory.Discarded >= 62 << ChunkPool.ChunkShift, $"{memory.Discarded} bytes discarded");
            buffer.Release(buffer.End);
            for (int i = 0; i < 16; i++)
            {
                pool.Trim();
            }
            Assert.Equal(0, memory.Blocks);
            Assert.False(pool.HasSpare);
            memory.Discarded = 0;
        }
    }

    private sealed class CountingMemory : BufferMemory
    {
        public int Blocks { get; private set; }

        public long Discarded { get; set; }

        public override BufferBlock Allocate(int bytes)
        {
            Blocks++;
            return new Block(this, Managed.Allocate(bytes));
        }

        private sealed class Block(CountingMemory memory, BufferBlock inner) : BufferBlock(inner.Address)
        {
            public override void Discard(int offset, int length)
            {
                inner.Discard(offset, length);
                memory.Discarded += length;
            }

            protected override void Dispose(bool disposing) => memory.Blocks--;
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

    /// <summary>Bytes put into reserved pieces are the bytes that are read in pieces, and what was reserved and not used goes back.</summary>
    [Fact]
    public void Pieces_hold_what_was_put_into_them()
    {
        for (int seed = 0; seed < 10; seed++)
        {
            Random random = new(seed);
            ChunkPool pool = new();
            SendBuffer send = new(pool, 300_000);
            ReceiveBuffer receive = new(pool);
            BufferPiece[] pieces = new BufferPiece[16];
            byte[] segment = new byte[60_000];
            for (int turn = 0; turn < 300; turn++)
            {
                int count = send.Reserve(random.Next(1, 100_000), pieces);
                int room = pieces.Take(count).Sum(piece => (int)piece.Length);
                Assert.InRange(room, count == 0 ? 0 : 1, send.Free);
                int filled = random.Next(room + 1);
                Fill(seed, send.End, filled, pieces);
                send.Commit(filled);
                Assert.Equal(ChunksOf(send.Start, send.End) + ChunksOf(receive.ReadOffset, receive.NextOffset), pool.Rented);

                int length = Math.Min(random.Next(segment.Length), send.Buffered);
                send.CopyTo(send.Start, segment.AsSpan(0, length));
                receive.Write(send.Start, segment.AsSpan(0, length), long.MaxValue);
                send.Release(send.Start + length);

                count = receive.Peek(pieces);
                int readable = pieces.Take(count).Sum(piece => (int)piece.Length);
                Assert.Equal(Math.Min(receive.Readable, readable), readable);
                int read = random.Next(readable + 1);
                Check(seed, receive.ReadOffset, read, pieces);
                receive.Consume(read);
            }
            Assert.True(receive.ReadOffset > 1_000_000);
            send.Clear();
            receive.Clear();
            Assert.Equal(0, pool.Rented);
        }
    }

    private static int ChunksOf(long start, long end) =>
        start == end ? 0 : (int)(((end - 1) >> ChunkPool.ChunkShift) - (start >> ChunkPool.ChunkShift)) + 1;

    private static unsafe void Fill(int seed, long offset, int length, BufferPiece[] pieces)
    {
        for (int i = 0, piece = 0, at = 0; i < length; i++)
        {
            ((byte*)pieces[piece].Address)[at] = Transfer.ByteAt(seed, (int)(offset + i));
            if (++at == (int)pieces[piece].Length)
            {
                (piece, at) = (piece + 1, 0);
            }
        }
    }

    private static unsafe void Check(int seed, long offset, int length, BufferPiece[] pieces)
    {
        for (int i = 0, piece = 0, at = 0; i < length; i++)
        {
            Assert.Equal(Transfer.ByteAt(seed, (int)(offset + i)), ((byte*)pieces[piece].Address)[at]);
            if (++at == (int)pieces[piece].Length)
            {
                (piece, at) = (piece + 1, 0);
            }
        }
    }
}
