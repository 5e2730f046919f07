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

    private readonly Stack<byte[]> _free = new();
    private readonly int _kept;

    /// <summary>Creates an empty pool.</summary>
    /// <param name="kept">Free chunks kept; more are left to the garbage collector.</param>
    public ChunkPool(int kept = DefaultKept) => _kept = kept;

    /// <summary>Chunks rented and not returned.</summary>
    public int Rented { get; private set; }

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
