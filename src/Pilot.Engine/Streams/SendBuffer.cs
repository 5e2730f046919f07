namespace Pilot.Engine.Streams;

/// <summary>
/// What the application wrote and the peer has not acknowledged, addressed by stream offset (first byte of the stream = 0).
/// Segments and their repetitions are read from here; nothing is copied per segment.
/// </summary>
internal sealed class SendBuffer
{
    private ChunkRing _bytes;

    public SendBuffer(ChunkPool pool, int limit)
    {
        _bytes = new ChunkRing(pool);
        Limit = limit;
    }

    /// <summary>Offset of the first byte still kept.</summary>
    public long Start { get; private set; }

    /// <summary>Offset behind the last byte written.</summary>
    public long End { get; private set; }

    /// <summary>Bytes kept at most; more may be kept after it was lowered, but no more is taken.</summary>
    public int Limit { get; set; }

    /// <summary>Bytes that a write takes now.</summary>
    public int Free => (int)Math.Max(0, Math.Min(Limit - Buffered, _bytes.RoomAt(End)));

    /// <summary>Bytes kept.</summary>
    public int Buffered => (int)(End - Start);

    /// <summary>Takes what fits; returns the number of bytes taken.</summary>
    public int Write(ReadOnlySpan<byte> data)
    {
        int count = Math.Min(data.Length, Free);
        if (count > 0)
        {
            count = _bytes.Write(End, data[..count]);
            End += count;
        }
        return count;
    }

    /// <summary>Room for at most <paramref name="length"/> further bytes; returns how many pieces. <see cref="Commit"/> must follow.</summary>
    public int Reserve(int length, Span<BufferPiece> pieces) => _bytes.Reserve(End, Math.Min(length, Free), pieces);

    /// <summary>So many bytes were put into the reserved pieces.</summary>
    public void Commit(int count)
    {
        End += count;
        if (Start == End)
        {
            _bytes.Empty();
        }
        else
        {
            _bytes.ReleaseFrom(End);
        }
    }

    /// <summary>Copies the bytes from <paramref name="offset"/> on.</summary>
    public void CopyTo(long offset, Span<byte> destination) => _bytes.CopyTo(offset, destination);

    /// <summary>Forgets everything below <paramref name="offset"/>.</summary>
    public void Release(long offset)
    {
        Start = offset;
        if (Start == End)
        {
            _bytes.Empty();
        }
        else
        {
            _bytes.ReleaseBefore(offset);
        }
    }

    /// <summary>Gives all memory back; nothing can be sent any more.</summary>
    public void Clear()
    {
        _bytes.Empty();
        Start = End;
    }
}
