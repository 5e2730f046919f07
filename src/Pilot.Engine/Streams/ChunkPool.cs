using System.Numerics;

namespace Pilot.Engine.Streams;

/// <summary>
/// Equal byte chunks for the stream buffers of one event loop, and the bound on all of them together. Not thread-safe: one
/// owner. Chunks are not cleared; a buffer never shows bytes that were not written into it.
/// </summary>
/// <remarks>
/// Each buffer may always hold <see cref="Guaranteed"/> chunks, for which room is set aside when its connection is admitted.
/// What it holds beyond comes from the room that is left, of which an eighth stays free for further connections. So the limit
/// holds, and no buffer ever waits for another one's reader.
/// </remarks>
public sealed class ChunkPool
{
    /// <summary>Bytes of a chunk as a power of two: 16 KiB, small for a short connection, and pages enough to be handed back.</summary>
    public const int ChunkShift = 14;

    /// <summary>Bytes of a chunk.</summary>
    public const int ChunkSize = 1 << ChunkShift;

    /// <summary>Bytes of all chunks together by default.</summary>
    public const long DefaultLimit = 512L << 20;

    /// <summary>Chunks that each buffer may always hold.</summary>
    public const int Guaranteed = 2;

    private const int BuffersOfConnection = 2;
    private const int BlockShift = 6; // 64 chunks: one word of flags, 1 MiB
    private const int BlockChunks = 1 << BlockShift;
    private const int HeadroomPart = 8;

    private readonly BufferMemory _memory;
    private readonly int _limit;
    private readonly int _growthLimit;
    private Block[] _blocks = new Block[8];
    private ulong[] _withFree = new ulong[1]; // blocks that have a free chunk
    private int _peak, _peakBefore;

    private struct Block
    {
        public BufferBlock? Memory;
        public ulong Free;
        public ulong Used; // has been rented since it was allocated or discarded: takes memory
    }

    /// <summary>Creates an empty pool.</summary>
    /// <param name="limit">Bytes of all chunks together, at most.</param>
    /// <param name="memory">Where they come from.</param>
    public ChunkPool(long limit = DefaultLimit, BufferMemory? memory = null)
    {
        _memory = memory ?? BufferMemory.Managed;
        _limit = (int)Math.Min(limit >> ChunkShift, int.MaxValue);
        _growthLimit = _limit - (_limit / HeadroomPart);
    }

    /// <summary>Chunks rented and not returned.</summary>
    public int Rented { get; private set; }

    /// <summary>Chunks rented, and those guaranteed to admitted connections and not rented yet.</summary>
    public int Committed { get; private set; }

    /// <summary>Free chunks that take memory.</summary>
    public int Spare { get; private set; }

    /// <summary>Chunks that all buffers together may still take beyond what is guaranteed to them.</summary>
    public int Available => Math.Max(0, _growthLimit - Committed);

    /// <summary>Bytes that a single buffer should keep to now: half of what is left, so that the last of many gets its share as well.</summary>
    public int Share => (int)Math.Min(int.MaxValue, Math.Max(Guaranteed - 1, Available / 2) * (long)ChunkSize);

    /// <summary>There is something that <see cref="Trim"/> may give back now or later.</summary>
    public bool HasSpare => Spare > 0 || Tables.Count > 0 || Rings.Count > 0 || Runs.Count > 0;

    /// <summary>Tables of the buffers.</summary>
    internal ArrayShelf<int> Tables { get; } = new();

    /// <summary>Rings of sent segments.</summary>
    internal ArrayShelf<SegmentRecord> Rings { get; } = new();

    /// <summary>Lists of runs behind a hole.</summary>
    internal ArrayShelf<ByteRun> Runs { get; } = new();

    /// <summary>The buffers of one more connection find room within the limit.</summary>
    internal bool CanAdmit => Committed + (Guaranteed * BuffersOfConnection) <= _limit;

    /// <summary>Sets aside what the buffers of one more connection are guaranteed.</summary>
    internal void Admit() => Committed += Guaranteed * BuffersOfConnection;

    /// <summary>The connection is gone and its buffers are empty.</summary>
    internal void Dismiss() => Committed -= Guaranteed * BuffersOfConnection;

