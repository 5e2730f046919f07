using Pilot.Engine.Streams;

namespace Pilot.Engine.Tests.Streams;

/// <summary>An application that writes a known sequence of bytes into a connection and checks what it reads.</summary>
internal sealed class Transfer(Connection connection, int sendLength, int sendSeed, int expectLength, int expectSeed)
{
    private readonly byte[] _chunk = new byte[8192];
    private int _sent;
    private int _received;

    public bool ShutsDown { get; init; } = true;

    /// <summary>Bytes read at most per call; for slow readers.</summary>
    public int ReadLimit { get; init; } = int.MaxValue;

    public int Received => _received;

    public int Sent => _sent;

    public bool IsSent => _sent == sendLength;

    public bool IsReceived => _received == expectLength;

    /// <summary>The byte of a stream at a position: long period, cheap.</summary>
    public static byte ByteAt(int seed, int position) => (byte)(((uint)position * 2654435761u >> 13) + (uint)(position >> 8) + (uint)seed * 31);

    public void Act(Instant now)
    {
        Read(now);
        Write(now);
    }

    private void Read(Instant now)
    {
        int left = ReadLimit;
        while (connection.ReadableBytes > 0 && left > 0)
        {
            ReadOnlySpan<byte> run = connection.PeekRead();
            run = run[..Math.Min(run.Length, left)];
            for (int i = 0; i < run.Length; i++)
            {
                if (run[i] != ByteAt(expectSeed, _received + i))
                {
                    Assert.Fail($"wrong byte at {_received + i}");
                }
            }
            _received += run.Length;
            left -= run.Length;
            connection.Consume(now, run.Length);
            Assert.True(_received <= expectLength, "more bytes than were sent");
        }
    }

    private void Write(Instant now)
    {
        while (_sent < sendLength && connection.WriteCapacity > 0)
        {
            int count = Math.Min(_chunk.Length, sendLength - _sent);
            for (int i = 0; i < count; i++)
            {
                _chunk[i] = ByteAt(sendSeed, _sent + i);
            }
            _sent += connection.Write(now, _chunk.AsSpan(0, count));
        }
        if (_sent == sendLength && ShutsDown && !connection.IsWriteClosed)
        {
            connection.ShutdownWrite(now);
        }
    }
}
