using Pilot.Engine.Streams;

namespace Pilot.Engine.Tests.Interop;

/// <summary>A connection of ours and the application that uses it.</summary>
internal sealed class OurStream(Connection connection)
{
    public Connection Connection { get; } = connection;

    /// <summary>Everything signalled so far.</summary>
    public ConnectionSignals Signals { get; set; }

    public bool IsOpen { get; set; }

    public bool HasFailed => (Signals & ConnectionSignals.Failed) != 0;

    /// <summary>What is written.</summary>
    public Flow? Source { get; set; }

    /// <summary>What must be read.</summary>
    public Flow? Sink { get; set; }

    /// <summary>Takes what is read, instead of the flow.</summary>
    public Action<byte[]>? OnBytes { get; set; }

    /// <summary>Writes back what it reads.</summary>
    public bool IsEcho { get; set; }

    /// <summary>End the own direction when everything is written.</summary>
    public bool ShutsDown { get; set; }

    /// <summary>End both directions when everything is written.</summary>
    public bool Closes { get; set; }

    /// <summary>Pause between two reads of at most 64 KiB; zero for none.</summary>
    public TimeSpan ReadPause { get; set; }

    public Instant ReadAt { get; set; } = Instant.Never;

    public long BytesRead { get; private set; }

    /// <summary>The peer ended, everything before was read.</summary>
    public bool IsEnded => Connection.IsReadEnded || (Signals & ConnectionSignals.ReadEnded) != 0;

    public void Run(Instant now)
    {
        IsOpen |= (Signals & ConnectionSignals.Opened) != 0;
        if (!IsOpen)
        {
            return;
        }

        Read(now);
        if (Source is { } source)
        {
            // Until a write is cut short: only then does the connection tell when it can go on.
            int taken = 1;
            while (!source.IsDone && taken > 0)
            {
                taken = Connection.Write(now, source.Peek(int.MaxValue));
                source.Skip(taken);
            }

            if (source.IsDone && Closes)
            {
                Connection.Close(now);
            }
            else if (source.IsDone && ShutsDown)
            {
                Connection.ShutdownWrite(now);
            }
        }
    }

    private void Read(Instant now)
    {
        int left = ReadPause > TimeSpan.Zero ? 64 * 1024 : int.MaxValue;
        while (ReadAt == Instant.Never && Connection.ReadableBytes > 0 && left > 0 && (!IsEcho || Connection.WriteCapacity > 0))
        {
            ReadOnlySpan<byte> run = Connection.PeekRead();
            run = run[..Math.Min(run.Length, IsEcho ? Math.Min(left, Connection.WriteCapacity) : left)];
            if (IsEcho)
            {
                Assert.Equal(run.Length, Connection.Write(now, run));
            }
            else
            {
                OnBytes?.Invoke(run.ToArray());
                Sink?.Verify(run);
            }

            BytesRead += run.Length;
            left -= run.Length;
            Connection.Consume(now, run.Length);
        }

        if (left <= 0)
        {
            ReadAt = now + ReadPause;
        }

        if (IsEcho && Connection.IsReadEnded)
        {
            Connection.Close(now);
        }
    }
}
