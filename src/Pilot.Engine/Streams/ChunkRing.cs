using System.Numerics;

namespace Pilot.Engine.Streams;

/// <summary>
/// Bytes of a stream addressed by their 64-bit stream offset, in pooled chunks. Sparse: a chunk exists from its first write
/// until everything in it is released. Callers remember which bytes they wrote.
/// </summary>
internal struct ChunkRing
{
    private const int Mask = ChunkPool.ChunkSize - 1;
    private const int SmallestTable = 4;

    private readonly ChunkPool _pool;
    private byte[]?[]? _table; // slot of chunk number n: n mod table length
    private long _first;       // lowest chunk number that may be present
    private int _span;         // chunk numbers _first .. _first + _span - 1 may be present

    public ChunkRing(ChunkPool pool) => _pool = pool;

    /// <summary>Stores bytes at an offset that is not below the released part.</summary>
    public void Write(long offset, ReadOnlySpan<byte> data)
    {
        while (!data.IsEmpty)
        {
            byte[] chunk = Obtain(offset >> ChunkPool.ChunkShift);
            int at = (int)(offset & Mask);
            int count = Math.Min(data.Length, ChunkPool.ChunkSize - at);
            data[..count].CopyTo(chunk.AsSpan(at));
            data = data[count..];
            offset += count;
        }
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
        byte[] chunk = _table![(int)(number & (_table.Length - 1))]!;
        int at = (int)(offset & Mask);
        return chunk.AsSpan(at, (int)Math.Min(length, ChunkPool.ChunkSize - at));
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

    /// <summary>Gives back everything.</summary>
    public void Clear()
    {
        for (; _span > 0; _first++, _span--)
        {
            Drop(_first);
        }
        _table = null;
    }

    /// <summary>Gives back the chunks but keeps a small table, for a buffer that is empty for the moment.</summary>
    public void Empty()
    {
        for (; _span > 0; _first++, _span--)
        {
            Drop(_first);
        }
        if (_table is { Length: > 64 })
        {
            _table = null;
        }
    }

    private readonly void Drop(long number)
    {
        ref byte[]? slot = ref _table![(int)(number & (_table.Length - 1))];
        if (slot is not null)
        {
            _pool.Return(slot);
            slot = null;
        }
    }

    private byte[] Obtain(long number)
    {
        long first = _span == 0 ? number : Math.Min(_first, number);
        long last = _span == 0 ? number : Math.Max(_first + _span - 1, number);
        int span = (int)(last - first) + 1;
        if (_table is null || span > _table.Length)
        {
            Grow(span);
        }
        _first = first;
        _span = span;
        ref byte[]? slot = ref _table![(int)(number & (_table.Length - 1))];
        return slot ??= _pool.Rent();
    }

    private void Grow(int span)
    {
        byte[]?[] larger = new byte[]?[Math.Max(SmallestTable, (int)BitOperations.RoundUpToPowerOf2((uint)span))];
        for (int i = 0; i < _span; i++)
        {
            long number = _first + i;
            larger[(int)(number & (larger.Length - 1))] = _table![(int)(number & (_table.Length - 1))];
        }
        _table = larger;
    }
}
