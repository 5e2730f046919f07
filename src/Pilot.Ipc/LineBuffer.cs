using System.Buffers;

namespace Pilot.Ipc;

/// <summary>
/// Cuts received bytes into lines; shared by daemon and client. Receive into <see cref="GetMemory"/>, call <see cref="Advance"/>, then
/// <see cref="TryReadLine"/> until it returns false. The buffer grows by doubling up to the line limit and is rented from the shared pool.
/// After the line that hands a stream over, <see cref="Remaining"/> holds the first bytes of the stream. Not thread-safe.
/// </summary>
public sealed class LineBuffer : IDisposable
{
    private const int InitialSize = 4096;
    private readonly int maxLineLength;
    private byte[]? buffer;
    private int start;
    private int end;
    private int searched;

    /// <summary>Makes a buffer with a limit for the line length in bytes, without newline.</summary>
    public LineBuffer(int maxLineLength = IpcProtocol.MaxLineLength)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxLineLength);
        this.maxLineLength = maxLineLength;
    }

    /// <summary>True once more bytes than the limit came without a newline: the connection is to be closed. Never turns false again.</summary>
    public bool LineTooLong { get; private set; }

    /// <summary>Bytes received behind the last line that was read.</summary>
    public ReadOnlyMemory<byte> Remaining => buffer is null ? default : buffer.AsMemory(start, end - start);

    /// <summary>True when no byte is waiting.</summary>
    public bool IsEmpty => start == end;

    /// <summary>Room for at least one more received byte.</summary>
    /// <exception cref="InvalidOperationException">The line limit was exceeded.</exception>
    public Memory<byte> GetMemory()
    {
        if (LineTooLong)
        {
            throw new InvalidOperationException("line limit exceeded");
        }

        buffer ??= ArrayPool<byte>.Shared.Rent(InitialSize);
        if (start == end)
        {
            start = end = searched = 0;
        }

        if (end == buffer.Length)
        {
            MakeRoom();
        }

        return buffer.AsMemory(end);
    }

    /// <summary>Says that the first <paramref name="count"/> bytes of <see cref="GetMemory"/> were filled.</summary>
    public void Advance(int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, (buffer?.Length ?? 0) - end);
        end += count;
    }

    /// <summary>Takes the next whole line, without its newline and an optional carriage return. The span is valid until the next call of any member.</summary>
    public bool TryReadLine(out ReadOnlySpan<byte> line)
    {
        line = default;
        if (buffer is null || LineTooLong)
        {
            return false;
        }

        var index = buffer.AsSpan(searched, end - searched).IndexOf((byte)'\n');
        if (index < 0)
        {
            searched = end;
            LineTooLong = end - start > maxLineLength;
            return false;
        }

        var lineEnd = searched + index;
        if (lineEnd - start > maxLineLength)
        {
            LineTooLong = true;
            return false;
        }

        line = buffer.AsSpan(start, lineEnd - start);
        if (line.Length > 0 && line[^1] == '\r')
        {
            line = line[..^1];
        }

        start = searched = lineEnd + 1;
        return true;
    }

    /// <summary>Moves up to <c>destination.Length</c> bytes of <see cref="Remaining"/> out of the buffer; returns how many.</summary>
    public int TakeRemaining(Span<byte> destination)
    {
        var count = Math.Min(destination.Length, end - start);
        Remaining.Span[..count].CopyTo(destination);
        start += count;
        searched = Math.Max(searched, start);
        return count;
    }

    /// <summary>Returns the buffer to the pool.</summary>
    public void Dispose()
    {
        if (buffer is { } rented)
        {
            buffer = null;
            start = end = searched = 0;
            ArrayPool<byte>.Shared.Return(rented, clearArray: true);
        }
    }

    private void MakeRoom()
    {
        var length = end - start;
        if (start > 0 && length <= buffer!.Length / 2)
        {
            buffer.AsSpan(start, length).CopyTo(buffer);
        }
        else
        {
            var larger = ArrayPool<byte>.Shared.Rent(buffer!.Length * 2);
            buffer.AsSpan(start, length).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(buffer, clearArray: true);
            buffer = larger;
        }

        searched -= start;
        start = 0;
        end = length;
    }
}
