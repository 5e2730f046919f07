namespace Pilot.Engine.Streams;

/// <summary>Which chunks a write may take beyond those that are there.</summary>
internal enum RingAccess
{
    /// <summary>Those that are guaranteed to the buffer, and the shared ones.</summary>
    Own,
    /// <summary>Only while there are shared ones: out-of-order data leave the guaranteed ones to those before.</summary>
    Shared,
    /// <summary>One more, also of those kept free for further connections.</summary>
    Urgent,
}

/// <summary>
/// Bytes of a stream addressed by their 64-bit stream offset, in pooled chunks. Sparse: a chunk exists from its first write
/// until everything in it is released. Callers remember which bytes they wrote.
/// </summary>
internal struct ChunkRing
{
    private const int Mask = ChunkPool.ChunkSize - 1;
    private const int SmallestTable = 4;
    private const int None = -1;

    private readonly ChunkPool _pool;
    private int[]? _table; // slot of chunk number n: n mod table length
    private long _first;   // lowest chunk number that may be present
    private int _span;     // chunk numbers _first .. _first + _span - 1 may be present

    public ChunkRing(ChunkPool pool) => _pool = pool;

    /// <summary>Chunks present.</summary>
    public int Held { get; private set; }

    /// <summary>Bytes that could be appended at <paramref name="end"/>, the end of everything written, as far as the pool allows.</summary>
    public readonly long RoomAt(long end)
    {
        int chunks = Math.Max(0, ChunkPool.Guaranteed - Held) + _pool.Available;
        long whole = (long)chunks << ChunkPool.ChunkShift;
        long used = end & Mask;
        return Held == 0 ? whole - used : whole + ((ChunkPool.ChunkSize - used) & Mask);
    }

    /// <summary>Stores bytes at an offset that is not below the released part; returns how many, if the pool does not allow all of them.</summary>
    /// <param name="offset">Stream offset.</param>
    /// <param name="data">Bytes.</param>
    /// <param name="access">Which chunks it may take.</param>
    public int Write(long offset, ReadOnlySpan<byte> data, RingAccess access = RingAccess.Own)
    {
        int written = 0;
        while (written < data.Length)
        {
            int chunk = Obtain(offset >> ChunkPool.ChunkShift, access);
            if (chunk == None)
            {
                break;
            }
            int at = (int)(offset & Mask);
            int count = Math.Min(data.Length - written, ChunkPool.ChunkSize - at);
            data.Slice(written, count).CopyTo(_pool[chunk][at..]);
            written += count;
            offset += count;
            if (access == RingAccess.Urgent)
            {
                break;
            }
        }
        return written;
    }

    /// <summary>Copies written bytes.</summary>
    public readonly void CopyTo(long offset, Span<byte> destination)
    {
        while (!destination.IsEmpty)
        {
            ReadOnlySpan<byte> run = Run(offset, destination.Length);
            run.CopyTo(destination);
            destination = destination[run.Length..];
            offset += run.Length;
        }
    }

    /// <summary>The written bytes at <paramref name="offset"/> that lie in one piece, at most <paramref name="length"/>.</summary>
    public readonly ReadOnlySpan<byte> Run(long offset, long length)
    {
        long number = offset >> ChunkPool.ChunkShift;
        int at = (int)(offset & Mask);
        return _pool[_table![(int)(number & (_table.Length - 1))]].Slice(at, (int)Math.Min(length, ChunkPool.ChunkSize - at));
    }

    /// <summary>The written bytes at <paramref name="offset"/> as pieces, as far as they go; returns how many pieces.</summary>
    public readonly int Pieces(long offset, long length, Span<BufferPiece> pieces)
    {
        int count = 0;
        for (; count < pieces.Length && length > 0; count++)
        {
            int at = (int)(offset & Mask);
            int size = (int)Math.Min(length, ChunkPool.ChunkSize - at);
            long number = offset >> ChunkPool.ChunkShift;
            pieces[count] = new BufferPiece(_pool.AddressOf(_table![(int)(number & (_table.Length - 1))]) + at, (nuint)size);
            offset += size;
            length -= size;
        }
        return count;
    }

    /// <summary>Takes chunks for bytes that are going to be written at <paramref name="offset"/>; returns how many pieces. What is not used goes back by <see cref="ReleaseFrom"/>.</summary>
    public int Reserve(long offset, long length, Span<BufferPiece> pieces)
    {
        int count = 0;
        for (; count < pieces.Length && length > 0; count++)
        {
            int chunk = Obtain(offset >> ChunkPool.ChunkShift, RingAccess.Own);
            if (chunk == None)
            {
                break;
            }
            int at = (int)(offset & Mask);
            int size = (int)Math.Min(length, ChunkPool.ChunkSize - at);
            pieces[count] = new BufferPiece(_pool.AddressOf(chunk) + at, (nuint)size);
            offset += size;
            length -= size;
        }
        return count;
    }

    /// <summary>Gives back all chunks whose bytes lie below <paramref name="offset"/>.</summary>
    public void ReleaseBefore(long offset)
    {
        long keep = offset >> ChunkPool.ChunkShift;
        while (_span > 0 && _first < keep)
        {
            Drop(_first);
            _first++;
            _span--;
        }
    }

    /// <summary>Gives back all chunks whose bytes lie at or above <paramref name="offset"/>.</summary>
    public void ReleaseFrom(long offset)
    {
        long end = (offset + Mask) >> ChunkPool.ChunkShift;
        while (_span > 0 && _first + _span > end)
        {
            _span--;
            Drop(_first + _span);
        }
    }

    /// <summary>Gives back everything.</summary>
    public void Empty()
    {
        for (; _span > 0; _first++, _span--)
        {
            Drop(_first);
        }
        if (_table is not null)
        {
            _pool.Tables.Return(_table);
            _table = null;
        }
    }

    private void Drop(long number)
    {
        ref int slot = ref _table![(int)(number & (_table.Length - 1))];
        if (slot != None)
        {
            _pool.Return(slot, Held);
            Held--;
            slot = None;
        }
    }

    private int Obtain(long number, RingAccess access)
    {
        if (number >= _first && number < _first + _span)
        {
            int present = _table![(int)(number & (_table.Length - 1))];
            if (present != None)
            {
                return present;
            }
        }
        int chunk = access == RingAccess.Shared && _pool.Available == 0 ? None : _pool.TryRent(Held, access == RingAccess.Urgent);
        if (chunk == None)
        {
            return None;
        }
        Held++;
        long first = _span == 0 ? number : Math.Min(_first, number);
        long last = _span == 0 ? number : Math.Max(_first + _span - 1, number);
        int span = (int)(last - first) + 1;
        if (_table is null || span > _table.Length)
        {
            Grow(span);
        }
        _first = first;
        _span = span;
        return _table![(int)(number & (_table.Length - 1))] = chunk;
    }

    private void Grow(int span)
    {
        int[] larger = _pool.Tables.Rent(Math.Max(SmallestTable, span));
        larger.AsSpan().Fill(None);
        for (int i = 0; i < _span; i++)
        {
            long number = _first + i;
            larger[(int)(number & (larger.Length - 1))] = _table![(int)(number & (_table.Length - 1))];
        }
        if (_table is not null)
        {
            _pool.Tables.Return(_table);
        }
        _table = larger;
    }
}
