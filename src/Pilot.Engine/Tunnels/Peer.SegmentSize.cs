using Pilot.Engine.Paths;

namespace Pilot.Engine.Tunnels;

/// <summary>Larger segments where the path proves them (spec 01 section 10.3, 02 section 17.2).</summary>
internal sealed partial class Peer
{
    /// <summary>A reference's own segment; its socket holds few of larger ones (spec 02 section 17.2).</summary>
    private const int ReferenceLimit = 4096;

    /// <summary>A stream uses the peer: the best path is worth probing.</summary>
    public void StartSegmentSizeSearch(Instant now)
    {
        if (Paths.Best is { SegmentSize.IsStarted: false } path)
        {
            path.SegmentSize.Start(now);
            _context.Rescheduled(this);
        }
    }

    /// <summary>Large segments of a connection seem not to arrive: does the path still carry them?</summary>
    public void VerifySegmentSize(Instant now)
    {
        if (Paths.Best is { } path && path.SegmentSize.Verify(now))
        {
            _context.Rescheduled(this);
        }
    }

    private void RunSegmentSizeSearch(Instant now)
    {
        for (int i = 0; i < Paths.All.Count; i++)
        {
            PeerPath path = Paths.All[i];
            if (now < path.SegmentSize.Deadline || _current is null)
            {
                continue;
            }

            int limit = IsOurs ? int.MaxValue : ReferenceLimit;
            int size = path.SegmentSize.TakeProbe(now, limit, path.Rtt ?? TimeSpan.Zero, out bool changed);
            if (size > 0)
            {
                SendPing(now, path, _current, size);
            }

            if (changed)
            {
                ApplySegmentSize(path);
            }
        }
    }

    private void OnSizeAnswered(Instant now, PeerPath path, int size)
    {
        if (path.SegmentSize.OnAnswered(now, size))
        {
            ApplySegmentSize(path);
        }

        RunSegmentSizeSearch(now);
    }

    private void ApplySegmentSize(PeerPath path)
    {
        if (path != Paths.Best)
        {
            return;
        }

        foreach (ConnectionEntry entry in Connections)
        {
            entry.Connection.MaxSegmentPayload = path.MaxPayload;
        }
    }
}
