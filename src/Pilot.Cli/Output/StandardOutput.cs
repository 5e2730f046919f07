using System.Runtime.InteropServices;

namespace Pilot.Cli.Output;

/// <summary>
/// Standard output that says when its reader is gone: the framework's console stream swallows that error, and a transfer would be
/// received to its end for nobody and called a success. Unbuffered; writes block.
/// </summary>
internal sealed unsafe partial class StandardOutput : Stream
{
    private const int Descriptor = StandardDescriptors.Output;
    private const int Interrupted = 4; // EINTR
    private const int BrokenPipe = 32; // EPIPE
    private const int WouldBlock = 11; // EAGAIN, Linux
    private const int WouldBlockDarwin = 35;
    private const short PollOut = 4; // POLLOUT

    private readonly bool _isOpen = StandardDescriptors.IsOpen(Descriptor);

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <exception cref="ReaderGoneException">The reader is gone.</exception>
    /// <exception cref="IOException">The disk is full, or standard output is closed.</exception>
    public override void Write(ReadOnlySpan<byte> buffer)
    {
        if (!_isOpen)
        {
            throw new IOException("standard output is closed");
        }

        fixed (byte* start = buffer)
        {
            for (int done = 0; done < buffer.Length;)
            {
                nint count = write(Descriptor, start + done, buffer.Length - done);
                if (count >= 0)
                {
                    done += (int)count;
                    continue;
                }

                int error = Marshal.GetLastPInvokeError();
                if (error == (OperatingSystem.IsMacOS() ? WouldBlockDarwin : WouldBlock))
                {
                    PollDescriptor wanted = new() { Descriptor = Descriptor, Events = PollOut };
                    _ = poll(&wanted, 1, -1);
                }
                else if (error != Interrupted)
                {
                    string message = Marshal.GetPInvokeErrorMessage(error);
                    throw error == BrokenPipe ? new ReaderGoneException(message) : new IOException(message);
                }
            }
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Write(buffer.Span);
        return ValueTask.CompletedTask;
    }

    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public override void Flush()
    {
        // Nothing is held back.
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint write(int descriptor, byte* buffer, nint count);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int poll(PollDescriptor* descriptors, nuint count, int timeout);

    private struct PollDescriptor
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }
}
