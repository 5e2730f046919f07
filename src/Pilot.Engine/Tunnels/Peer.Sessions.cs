using Pilot.Engine.Paths;
using Pilot.Protocol;

namespace Pilot.Engine.Tunnels;

/// <summary>
/// Keys. A key exchange creates candidates; the session in use changes only when the peer proved the new key
/// (spec 01 section 15.2), except at first contact, when nothing is there to lose.
/// </summary>
internal sealed partial class Peer
{
    private readonly List<OwnKey> _ownKeys = [];
    private readonly List<Session> _sessions = [];
    private Session? _current;
    private Instant _sessionsExpireAt = Instant.Never;
    private Instant _rekeyAt = Instant.Never;
    private Instant _newestKeyAt = Instant.Origin;

    /// <summary>Own keys older than this are replaced when the peer comes with a new one.</summary>
    private static readonly TimeSpan FreshKeyAge = TimeSpan.FromMinutes(1);

    /// <summary>The Ed25519 key that the peer proved to hold; empty before the first exchange.</summary>
    public byte[] IdentityKey { get; private set; } = [];

    /// <summary>The peer's X25519 key under which its last frame was opened; null before the first.</summary>
    public byte[]? OpenedUnder { get; private set; }

    /// <summary>The session that frames are sealed under.</summary>
    public Session? Current => _current;

    public bool IsReady => _current is not null;

    public bool IsConfirmed => _current is { IsConfirmed: true };

    /// <summary>Sessions alive, candidates and replaced ones included: for invariants.</summary>
    public int SessionCount => _sessions.Count;

    /// <summary>Our key of the running round; made when there is none.</summary>
    private OwnKey OfferedKey(Instant now)
    {
        if (_ownKeys.Count == 0 || _ownKeys[^1].IsWornOut)
        {
            return NewOwnKey(now);
        }

        return _ownKeys[^1];
    }

    private OwnKey NewOwnKey(Instant now)
    {
        foreach (OwnKey old in _ownKeys)
        {
            if (old.ExpiresAt == Instant.Never && !ReferenceEquals(old, _current?.OwnKey))
            {
                old.ExpiresAt = now + TunnelConstants.OldKeyLifetime;
            }
        }

        var key = new OwnKey(_context.Random, now);
        _ownKeys.Add(key);
        _newestKeyAt = now;
        for (int i = 0; _ownKeys.Count > TunnelConstants.MaxOwnKeys && i < _ownKeys.Count - 1;)
        {
            if (ReferenceEquals(_ownKeys[i], _current?.OwnKey))
            {
                i++;
            }
            else
            {
                RemoveOwnKey(_ownKeys[i]);
            }
        }

        UpdateSessionDeadline();
        return key;
    }

    /// <summary>A valid PILA of this peer (signature and registry key were checked).</summary>
    public void OnKeyExchange(Instant now, in AuthenticatedKeyExchange exchange, PathKind kind, UdpEndpoint source)
    {
        IdentityKey = exchange.Ed25519PublicKey.ToArray();
        IsOurs |= exchange.Mark != ExchangeMark.None;

        OwnKey? answered = exchange.Mark == ExchangeMark.Answer ? FindOwnKey(exchange.AnsweredKeyPrefix) : null;
        bool wasKnown = Knows(exchange.X25519PublicKey);
        OwnKey offered = OfferedKey(now);
        bool refresh = !wasKnown && answered is null && IsConfirmed && now - offered.CreatedAt > FreshKeyAge;
        if ((refresh || offered.IsRetired(exchange.X25519PublicKey)) && answered is null)
        {
            // A new key of the peer deserves a new one of ours (forward secrecy); one that belonged to an ended
            // session may be a replay, and needs one, because its receive window is gone.
            if (now - _newestKeyAt >= TunnelConstants.NewKeyInterval)
            {
                NewOwnKey(now);
            }
            else if (offered.IsRetired(exchange.X25519PublicKey))
            {
                return;
            }
        }

        Session? session = Install(now, exchange.X25519PublicKey, answered ?? OfferedKey(now));
        if (session is null)
        {
            return;
        }

        if (exchange.Mark != ExchangeMark.Answer || answered is null)
        {
            // An unmarked frame does not say which of our keys the peer used: keep earlier offers open as well.
            foreach (OwnKey earlier in _ownKeys.ToArray())
            {
                if (earlier != session.OwnKey && !earlier.IsRetired(exchange.X25519PublicKey))
                {
                    Install(now, exchange.X25519PublicKey, earlier);
                }
            }
        }

        PeerPath path = Paths.Add(kind, source, now);
        if (path.State == PathState.Failed)
        {
            path.State = PathState.Candidate;
        }

        if (_current is null)
        {
            _current = session;
            _datagramsHeldUntil = now + TunnelConstants.DatagramHold;
            Paths.FirstContact = path;
            _rekeyAt = now + _context.Random.Jitter(TunnelConstants.RekeyInterval);
            Answer(now, exchange, wasKnown, answered, path);
            StopExchange(session);
            BecomeReady(now);
        }
        else
        {
            Answer(now, exchange, wasKnown, answered, path);
            StopExchange(session);
        }

        ProbeUnder(now, path, session);
        UpdateSessionDeadline();
    }