    /// <summary>Rents a chunk for a buffer that holds so many; -1 if it has to wait.</summary>
    /// <param name="held">Chunks of the buffer.</param>
    /// <param name="isUrgent">May take from what is kept free for further connections.</param>
    internal int TryRent(int held, bool isUrgent = false)
    {
        if (held >= Guaranteed)
        {
            if (Committed >= (isUrgent ? _limit : _growthLimit))
            {
                return -1;
            }
            Committed++;
        }
        int number = FirstWithFree();
        ref Block block = ref _blocks[number];
        ulong free = block.Free & block.Used;
        if (free == 0)
        {
            free = block.Free;
        }
        else
        {
            Spare--;
        }
        int bit = BitOperations.TrailingZeroCount(free);
        block.Used |= 1UL << bit;
        block.Free &= ~(1UL << bit);
        if (block.Free == 0)
        {
            _withFree[number >> 6] &= ~(1UL << number);
        }
        Rented++;
        _peak = Math.Max(_peak, Rented);
        return (number << BlockShift) | bit;
    }

    /// <summary>Takes a chunk back from a buffer that held so many, this one included.</summary>
    internal void Return(int chunk, int held)
    {
        int number = chunk >> BlockShift;
        _blocks[number].Free |= 1UL << chunk;
        _withFree[number >> 6] |= 1UL << number;
        Rented--;
        Spare++;
        if (held > Guaranteed)
        {
            Committed--;
        }
    }

    /// <summary>The bytes of a rented chunk.</summary>
    internal unsafe Span<byte> this[int chunk] => new((byte*)AddressOf(chunk), ChunkSize);

    /// <summary>First byte of a chunk.</summary>
    internal nint AddressOf(int chunk) => _blocks[chunk >> BlockShift].Memory!.Address + ((chunk & (BlockChunks - 1)) << ChunkShift);

    /// <summary>
    /// Gives back what the last two intervals between calls did not need. To be called every few seconds while it
    /// <see cref="HasSpare"/>.
    /// </summary>
    internal void Trim()
    {
        Tables.Trim();
        Rings.Trim();
        Runs.Trim();
        int keep = Math.Max(_peak, _peakBefore) - Rented;
        _peakBefore = _peak;
        _peak = Rented;
        for (int number = _blocks.Length - 1; number >= 0 && Spare > keep; number--)
        {
            ref Block block = ref _blocks[number];
            if (block.Memory is null)
            {
                continue;
            }
            ulong spare = block.Free & block.Used;
            if (block.Free == ulong.MaxValue)
            {
                block.Memory.Dispose();
                block = default;
                _withFree[number >> 6] &= ~(1UL << number);
            }
            else
            {
                DiscardRuns(block.Memory, spare);
                block.Used &= ~spare;
            }
            Spare -= BitOperations.PopCount(spare);
        }
    }

    private static void DiscardRuns(BufferBlock memory, ulong chunks)
    {
        while (chunks != 0)
        {
            int first = BitOperations.TrailingZeroCount(chunks);
            int count = BitOperations.TrailingZeroCount(~(chunks >> first)); // at most 63: a block with 64 free ones is given back whole
            memory.Discard(first << ChunkShift, count << ChunkShift);
            chunks &= ~(((1UL << count) - 1) << first);
        }
    }

    // The lowest one, so that the others become empty.
    private int FirstWithFree()
    {
        for (int word = 0; word < _withFree.Length; word++)
        {
            if (_withFree[word] != 0)
            {
                return (word << 6) + BitOperations.TrailingZeroCount(_withFree[word]);
            }
        }
        int number = 0;
        while (number < _blocks.Length && _blocks[number].Memory is not null)
        {
            number++;
        }
        if (number == _blocks.Length)
        {
            Array.Resize(ref _blocks, number * 2);
            Array.Resize(ref _withFree, (_blocks.Length + 63) >> 6);
        }
        _blocks[number] = new Block { Memory = _memory.Allocate(BlockChunks << ChunkShift), Free = ulong.MaxValue };
        _withFree[number >> 6] |= 1UL << number;
        return number;
    }
}
