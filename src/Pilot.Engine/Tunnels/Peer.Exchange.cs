using Pilot.Engine.Paths;
using Pilot.Protocol;

namespace Pilot.Engine.Tunnels;

/// <summary>
/// The exchange timer (spec 01 section 15.1): the only place that starts key exchange. A round repeats the same PILA
/// on every direct candidate, and by relay a little later; an unanswered round is followed by one with a new key.
/// </summary>
internal sealed partial class Peer
{
    private Instant _exchangeAt = Instant.Never;
    private Instant _exchangeStart;
    private Instant _roundStart;
    private int _round;
    private int _step;
    private bool _roundAnswered;
    private bool _isForced;
    private bool _relayAtOnce;
    private int _authenticationFailures;

    /// <summary>Endpoints were asked from the registry at this time; <see cref="Instant.Origin"/> if never.</summary>
    public Instant ResolvedAt { get; set; } = Instant.Origin;

    public bool IsExchanging => _exchangeAt != Instant.Never;

    /// <summary>Something wants to reach the peer: asks for endpoints if they are unknown or old, and starts a round if there is no key.</summary>
    public void EnsureContact(Instant now)
    {
        LastUsed = now;
        if (ResolvedAt == Instant.Origin || now - ResolvedAt > TunnelConstants.EndpointLifetime)
        {
            _context.AskResolve(now, NodeId);
        }

        if (_current is null)
        {
            BeginExchange(now, withNewKey: false);
        }
        else if (SendPath(now) is { State: not PathState.Confirmed } doubtful)
        {
            Probe(now, doubtful);
        }
    }

    /// <summary>Starts a round now, unless one runs.</summary>
    /// <param name="now">The time.</param>
    /// <param name="withNewKey">Offer a new own key.</param>
    /// <param name="relayAtOnce">The peer talks by relay already, or direct ways were tried in vain: the relay need not wait.</param>
    public void BeginExchange(Instant now, bool withNewKey, bool relayAtOnce = false)
    {
        if (IsExchanging && !(withNewKey && _roundAnswered))
        {
            return;
        }

        _isForced = withNewKey;
        _relayAtOnce = relayAtOnce;
        _exchangeStart = now;
        _round = 0;
        BeginRound(now, withNewKey);
    }

    /// <summary>
    /// The registry does not tell us where the peer is: what we began ends here. Going on by relay would only tell a private
    /// node of ours who asks, and bind a reference to the relay before it ever trusts us. An exchange that the peer's own
    /// frames caused goes on.
    /// </summary>
    public void CancelFirstContact()
    {
        if (_current is null && !_isForced)
        {
            _exchangeAt = Instant.Never;
            ClearPending();
            _context.Rescheduled(this);
        }
    }

    /// <summary>New candidates came while a round runs: they get the PILA at once.</summary>
    public void OnCandidates(Instant now)
    {
        ChoosePath(now); // one that is known may have been told as of a better kind
        if (IsExchanging && !_roundAnswered)
        {
            _roundStart = now;
            _step = 0;
            _exchangeAt = now;
            _context.Rescheduled(this);
        }
    }

    /// <summary>A PILS came under this id that no key opens (spec 01 section 15.1 item 4).</summary>
    public void OnUndecryptable(Instant now, PathKind kind)
    {
        // While the peer is heard, frames that fail are somebody else's.
        bool isAlive = now - LastReceived < TunnelConstants.SilenceLimit && LastReceived != Instant.Origin;
        if (isAlive || ++_authenticationFailures < (_current is null ? 1 : 3) || !_repairs.TryTake(now))
        {
            return;
        }

        _authenticationFailures = 0;
        if (kind == PathKind.Relay)
        {
            RelayPath(now);
        }

        if (ResolvedAt == Instant.Origin || now - ResolvedAt > TunnelConstants.EndpointLifetime)
        {
            _context.AskResolve(now, NodeId);
        }

        BeginExchange(now, withNewKey: true, relayAtOnce: kind == PathKind.Relay);
    }

    /// <summary>
    /// Our own address changed: a node of ours follows our frames, so a ping is enough; a reference moves its endpoint only
    /// on a direct PILA, which offers the installed key (spec 04 section 8.2 item 5).
    /// </summary>
    public void OnOwnAddressChanged(Instant now)
    {
        if (_current is null || !IsInUse(now))
        {
            return;
        }

        if (IsOurs)
        {
            // By relay, because its NAT may not let our new address in.
            SendEndpoints(now, wantsAnswer: true, RelayPath(now));
            ProbeAll(now);
            return;
        }

        for (int i = 0; i < Paths.All.Count; i++)
        {
            if (Paths.All[i].Kind != PathKind.Relay)
            {
                OfferInstalledKey(now, Paths.All[i]);
            }
        }
    }