    /// <summary>
    /// Opens a PILS frame of this peer under whichever key fits: the one whose peer used this nonce prefix before,
    /// else each in turn. Read-only until a tag has verified; a failed attempt leaves the frame as it was.
    /// </summary>
    public bool TryOpen(Instant now, Span<byte> frame, in EncryptedFrame header, out Span<byte> packet, out bool isReplay)
    {
        isReplay = false;
        packet = default;
        uint prefix = header.NoncePrefix;
        ulong counter = header.Counter;
        Session? fitting = null;
        foreach (Session session in _sessions)
        {
            if (session.HasPrefix(prefix))
            {
                fitting = session;
                break;
            }
        }

        if (fitting is not null)
        {
            if (!fitting.IsNew(prefix, counter))
            {
                isReplay = true;
                return false;
            }

            if (fitting.TryOpen(frame, out packet))
            {
                OnOpened(now, fitting, prefix, counter);
                return true;
            }
        }

        foreach (Session session in _sessions)
        {
            if (session != fitting && session.IsNew(prefix, counter) && session.TryOpen(frame, out packet))
            {
                OnOpened(now, session, prefix, counter);
                return true;
            }
        }

        return false;
    }

    private void OnOpened(Instant now, Session session, uint prefix, ulong counter)
    {
        session.Record(prefix, counter, _context.Random);
        OpenedUnder = session.PeerKey;
        if (!session.IsConfirmed)
        {
            Confirm(now, session);
        }
        else if (session.IsWornOut && session == _current)
        {
            _rekeyAt = Instant.Min(_rekeyAt, now);
            _context.Rescheduled(this);
        }
    }

    /// <summary>The peer proved this key: send under it from now on.</summary>
    private void Confirm(Instant now, Session session)
    {
        session.IsConfirmed = true;
        session.ExpiresAt = Instant.Never;
        if (_current != session)
        {
            if (_current is { } replaced)
            {
                replaced.ExpiresAt = now + TunnelConstants.OldKeyLifetime;
                if (replaced.OwnKey != session.OwnKey)
                {
                    replaced.OwnKey.ExpiresAt = replaced.ExpiresAt;
                }
            }

            _current = session;
            session.OwnKey.ExpiresAt = Instant.Never;
            BecomeReady(now);
        }

        _rekeyAt = now + _context.Random.Jitter(TunnelConstants.RekeyInterval);
        StopExchange(session);
        UpdateSessionDeadline();
        if (_datagramsHeldUntil != Instant.Never)
        {
            _datagramsHeldUntil = Instant.Never;
            FlushPending(now);
        }

        _context.Events.Add(new NodeEvent { Kind = NodeEventKind.PeerConnected, NodeId = NodeId, Path = SendPath(now)?.Status ?? default });
        SendEndpoints(now, wantsAnswer: false);
    }

    private void BecomeReady(Instant now)
    {
        _context.PeerReady(now, this);
        FlushPending(now);
    }

