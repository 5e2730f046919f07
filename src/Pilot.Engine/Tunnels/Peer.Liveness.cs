using Pilot.Engine.Paths;
using Pilot.Protocol;

namespace Pilot.Engine.Tunnels;

/// <summary>
/// Notices that a path or the peer is gone, and keeps NAT bindings alive (spec 01 section 15.1 item 5, 04 sections 8.2 and 9).
/// Toward a node of ours a path in doubt is pinged beside all others, and the first that answers takes over. A reference
/// is led more carefully, because a single frame by relay binds it to the relay for life.
/// </summary>
internal sealed partial class Peer
{
    private Instant _silentSince;
    private Instant _silenceAt = Instant.Never;
    private Instant _hushAt = Instant.Never;
    private Instant _keepaliveAt = Instant.Never;
    private Instant _reviewAt = Instant.Never;
    private Instant _otherPathAt = Instant.Never;
    private SilenceStep _silenceStep;
    private int _awaiting;
    private int _hedgedFrames = TunnelConstants.MaxHedgedFrames;

    /// <summary>A packet that calls for an answer was sent: silence from now on is suspicious.</summary>
    public void OnSentExpectingAnswer(Instant now)
    {
        if (_awaiting++ == 0)
        {
            _silentSince = now;
            _silenceAt = now + SilenceLimit;
            _context.Rescheduled(this);
        }
    }

    private TimeSpan SilenceLimit
    {
        get
        {
            if (!IsOurs || Paths.Best?.Rtt is not { } rtt)
            {
                return TunnelConstants.SilenceLimit;
            }

            TimeSpan limit = rtt * 4;
            return limit < TunnelConstants.MinDoubtSilence ? TunnelConstants.MinDoubtSilence
                : limit > TunnelConstants.SilenceLimit ? TunnelConstants.SilenceLimit
                : limit;
        }
    }

    /// <summary>
    /// Stream data came. When the peer falls silent after that, it has either said everything, or its way to us is gone, for
    /// instance because our own NAT was restarted: then only a packet of ours can tell it, and the beacon, where we are now.
    /// A reference besides gives the stream up after eight transmissions (3 s on a fast path, spec 02 section 9.3), and only a
    /// frame of ours on another path leads it there. A receiver has nothing outstanding that would tell, so it asks.
    /// </summary>
    public void OnStreamData(Instant now)
    {
        if (_hushAt == Instant.Never)
        {
            _hushAt = now + TunnelConstants.HushLimit;
            _context.Rescheduled(this);
        }
    }

    /// <summary>A frame of this peer was opened: it lives, and it may have moved.</summary>
    public void OnAuthenticated(Instant now, PathKind kind, UdpEndpoint source, int length)
    {
        LastReceived = now;
        BytesReceived += (ulong)length;
        _awaiting = 0;
        _silenceAt = Instant.Never;
        _silenceStep = SilenceStep.PingPath;
        PeerPath path = Paths.Add(kind, source, now);
        path.OnReceived(now, length);
        if (path.State != PathState.Confirmed)
        {
            Probe(now, path);
        }

        // It sends from elsewhere: whether it has left the address that we use, only a ping there can tell.
        if (Paths.Best is { } best && best != path)
        {
            _otherPathAt = Instant.Min(_otherPathAt, Instant.Max(now, best.LastAlive + TunnelConstants.OtherPathDoubt));
            CheckOtherPath(now);
        }
    }

    private void CheckOtherPath(Instant now)
    {
        if (now < _otherPathAt)
        {
            return;
        }

        _otherPathAt = Instant.Never;
        if (Paths.Best is { } best && now - best.LastAlive >= TunnelConstants.OtherPathDoubt && LastReceived > best.LastAlive)
        {
            Doubt(now, best);
        }
    }

    /// <summary>
    /// Answers are missing on the path in use. It is pinged, and with a node of ours so are all others; if it does not answer
    /// soon, the first that did takes over (spec 04 section 8.2 item 3).
    /// </summary>
    private void Doubt(Instant now, PeerPath path)
    {
        if (path.DoubtedAt != Instant.Never)
        {
            return;
        }

        Probe(now, path);
        if (IsOurs)
        {
            path.DoubtedAt = now;
            _hedgedFrames = 0;
            _reviewAt = now + path.DoubtWait;
            ProbeAll(now);
            if (RelayPath(now) is { } relay)
            {
                _context.Beacons.Suspect(now, relay.Endpoint); // when our own way out has changed, it relays nothing for us until it knows
            }
        }
    }

    private void RunReview(Instant now)
    {
        if (now >= _reviewAt)
        {
            _reviewAt = Instant.Never;
            ChoosePath(now);
        }
    }

    /// <summary>The other way on which a frame is to go as well while the path in use is in doubt; null if it is not, or there is none.</summary>
    private PeerPath? HedgePath(Instant now, PeerPath path)
    {
        if (!IsOurs)
        {
            return null;
        }

        if (now - path.LastAlive > TunnelConstants.StaleAge && path.State == PathState.Confirmed)
        {
            Doubt(now, path);
        }

        if (path.DoubtedAt == Instant.Never || _hedgedFrames >= TunnelConstants.MaxHedgedFrames)
        {
            return null;
        }

        _hedgedFrames++;
        return path.Kind == PathKind.Relay ? Paths.LatestDirect : RelayPath(now);
    }

