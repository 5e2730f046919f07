using Pilot.Engine.Tests.Streams;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Interop;

/// <summary>A stream of the reference and the application that uses it: writes one piece after the other, reads one segment after the other.</summary>
internal sealed class ReferenceConnection(ReferencePeer peer, PilotAddress remote, ushort localPort, ushort remotePort)
{
    private const int Piece = 32 * 1024; // what an application writes at once

    private Instant _now;
    private Instant _readAt = Instant.Never;

    public ReferencePeer Peer { get; } = peer;

    public PilotAddress RemoteAddress { get; } = remote;

    public ushort LocalPort { get; } = localPort;

    public ushort RemotePort { get; } = remotePort;

    /// <summary>What is written.</summary>
    public Flow? Source { get; set; }

    /// <summary>What must be read.</summary>
    public Flow? Sink { get; set; }

    /// <summary>Writes back each segment before it reads the next (port 7).</summary>
    public bool IsEcho { get; set; }

    /// <summary>Pause between two reads of the application; zero for none.</summary>
    public TimeSpan ReadPause { get; set; }

    /// <summary>When to close; Never for not yet.</summary>
    public Instant CloseAt { get; set; } = Instant.Never;

    /// <summary>Takes each segment read, instead of the flows.</summary>
    public Action<byte[]>? OnSegment { get; set; }

    /// <summary>Called once when the connection is open.</summary>
    public Action<Instant>? OnOpen { get; set; }

    /// <summary>Called once when a dial has failed.</summary>
    public Action? OnFailed { get; set; }

    /// <summary>The connection was open at some time.</summary>
    public bool WasOpen { get; private set; }

    public List<byte[]> Segments { get; } = [];

    /// <summary>End of stream or failure was shown to the application.</summary>
    public bool IsEnded => Peer.ReadEnded && Peer.QueuedSegments == 0;

    public Instant Deadline => Instant.Min(Peer.Deadline, Instant.Min(_readAt, CloseAt));

    public void HandleDeadline(Instant now)
    {
        if (_readAt <= now)
        {
            _readAt = Instant.Never;
        }

        if (Peer.Deadline <= now)
        {
            Peer.HandleDeadline(now);
        }

        if (CloseAt <= now)
        {
            CloseAt = Instant.Never;
            Peer.Close(now);
        }
    }

    /// <summary>The application does what it can.</summary>
    public void Run(Instant now)
    {
        _now = now;
        if (Peer.IsEstablished && !WasOpen)
        {
            WasOpen = true;
            OnOpen?.Invoke(now);
        }

        bool moved = true;
        while (moved)
        {
            moved = Write(now);
            if (_readAt == Instant.Never && !(IsEcho && Peer.IsWriterBlocked) && Peer.ReadSegment(now))
            {
                moved = true;
                if (ReadPause > TimeSpan.Zero)
                {
                    _readAt = now + ReadPause;
                }
            }
        }
    }

    /// <summary>Takes a segment that <see cref="ReferencePeer.ReadSegment"/> read.</summary>
    public void Take(byte[] segment)
    {
        if (OnSegment is { } custom)
        {
            custom(segment);
        }
        else if (IsEcho)
        {
            Peer.Write(_now, segment);
        }
        else if (Sink is { } sink)
        {
            sink.Verify(segment);
        }
        else
        {
            Segments.Add(segment);
        }
    }

    private bool Write(Instant now)
    {
        if (Source is not { IsDone: false } source || !Peer.IsEstablished || Peer.IsWriterBlocked)
        {
            return false;
        }

        Peer.Write(now, source.Next(Piece));
        return true;
    }
}