    private Session? Install(Instant now, ReadOnlySpan<byte> peerKey, OwnKey ownKey)
    {
        foreach (Session known in _sessions)
        {
            if (known.Matches(peerKey, ownKey))
            {
                return known;
            }
        }

        Span<byte> key = stackalloc byte[32];
        if (ownKey.IsRetired(peerKey) || !ownKey.TryDerive(peerKey, key))
        {
            return null;
        }

        var session = new Session(ownKey, peerKey, key, _context.Random.NextUInt32(), now)
        {
            ExpiresAt = _current is null && _sessions.Count == 0 ? Instant.Never : now + TunnelConstants.CandidateLifetime,
        };
        key.Clear();
        int candidates = 0;
        Session? oldest = null;
        foreach (Session other in _sessions)
        {
            if (other != _current && !other.IsConfirmed)
            {
                candidates++;
                oldest ??= other;
            }
        }

        if (candidates >= TunnelConstants.MaxCandidateSessions && oldest is not null)
        {
            RemoveSession(oldest);
        }

        _sessions.Add(session);
        return session;
    }

    /// <summary>Whether to answer, and how: spec 01 section 15.1 item 3.</summary>
    private void Answer(Instant now, in AuthenticatedKeyExchange exchange, bool wasKnown, OwnKey? answered, PeerPath path)
    {
        if (answered is not null)
        {
            return;
        }

        if (wasKnown ? !_repeatAnswers.TryTake(now) : !_newKeyAnswers.TryTake(now))
        {
            return;
        }

        SendKeyExchange(now, path, OfferedKey(now), ExchangeMark.Answer, System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(exchange.X25519PublicKey));
    }

    private bool Knows(ReadOnlySpan<byte> peerKey)
    {
        foreach (Session session in _sessions)
        {
            if (peerKey.SequenceEqual(session.PeerKey))
            {
                return true;
            }
        }

        return false;
    }

    private OwnKey? FindOwnKey(ulong prefix)
    {
        foreach (OwnKey key in _ownKeys)
        {
            if (key.Prefix == prefix)
            {
                return key;
            }
        }

        return null;
    }

    private void ExpireSessions(Instant now)
    {
        if (now < _sessionsExpireAt)
        {
            return;
        }

        for (int i = _sessions.Count - 1; i >= 0; i--)
        {
            if (now >= _sessions[i].ExpiresAt && _sessions[i] != _current)
            {
                RemoveSession(_sessions[i]);
            }
        }

        for (int i = _ownKeys.Count - 1; i >= 0; i--)
        {
            if (now >= _ownKeys[i].ExpiresAt && _ownKeys[i] != _current?.OwnKey)
            {
                RemoveOwnKey(_ownKeys[i]);
            }
        }

        UpdateSessionDeadline();
    }

    private void RemoveSession(Session session)
    {
        _sessions.Remove(session);
        if (session.IsConfirmed)
        {
            session.OwnKey.Retire(session.PeerKey);
        }

        session.Dispose();
    }

    private void RemoveOwnKey(OwnKey key)
    {
        _ownKeys.Remove(key);
        for (int i = _sessions.Count - 1; i >= 0; i--)
        {
            if (_sessions[i].OwnKey == key && _sessions[i] != _current)
            {
                RemoveSession(_sessions[i]);
            }
        }
    }

    private void ClearSessions()
    {
        foreach (Session session in _sessions)
        {
            session.Dispose();
        }

        _sessions.Clear();
        _ownKeys.Clear();
        _current = null;
        _sessionsExpireAt = Instant.Never;
    }

    private void UpdateSessionDeadline()
    {
        Instant next = Instant.Never;
        foreach (Session session in _sessions)
        {
            if (session != _current)
            {
                next = Instant.Min(next, session.ExpiresAt);
            }
        }

        foreach (OwnKey key in _ownKeys)
        {
            if (key != _current?.OwnKey)
            {
                next = Instant.Min(next, key.ExpiresAt);
            }
        }

        _sessionsExpireAt = next;
        _context.Rescheduled(this);
    }

    private void RunRekey(Instant now)
    {
        if (now < _rekeyAt)
        {
            return;
        }

        _rekeyAt = now + _context.Random.Jitter(TunnelConstants.RekeyInterval);
        if (_current is not null && IsInUse(now))
        {
            BeginExchange(now, withNewKey: true, relayAtOnce: Paths.Best is { Kind: PathKind.Relay });
        }
    }
}