    private void ProbeAll(Instant now)
    {
        RelayPath(now);
        for (int i = 0; i < Paths.All.Count; i++)
        {
            Probe(now, Paths.All[i]);
        }
    }

    /// <summary>
    /// Silence where answers are due (spec 01 section 15.1 item 5). For one of ours the path is doubted early; if nothing else
    /// answers either, it gets a new key. A reference gets a ping on the path in use, an exchange there with the installed key
    /// (one that has restarted answers it, for another it changes nothing but its counter), only then the other paths, and a new key.
    /// </summary>
    private void CheckSilence(Instant now)
    {
        if (now < _silenceAt)
        {
            return;
        }

        if (_current is null || _awaiting == 0)
        {
            _awaiting = 0;
            _silenceAt = Instant.Never;
            return;
        }

        if (IsOurs && _silenceStep == SilenceStep.PingPath && now - _silenceAt > TunnelConstants.OwnStall)
        {
            // We slept, not the peer: what it sent in the meantime may wait in our socket.
            _silenceAt = now + SilenceLimit;
            return;
        }

        if (!IsOurs && _awaiting < 2)
        {
            _silenceAt = now + TunnelConstants.SilenceLimit;
            _awaiting = 2;
            return;
        }

        TimeSpan wait = (Paths.Best?.Rtt ?? TimeSpan.Zero) * 3;
        _silenceAt = now + (wait > TunnelConstants.MinPongWait ? wait : TunnelConstants.MinPongWait);
        SilenceStep step = IsOurs && _silenceStep < SilenceStep.PingAll ? SilenceStep.PingAll : _silenceStep;
        _silenceStep = step + 1;
        switch (step)
        {
            case SilenceStep.PingPath when SendPath(now) is { } path:
                Probe(now, path);
                break;
            case SilenceStep.SameKey when SendPath(now) is { Kind: PathKind.Relay } relay:
                OfferInstalledKey(now, relay);
                break;
            case SilenceStep.SameKey:
                for (int i = 0; i < Paths.All.Count; i++)
                {
                    if (Paths.All[i].Kind != PathKind.Relay)
                    {
                        OfferInstalledKey(now, Paths.All[i]);
                    }
                }

                break;
            case SilenceStep.PingAll when IsOurs && Paths.Best is { } best:
                Doubt(now, best);
                _silenceAt = Instant.Max(_silenceAt, _silentSince + TunnelConstants.SilenceLimit + (wait > TunnelConstants.MinPongWait ? wait : TunnelConstants.MinPongWait));
                break;
            case SilenceStep.PingAll:
                ProbeAll(now);
                break;
            case SilenceStep.NewKey:
                _silenceStep = SilenceStep.PingPath;
                _awaiting = 0;
                _silenceAt = Instant.Never;
                _context.AskResolve(now, NodeId);
                BeginExchange(now, withNewKey: true, relayAtOnce: true);
                break;
        }
    }

    private void OfferInstalledKey(Instant now, PeerPath path)
    {
        SendKeyExchange(now, path, _current!.OwnKey, ExchangeMark.Request, 0);
        Probe(now, path);
    }

    private enum SilenceStep
    {
        PingPath,
        SameKey,
        PingAll,
        NewKey,
    }

    private void CheckHush(Instant now)
    {
        if (now < _hushAt)
        {
            return;
        }

        Instant limit = LastReceived + TunnelConstants.HushLimit;
        _hushAt = now < limit ? limit : Instant.Never;
        if (_hushAt == Instant.Never && Paths.Best is { } path)
        {
            Probe(now, path);
            if (IsOurs)
            {
                OnSentExpectingAnswer(now); // no pong is an answer missing, and leads to the other paths
            }
        }
    }

    private void ScheduleKeepalive(Instant now)
    {
        _keepaliveAt = Paths.Best is null ? Instant.Never : now + _context.Random.Jitter(TunnelConstants.KeepaliveInterval);
        _context.Rescheduled(this);
    }

    private void RunKeepalive(Instant now)
    {
        if (now < _keepaliveAt)
        {
            return;
        }

        if (Paths.Best is not { } path || !IsInUse(now))
        {
            _keepaliveAt = Instant.Never;
            return;
        }

        if (now - path.LastSent >= TunnelConstants.KeepaliveInterval * 0.8)
        {
            Probe(now, path);
        }

        if (IsOurs && Connections.Count > 0)
        {
            foreach (PeerPath other in Paths.All)
            {
                if (other != path && other.State == PathState.Confirmed && now - other.LastPong > TunnelConstants.AlternativeInterval)
                {
                    Probe(now, other);
                }
            }
        }

        _keepaliveAt = now + _context.Random.Jitter(TunnelConstants.KeepaliveInterval);
    }
}
