using System.ComponentModel;
using System.Runtime.InteropServices;
using Pilot.Engine.Streams;

namespace Pilot.Daemon.Streams;

/// <summary>
/// Stream buffers in pages of their own, outside the garbage-collected heap: what a busy minute took goes back to the system at
/// once, without a collection, and the collector never has to look at it. Linux and macOS.
/// </summary>
internal sealed partial class MappedMemory : BufferMemory
{
    private const int ReadWrite = 1 | 2; // PROT_READ, PROT_WRITE
    private const int Private = 2; // MAP_PRIVATE
    private const int DontNeed = 4; // MADV_DONTNEED: reads as zeros afterwards on Linux; elsewhere only a hint

    private static int Anonymous => OperatingSystem.IsMacOS() ? 0x1000 : 0x20; // MAP_ANONYMOUS

    /// <summary>Pages where the system has them, else the garbage-collected heap.</summary>
    public static BufferMemory ForThisSystem() => OperatingSystem.IsLinux() || OperatingSystem.IsMacOS() ? new MappedMemory() : Managed;

    public override BufferBlock Allocate(int bytes)
    {
        var address = Map(0, (nuint)bytes, ReadWrite, Private | Anonymous, -1, 0);
        return address == -1 ? throw new InsufficientMemoryException($"no memory for stream buffers: {LastError()}") : new Block(address, bytes);
    }

    private static string LastError() => new Win32Exception(Marshal.GetLastPInvokeError()).Message;

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial nint Map(nint address, nuint length, int protection, int flags, int descriptor, nint offset);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    private static partial int Unmap(nint address, nuint length);

    [LibraryImport("libc", EntryPoint = "madvise", SetLastError = true)]
    private static partial int Advise(nint address, nuint length, int advice);

    private sealed class Block(nint address, int bytes) : BufferBlock(address)
    {
        private bool _isGone;

        ~Block() => Dispose(disposing: false);

        public override void Discard(int offset, int length)
        {
            ObjectDisposedException.ThrowIf(_isGone, this);
            ArgumentOutOfRangeException.ThrowIfNegative(offset);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(length, bytes - offset);
            _ = Advise(Address + offset, (nuint)length, DontNeed); // refused: the pages stay, which is only a pity
        }

        protected override void Dispose(bool disposing)
        {
            if (!_isGone)
            {
                _isGone = true;
                _ = Unmap(Address, (nuint)bytes); // fails only for arguments that are wrong
            }
        }
    }
}
