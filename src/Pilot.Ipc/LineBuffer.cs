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
    private readonly int _maxLineLength;
    private byte[]? _buffer;
    private int _start;
    private int _end;
    private int _searched;

    /// <summary>Makes a buffer with a limit for the line length in bytes, without newline.</summary>
    public LineBuffer(int maxLineLength = IpcProtocol.MaxLineLength)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxLineLength);
        _maxLineLength = maxLineLength;
    }

    /// <summary>True once more bytes than the limit came without a newline: the connection is to be closed. Never turns false again.</summary>
    public bool LineTooLong { get; private set; }

    /// <summary>Bytes received behind the last line that was read.</summary>
    public ReadOnlyMemory<byte> Remaining => _buffer is null ? default : _buffer.AsMemory(_start, _end - _start);

    /// <summary>True when no byte is waiting.</summary>
    public bool IsEmpty => _start == _end;

    /// <summary>Room for at least one more received byte.</summary>
    /// <exception cref="InvalidOperationException">The line limit was exceeded.</exception>
    public Memory<byte> GetMemory()
    {
        if (LineTooLong)
        {
            throw new InvalidOperationException("line limit exceeded");
        }

        _buffer ??= ArrayPool<byte>.Shared.Rent(InitialSize);
        if (_start == _end)
        {
            _start = _end = _searched = 0;
        }

        if (_end == _buffer.Length)
        {
            MakeRoom();
        }

        return _buffer.AsMemory(_end);
    }

    /// <summary>Says that the first <paramref name="count"/> bytes of <see cref="GetMemory"/> were filled.</summary>
    public void Advance(int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, (_buffer?.Length ?? 0) - _end);
        _end += count;
    }

    /// <summary>Takes the next whole line, without its newline and an optional carriage return. The span is valid until the next call of any member.</summary>
    public bool TryReadLine(out ReadOnlySpan<byte> line)
    {
        line = default;
        if (_buffer is null || LineTooLong)
        {
            return false;
        }

        var index = _buffer.AsSpan(_searched, _end - _searched).IndexOf((byte)'\n');
        if (index < 0)
        {
            _searched = _end;
            LineTooLong = _end - _start > _maxLineLength;
            return false;
        }

        var lineEnd = _searched + index;
        if (lineEnd - _start > _maxLineLength)
        {
            LineTooLong = true;
            return false;
        }

        line = _buffer.AsSpan(_start, lineEnd - _start);
        if (line.Length > 0 && line[^1] == '\r')
        {
            line = line[..^1];
        }

        _start = _searched = lineEnd + 1;
        return true;
    }

    /// <summary>Moves up to <c>destination.Length</c> bytes of <see cref="Remaining"/> out of the buffer; returns how many.</summary>
    public int TakeRemaining(Span<byte> destination)
    {
        var count = Math.Min(destination.Length, _end - _start);
        Remaining.Span[..count].CopyTo(destination);
        _start += count;
        _searched = Math.Max(_searched, _start);
        return count;
    }

    /// <summary>Returns the buffer to the pool.</summary>
    public void Dispose()
    {
        if (_buffer is { } rented)
        {
            _buffer = null;
            _start = _end = _searched = 0;
            ArrayPool<byte>.Shared.Return(rented, clearArray: true);
        }
    }

    private void MakeRoom()
    {
        var length = _end - _start;
        if (_start > 0 && length <= _buffer!.Length / 2)
        {
            _buffer.AsSpan(_start, length).CopyTo(_buffer);
        }
        else
        {
            var larger = ArrayPool<byte>.Shared.Rent(_buffer!.Length * 2);
            _buffer.AsSpan(_start, length).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(_buffer, clearArray: true);
            _buffer = larger;
        }

        _searched -= _start;
        _start = 0;
        _end = length;
    }
}
