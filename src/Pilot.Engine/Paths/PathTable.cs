using Pilot.Protocol;

namespace Pilot.Engine.Paths;

/// <summary>
/// The paths to one peer and the choice among them (spec 04 section 8.2 item 4): LAN, then direct, then relay;
/// inside a class the lower round trip, with hysteresis. One that loses many pings counts as a class or two worse, one that
/// is doubted gives way to any that answered since, and one that failed in use has to wait before it may replace a path
/// that works. Nothing here changes on bytes that were not authenticated: callers add candidates, and only a pong confirms.
/// </summary>
internal sealed class PathTable
{
    private readonly List<PeerPath> _paths = [];
    private PeerPath? _best;

    public List<PeerPath> All => _paths;

    /// <summary>The path on which the first valid key exchange came: used until one is confirmed (spec 01 section 15.2 item 4).</summary>
    public PeerPath? FirstContact { get; set; }

    /// <summary>The best confirmed path.</summary>
    public PeerPath? Best => _best;

    public bool HasDirect
    {
        get
        {
            foreach (PeerPath path in _paths)
            {
                if (path.Kind != PathKind.Relay && path.State != PathState.Failed)
                {
                    return true;
                }
            }

            return false;
        }
    }

    /// <summary>The peer was reached by relay at some time.</summary>
    public bool IsRelayUsed
    {
        get
        {
            foreach (PeerPath path in _paths)
            {
                if (path.Kind == PathKind.Relay && (path.LastPong != Instant.Origin || path.LastReceived != Instant.Origin))
                {
                    return true;
                }
            }

            return false;
        }
    }

    /// <summary>The direct path that answered last, whatever became of it.</summary>
    public PeerPath? LatestDirect
    {
        get
        {
            PeerPath? latest = null;
            foreach (PeerPath path in _paths)
            {
                if (path.Kind != PathKind.Relay && (latest is null || path.LastPong > latest.LastPong))
                {
                    latest = path;
                }
            }

            return latest;
        }
    }

    public PeerPath? Find(PathKind kind, UdpEndpoint endpoint)
    {
        if (_best is { } best && best.Endpoint == endpoint && (best.Kind == PathKind.Relay) == (kind == PathKind.Relay))
        {
            return best;
        }

        foreach (PeerPath path in _paths)
        {
            if (path.Endpoint == endpoint && (path.Kind == PathKind.Relay) == (kind == PathKind.Relay))
            {
                return path;
            }
        }

        return null;
    }

    /// <summary>The path, added as a candidate if it is new; the oldest unconfirmed one makes room.</summary>
    public PeerPath Add(PathKind kind, UdpEndpoint endpoint, Instant now)
    {
        if (Find(kind, endpoint) is { } known)
        {
            return known;
        }

        int unconfirmed = 0;
        PeerPath? oldest = null;
        foreach (PeerPath path in _paths)
        {
            if (path.State != PathState.Confirmed && path.Kind != PathKind.Relay && !path.IsRegistered)
            {
                unconfirmed++;
                if (oldest is null || path.AddedAt < oldest.AddedAt || (path.State == PathState.Failed && oldest.State != PathState.Failed))
                {
                    oldest = path;
                }
            }
        }

        if (kind != PathKind.Relay && unconfirmed >= TunnelConstants.MaxCandidates && oldest is not null)
        {
            Remove(oldest);
        }

        if (_paths.Count >= TunnelConstants.MaxPaths)
        {
            PeerPath? victim = null;
            foreach (PeerPath path in _paths)
            {
                if (path != _best && (victim is null || path.LastPong < victim.LastPong))
                {
                    victim = path;
                }
            }

            Remove(victim ?? _paths[0]);
        }

        var added = new PeerPath(kind, endpoint, now);
        _paths.Add(added);
        return added;
    }

    /// <summary>The path, added as one that the registry or the peer itself named; null when it named too many.</summary>
    public PeerPath? AddTold(PathKind kind, UdpEndpoint endpoint, Instant now)
    {
        if (Find(kind, endpoint) is { } known)
        {
            known.Promote(kind);
            return known;
        }

        int told = 0;
        PeerPath? oldest = null;
        foreach (PeerPath path in _paths)
        {
            if (path.IsRegistered)
            {
                told++;
                if (path.State != PathState.Confirmed && (oldest is null || path.AddedAt < oldest.AddedAt))
                {
                    oldest = path;
                }
            }
        }

        if (told >= TunnelConstants.MaxToldCandidates)
        {
            if (oldest is null)
            {
                return null;
            }

            Remove(oldest);
        }

        PeerPath added = Add(kind, endpoint, now);
        added.IsRegistered = true;
        return added;
    }

    public void Clear()
    {
        _paths.Clear();
        _best = null;
        FirstContact = null;
    }

    /// <summary>Chooses again; true if the best path changed.</summary>
    public bool Choose(Instant now)
    {
        PeerPath? best = _best is { State: PathState.Confirmed } ? _best : null;
        foreach (PeerPath path in _paths)
        {
            if (path.State == PathState.Confirmed && path != best && (best is null || IsBetter(now, path, best)))
            {
                best = path;
            }
        }

        bool changed = best != _best;
        _best = best;
        return changed;
    }

    private static bool IsBetter(Instant now, PeerPath path, PeerPath current)
    {
        if (current.IsDoubtful(now))
        {
            return path.LastPong > current.DoubtedAt;
        }

        if (path.DoubtedAt != Instant.Never || now < path.HeldUntil)
        {
            return false;
        }

        int rank = Rank(path);
        int currentRank = Rank(current);
        if (rank != currentRank)
        {
            return rank < currentRank;
        }

        TimeSpan rtt = path.Rtt ?? TimeSpan.MaxValue;
        TimeSpan currentRtt = current.Rtt ?? TimeSpan.MaxValue;
        return rtt < currentRtt * 0.8 && currentRtt - rtt > TimeSpan.FromMilliseconds(5);
    }

    private static int Rank(PeerPath path) => (int)path.Kind + (path.IsLossy ? 2 : 0);

    private void Remove(PeerPath path)
    {
        _paths.Remove(path);
        if (_best == path)
        {
            _best = null;
        }

        if (FirstContact == path)
        {
            FirstContact = null;
        }
    }
}
