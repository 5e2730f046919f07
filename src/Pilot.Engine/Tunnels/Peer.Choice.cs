using Pilot.Engine.Nat;
using Pilot.Engine.Paths;
using Pilot.Protocol;

namespace Pilot.Engine.Tunnels;

/// <summary>Which path frames take, and the way back from the relay to a direct one (spec 04 section 8.2).</summary>
internal sealed partial class Peer
{
    private Instant _directRoundAt = Instant.Never;
    private Instant _relayedSince;
    private Instant _relayHeldUntil;

    /// <summary>The path on which to send now: the best confirmed one, else the one of first contact, else any hope.</summary>
    public PeerPath? SendPath(Instant now)
    {
        if (Paths.Best is { } best)
        {
            return best;
        }

        if (Paths.FirstContact is { State: not PathState.Failed } first)
        {
            return first;
        }

        if (now < _relayHeldUntil && Paths.LatestDirect is { } held)
        {
            return held;
        }

        PeerPath? relay = RelayPath(now);
        if (relay is { State: not PathState.Failed })
        {
            return relay;
        }

        foreach (PeerPath path in Paths.All)
        {
            if (path.State != PathState.Failed)
            {
                return path;
            }
        }

        return relay ?? (Paths.All.Count > 0 ? Paths.All[0] : null);
    }

    /// <summary>The way through the current beacon, if there is one.</summary>
    public PeerPath? RelayPath(Instant now) =>
        _context.Beacons.Current is { } beacon ? Paths.Add(PathKind.Relay, beacon, now) : null;

    /// <summary>Every path, the one in use first.</summary>
    public IReadOnlyList<PathDetail> PathDetails(Instant now)
    {
        PeerPath? used = SendPath(now);
        var list = new List<PathDetail>(Paths.All.Count);
        foreach (PeerPath path in Paths.All)
        {
            list.Insert(path == used ? 0 : list.Count, path.Detail(now, path == used));
        }

        return list;
    }

    /// <summary>Another beacon relays for us from now on: peers that are reached by relay, or not at all, get a path through it.</summary>
    public void OnBeaconChanged(Instant now)
    {
        if (_current is not null && IsInUse(now) && Paths.Best is null or { Kind: PathKind.Relay } && (IsOurs || Paths.IsRelayUsed) && RelayPath(now) is { } relay)
        {
            Probe(now, relay);
        }
    }

    /// <summary>Asks the beacon to make both sides punch.</summary>
    public void RequestPunch(Instant now)
    {
        if (_context.Beacons.RequestPunch(now, _context.NodeId, NodeId, _context.Output) is { } beacon)
        {
            _context.Events.Add(new NodeEvent { Kind = NodeEventKind.PunchRequested, NodeId = NodeId, Endpoint = beacon });
        }
    }

    /// <summary>A path needed a punch if nobody could have opened it alone: both sides filter. What a reference has in front of it is unknown; then it did if only the punch told the endpoint.</summary>
    private bool NeededPunch(PeerPath path)
    {
        if (path.Kind != PathKind.Direct || _context.Beacons.Current is null)
        {
            return false; // without a beacon nobody is made to punch
        }

        NatType own = _context.Beacons.Nat.Type;
        bool isOpen = own is NatType.Open or NatType.FullCone || PeerNat is NatType.Open or NatType.FullCone;
        bool isKnown = own != NatType.Unknown && PeerNat != NatType.Unknown;
        return !isOpen && (isKnown || !path.IsRegistered);
    }

    private void ChoosePath(Instant now)
    {
        if (!Paths.Choose(now))
        {
            return;
        }

        if (Paths.Best is { } best)
        {
            _context.Events.Add(new NodeEvent { Kind = NodeEventKind.PathChanged, NodeId = NodeId, Path = best.Status });
            foreach (ConnectionEntry entry in Connections)
            {
                entry.OnPathChanged(now, best);
            }

            _context.PeerReady(now, this); // what was lost on the old path leaves at once

            if (Connections.Count > 0)
            {
                StartSegmentSizeSearch(now);
            }

            if (best.Kind == PathKind.Relay)
            {
                _relayedSince = now;
                _directRoundAt = IsOurs ? now : now + _context.Random.Jitter(TunnelConstants.DirectRoundEarly);
            }
            else
            {
                _directRoundAt = Instant.Never;
            }
        }
        else if (IsInUse(now))
        {
            // Every confirmed path died: look for any, and ask the registry where the peer is now.
            _context.AskResolve(now, NodeId);
            if (IsOurs || Paths.IsRelayUsed)
            {
                ProbeAll(now);
            }
            else
            {
                _awaiting = Math.Max(_awaiting, 2);
                _silenceStep = SilenceStep.SameKey;
                _silenceAt = now;
                _relayHeldUntil = now + TunnelConstants.MinPongWait;
            }
        }

        ScheduleKeepalive(now);
    }

    /// <summary>While relayed: punches and pings on the direct candidates (spec 04 section 8.2 item 2).</summary>
    private void RunDirectRound(Instant now)
    {
        if (now < _directRoundAt)
        {
            return;
        }

        if (Paths.Best is not { Kind: PathKind.Relay } || !IsInUse(now))
        {
            _directRoundAt = Instant.Never;
            return;
        }

        if (now - ResolvedAt > TunnelConstants.EndpointLifetime)
        {
            _context.AskResolve(now, NodeId);
        }

        RequestPunch(now);
        SendEndpoints(now, wantsAnswer: true);
        for (int i = 0; i < Paths.All.Count; i++)
        {
            if (Paths.All[i].Kind != PathKind.Relay)
            {
                Probe(now, Paths.All[i]);
            }
        }

        _directRoundAt = now + _context.Random.Jitter(now - _relayedSince < TunnelConstants.DirectRoundEarlyPeriod ? TunnelConstants.DirectRoundEarly : TunnelConstants.DirectRoundLate);
    }
}
