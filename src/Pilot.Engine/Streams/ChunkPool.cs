namespace Pilot.Engine.Streams;

/// <summary>
/// Equal byte chunks for the stream buffers of one event loop. Not thread-safe: one owner. Chunks are not cleared;
/// a buffer never shows bytes that were not written into it.
/// </summary>
public sealed class ChunkPool
{
    /// <summary>Bytes of a chunk as a power of two: 16 KiB, small for a short connection and 1/256 of a full send buffer.</summary>
    public const int ChunkShift = 14;

    /// <summary>Bytes of a chunk.</summary>
    public const int ChunkSize = 1 << ChunkShift;

    /// <summary>Free chunks kept by default: 32 MiB.</summary>
    public const int DefaultKept = 2048;

    /// <summary>Chunks in use by default: 1 GiB for all connections of the loop together.</summary>
    public const int DefaultLimit = 65536;

    private readonly Stack<byte[]> _free = new();
    private readonly int _kept;
    private readonly int _limit;

    /// <summary>Creates an empty pool.</summary>
    /// <param name="kept">Free chunks kept; more are left to the garbage collector.</param>
    /// <param name="limit">Chunks in use above which each buffer keeps to about one chunk, so that no peer can take all memory.</param>
    public ChunkPool(int kept = DefaultKept, int limit = DefaultLimit)
    {
        _kept = kept;
        _limit = limit;
    }

    /// <summary>So much is in use that buffers must not grow.</summary>
    public bool IsExhausted => Rented >= _limit;

    /// <summary>So little is in use that a buffer may grow beyond its first limit.</summary>
    public bool AllowsGrowth => Rented < _limit / 2;

    /// <summary>Chunks rented and not returned.</summary>
    public int Rented { get; private set; }

    /// <summary>Leaves half of the free chunks to the garbage collector. Called now and then, so that what a busy hour needed is given back.</summary>
    internal void Trim()
    {
        for (int left = _free.Count / 2; _free.Count > left;)
        {
            _free.Pop();
        }
    }

    internal byte[] Rent()
    {
        Rented++;
        return _free.TryPop(out byte[]? chunk) ? chunk : GC.AllocateUninitializedArray<byte>(ChunkSize);
    }

    internal void Return(byte[] chunk)
    {
        Rented--;
        if (_free.Count < _kept)
        {
            _free.Push(chunk);
        }
    }
}
