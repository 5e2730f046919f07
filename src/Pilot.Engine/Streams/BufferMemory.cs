using System.Runtime.CompilerServices;

namespace Pilot.Engine.Streams;

/// <summary>
/// Where the memory of stream buffers comes from. The default is the garbage-collected heap; a host may give pages of the
/// operating system instead, which can be handed back at once.
/// </summary>
public abstract class BufferMemory
{
    /// <summary>Blocks on the garbage-collected heap; the collector takes them back when it gets to it.</summary>
    public static BufferMemory Managed { get; } = new ManagedMemory();

    /// <summary>Allocates a block of a multiple of 4 KiB; its content does not matter.</summary>
    /// <exception cref="OutOfMemoryException">There is none.</exception>
    public abstract BufferBlock Allocate(int bytes);

    private sealed class ManagedMemory : BufferMemory
    {
        public override BufferBlock Allocate(int bytes) => new ManagedBlock(GC.AllocateUninitializedArray<byte>(bytes, pinned: true));
    }

    private sealed class ManagedBlock : BufferBlock
    {
        private readonly byte[] _array; // keeps it alive

        public unsafe ManagedBlock(byte[] array)
            : base((nint)Unsafe.AsPointer(ref array[0])) // pinned
            => _array = array;

        public override void Discard(int offset, int length) => ArgumentOutOfRangeException.ThrowIfGreaterThan(offset + length, _array.Length);

        protected override void Dispose(bool disposing)
        {
        }
    }
}

/// <summary>A block of memory at a fixed address, until it is disposed of.</summary>
public abstract class BufferBlock : IDisposable
{
    /// <summary>Creates a block.</summary>
    protected BufferBlock(nint address) => Address = address;

    /// <summary>Its first byte.</summary>
    public nint Address { get; }

    /// <summary>The content of a part (multiples of 4 KiB) is not needed any more; the part may be used again later.</summary>
    public abstract void Discard(int offset, int length);

    /// <summary>Gives the block back. It must not be used any more.</summary>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Gives the block back.</summary>
    protected abstract void Dispose(bool disposing);
}
