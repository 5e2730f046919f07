namespace Pilot.Engine.Streams;

/// <summary>What <see cref="ReceiveBuffer.Write"/> did with a segment.</summary>
internal enum ReceiveOutcome
{
    /// <summary>The in-order end moved.</summary>
    InOrder,
    /// <summary>New bytes behind a hole were kept.</summary>
    OutOfOrder,
    /// <summary>Nothing new.</summary>
    Duplicate,
    /// <summary>New bytes were refused for lack of room.</summary>
    Dropped,
}

/// <summary>A run of bytes by stream offset, end exclusive.</summary>
internal readonly record struct ByteRun(long Start, long End);

/// <summary>
/// Reassembly by bytes: overlaps are trimmed and touching runs merged (chapter 02 section 5.3, "liberal").
/// Offsets are those of the peer's stream.
/// </summary>
internal sealed class ReceiveBuffer
{
    private const int SmallestRunArray = 16;

    private readonly ChunkPool _pool;
    private ChunkRing _bytes;
    private ByteRun[] _runs = []; // out-of-order runs, ascending, disjoint, not touching; rented

    public ReceiveBuffer(ChunkPool pool)
    {
        _pool = pool;
        _bytes = new ChunkRing(pool);
    }

    /// <summary>Offset of the first unread byte.</summary>
    public long ReadOffset { get; private set; }

    /// <summary>Offset of the next byte expected in order.</summary>
    public long NextOffset { get; private set; }

    /// <summary>Bytes that can be read.</summary>
    public int Readable => (int)(NextOffset - ReadOffset);

    /// <summary>Number of runs behind a hole.</summary>
    public int RunCount { get; private set; }

    /// <summary>Runs behind a hole, ascending.</summary>
    public ReadOnlySpan<ByteRun> Runs => _runs.AsSpan(0, RunCount);

    /// <summary>Offset behind the highest byte received.</summary>
    public long Highest => RunCount == 0 ? NextOffset : _runs[RunCount - 1].End;

    /// <summary>Stores a segment; what lies below the in-order end or at or above <paramref name="limit"/> is cut off.</summary>
    public ReceiveOutcome Write(long offset, ReadOnlySpan<byte> data, long limit)
    {
        long end = offset + data.Length;
        if (end <= NextOffset)
        {
            return ReceiveOutcome.Duplicate;
        }
        if (offset < NextOffset)
        {
            data = data[(int)(NextOffset - offset)..];
            offset = NextOffset;
        }
        if (end > limit)
        {
            if (offset >= limit)
            {
                return ReceiveOutcome.Dropped;
            }
            data = data[..(int)(limit - offset)];
            end = limit;
        }
        return offset == NextOffset ? Append(data) : Insert(offset, end, data);
    }

    /// <summary>The readable bytes that lie in one piece.</summary>
    public ReadOnlySpan<byte> Peek() => Readable == 0 ? [] : _bytes.Run(ReadOffset, Readable);

    /// <summary>The readable bytes in pieces, the first ones if there are more; returns how many pieces.</summary>
    public int Peek(Span<BufferPiece> pieces) => _bytes.Pieces(ReadOffset, Readable, pieces);

    /// <summary>Removes read bytes.</summary>
    public void Consume(int count)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)count, (uint)Readable, nameof(count));
        ReadOffset += count;
        if (ReadOffset == NextOffset && RunCount == 0)
        {
            _bytes.Empty();
        }
        else
        {
            _bytes.ReleaseBefore(ReadOffset);
        }
    }

    /// <summary>Drops runs behind a hole that will never be filled.</summary>
    public void DropRuns()
    {
        RunCount = 0;
        ReturnRuns();
        if (Readable == 0)
        {
            _bytes.Empty();
        }
    }

    /// <summary>Gives all memory back.</summary>
    public void Clear()
    {
        ReadOffset = NextOffset;
        RunCount = 0;
        ReturnRuns();
        _bytes.Empty();
    }

    private ReceiveOutcome Append(ReadOnlySpan<byte> data)
    {
        int written = _bytes.Write(NextOffset, data, RingAccess.Own); // may overwrite bytes of a run with the same bytes
        if (written == 0 && Readable == 0 && RunCount > 0)
        {
            // The pool is exhausted and what came behind the hole holds this buffer's own part. The hole has to be filled all the same.
            written = _bytes.Write(NextOffset, data, RingAccess.Urgent);
            if (written == 0)
            {
                RunCount = 0;
                ReturnRuns();
                _bytes.ReleaseFrom(NextOffset);
                written = _bytes.Write(NextOffset, data, RingAccess.Own);
            }
        }
        if (written == 0)
        {
            return ReceiveOutcome.Dropped;
        }
        NextOffset += written;
        AbsorbRuns();
        return ReceiveOutcome.InOrder;
    }

    private ReceiveOutcome Insert(long offset, long end, ReadOnlySpan<byte> data)
    {
        // first run that ends at or behind the start of the new one: arrivals are mostly at the end, so search from there
        int from = RunCount;
        while (from > 0 && _runs[from - 1].End >= offset)
        {
            from--;
        }
        int to = from;
        long start = offset;
        long stop = end;
        while (to < RunCount && _runs[to].Start <= end)
        {
            if (_runs[to].Start <= offset && _runs[to].End >= end)
            {
                return ReceiveOutcome.Duplicate;
            }
            start = Math.Min(start, _runs[to].Start);
            stop = Math.Max(stop, _runs[to].End);
            to++;
        }
        if (from == to && RunCount == StreamConstants.MaxOutOfOrderRuns)
        {
            return ReceiveOutcome.Dropped;
        }
        if (_bytes.Write(offset, data, RingAccess.Shared) < data.Length)
        {
            return ReceiveOutcome.Dropped; // the chunks that it got stay until the data before them are read
        }
        ReplaceRuns(from, to, new ByteRun(start, stop));
        return ReceiveOutcome.OutOfOrder;
    }

    private void ReplaceRuns(int from, int to, ByteRun run)
    {
        int count = RunCount - (to - from) + 1;
        if (count > _runs.Length)
        {
            ByteRun[] larger = _pool.Runs.Rent(Math.Max(SmallestRunArray, count));
            Runs.CopyTo(larger);
            ReturnRuns();
            _runs = larger;
        }
        _runs.AsSpan(to, RunCount - to).CopyTo(_runs.AsSpan(from + 1));
        _runs[from] = run;
        RunCount = count;
    }

    private void AbsorbRuns()
    {
        int absorbed = 0;
        while (absorbed < RunCount && _runs[absorbed].Start <= NextOffset)
        {
            NextOffset = Math.Max(NextOffset, _runs[absorbed].End);
            absorbed++;
        }
        if (absorbed == 0)
        {
            return;
        }
        _runs.AsSpan(absorbed, RunCount - absorbed).CopyTo(_runs);
        RunCount -= absorbed;
        if (RunCount == 0)
        {
            ReturnRuns();
        }
    }

    private void ReturnRuns()
    {
        if (_runs.Length > 0)
        {
            _pool.Runs.Return(_runs);
            _runs = [];
        }
    }
}