    /// <summary>A punch arrived from where the peer is expected: its NAT is open now (spec 04 section 6).</summary>
    public void OnPunch(Instant now, UdpEndpoint source)
    {
        PeerPath path = Paths.Add(PathKind.Direct, source, now);
        if (_current is null)
        {
            if (IsExchanging)
            {
                SendKeyExchange(now, path, OfferedKey(now), ExchangeMark.Request, 0);
            }
        }
        else
        {
            Probe(now, path);
        }
    }

    public void SendKeyExchange(Instant now, PeerPath path, OwnKey key, ExchangeMark mark, ulong answeredPrefix)
    {
        Span<byte> frame = stackalloc byte[TunnelFrame.MarkedKeyExchangeSize];
        int length = AuthenticatedKeyExchange.Write(frame, _context.NodeId, key.PublicKey, _context.Identity, mark, answeredPrefix);
        SentExchangeAt = now;
        _context.SendFrame(now, NodeId, path, frame[..length]);
    }

    /// <summary>When we last sent this peer a PILA: it may answer for a while although it is not admitted otherwise (spec 05 section 12, G0).</summary>
    public Instant SentExchangeAt { get; private set; } = Instant.Origin;

    private void BeginRound(Instant now, bool withNewKey)
    {
        if (withNewKey && now - _newestKeyAt >= TunnelConstants.NewKeyInterval)
        {
            NewOwnKey(now);
        }

        _roundStart = now;
        _step = 0;
        _roundAnswered = false;
        _exchangeAt = now;
        _context.Rescheduled(this);
    }

    /// <summary>A valid PILA came: the round is over; when the key is confirmed the exchange is.</summary>
    private void StopExchange(Session session)
    {
        _roundAnswered = true;
        if (session.IsConfirmed)
        {
            _exchangeAt = Instant.Never;
            _isForced = false;
            _authenticationFailures = 0;
        }
        else if (IsExchanging)
        {
            _exchangeAt = NextRoundStart();
        }

        _context.Rescheduled(this);
    }

    private Instant NextRoundStart() => _round + 1 < TunnelConstants.RoundStarts.Length
        ? _exchangeStart + TunnelConstants.RoundStarts[_round + 1]
        : _roundStart + TunnelConstants.RoundInterval;

    private void RunExchange(Instant now)
    {
        if (now < _exchangeAt)
        {
            return;
        }

        if (_roundAnswered || _step >= TunnelConstants.RoundSteps.Length)
        {
            _round++;
            bool mayGiveUp = _round >= TunnelConstants.RoundStarts.Length;
            if (mayGiveUp && !IsWanted || IsConfirmed && !_isForced)
            {
                _exchangeAt = Instant.Never;
                _isForced = false;
                return;
            }

            if (now - ResolvedAt > TunnelConstants.NegativeLifetime && _round > 1)
            {
                _context.AskResolve(now, NodeId);
            }

            BeginRound(now, withNewKey: true);
            RequestPunch(now);
        }

        SendRound(now);
        _step++;
        _exchangeAt = _step < TunnelConstants.RoundSteps.Length
            ? _roundStart + _context.Random.Jitter(TunnelConstants.RoundSteps[_step])
            : Instant.Max(NextRoundStart(), now + TunnelConstants.NewKeyInterval);
    }

    private bool IsWanted => Connections.Count > 0 || _pending.Count > 0 || _waiters.Count > 0;

    private void SendRound(Instant now)
    {
        OwnKey key = OfferedKey(now);
        bool isDirectKnown = false;
        foreach (PeerPath path in Paths.All)
        {
            if (path.Kind != PathKind.Relay)
            {
                isDirectKnown = true;
                SendKeyExchange(now, path, key, ExchangeMark.Request, 0);
            }
        }

        TimeSpan relayDelay = (_context.Beacons.Rtt ?? TimeSpan.Zero) * 2;
        relayDelay = relayDelay > TunnelConstants.RelayDelay ? relayDelay : TunnelConstants.RelayDelay;

        // A reference that once got a frame by relay answers by relay for ever: as long as the registry may still name
        // a direct way, that has its chance first (04 section 8.2 item 5).
        bool hasNoDirect = !isDirectKnown && ResolvedAt != Instant.Origin;
        bool isRelayDue = IsOurs || hasNoDirect || _relayAtOnce || now - _exchangeStart >= relayDelay;
        if (isRelayDue && _context.Beacons.Current is not null && RelayPath(now) is { } relay)
        {
            SendKeyExchange(now, relay, key, ExchangeMark.Request, 0);
        }
    }
}
