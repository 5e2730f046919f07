using System.Buffers.Binary;
using Pilot.Engine.Paths;
using Pilot.Protocol;

namespace Pilot.Engine.Tunnels;

/// <summary>
/// Control pings (spec 01 sections 3.7 and 15.2): they confirm paths and keys, keep NAT bindings alive, notice
/// silence, and bring a relayed peer back to a direct path (spec 04 sections 8.2 and 9).
/// </summary>
internal sealed partial class Peer
{
    private const int PingPayload = 16;
    private readonly List<Ping> _pings = [];
    private readonly List<Waiter> _waiters = [];
    private Instant _silenceAt = Instant.Never;
    private Instant _hushAt = Instant.Never;
    private Instant _keepaliveAt = Instant.Never;
    private Instant _directRoundAt = Instant.Never;
    private Instant _relayedSince;
    private Instant _waitersExpireAt = Instant.Never;
    private SilenceStep _silenceStep;
    private Instant _relayHeldUntil;
    private int _awaiting;

    /// <summary>A packet that calls for an answer was sent: silence from now on is suspicious.</summary>
    public void OnSentExpectingAnswer(Instant now)
    {
        if (_awaiting++ == 0)
        {
            _silenceAt = now + TunnelConstants.SilenceLimit;
            _context.Rescheduled(this);
        }
    }

    /// <summary>
    /// Stream data came. When a reference falls silent after that, it has either said everything, or its way to us is gone;
    /// in that case it gives the stream up after eight transmissions (3 s on a fast path, spec 02 section 9.3), and only a frame
    /// of ours on another path leads it there. A receiver has nothing outstanding that would tell, so it asks.
    /// </summary>
    public void OnStreamData(Instant now)
    {
        if (!IsOurs && _hushAt == Instant.Never)
        {
            _hushAt = now + TunnelConstants.HushLimit;
            _context.Rescheduled(this);
        }
    }

    /// <summary>Pings a path until it is confirmed or failed.</summary>
    public void Probe(Instant now, PeerPath path)
    {
        if (_current is not null)
        {
            path.StartProbing(now);
            _context.Rescheduled(this);
        }
    }

    /// <summary>Tells the caller when the peer answered a ping, or that it did not in time.</summary>
    public void AddWaiter(Instant now, long token, Instant deadline)
    {
        if (_waiters.Count >= TunnelConstants.MaxOutstandingPings)
        {
            _context.Events.AddCertain(new NodeEvent { Kind = NodeEventKind.PingResult, NodeId = NodeId, Token = token, Error = Streams.ConnectionError.Refused, Detail = "too many pings wait already" });
            return;
        }

        _waiters.Add(new Waiter(token, deadline));
        _waitersExpireAt = Instant.Min(_waitersExpireAt, now + TunnelConstants.KeepaliveRetry);
        EnsureContact(now);
        if (_current is not null && SendPath(now) is { } path)
        {
            SendPing(now, path, _current);
        }

        _context.Rescheduled(this);
    }

    public void FailWaiters(Streams.ConnectionError error, string? detail)
    {
        foreach (Waiter waiter in _waiters)
        {
            _context.Events.AddCertain(new NodeEvent { Kind = NodeEventKind.PingResult, NodeId = NodeId, Token = waiter.Token, Error = error, Detail = detail });
        }

        _waiters.Clear();
        _waitersExpireAt = Instant.Never;
    }

    /// <summary>A control packet of the authenticated peer: answers a ping, takes a pong.</summary>
    public void OnControl(Instant now, in PacketHeader header, ReadOnlySpan<byte> payload, PathKind kind, UdpEndpoint source)
    {
        if ((header.Flags & PacketFlags.Ack) != 0)
        {
            OnPong(now, header, payload);
            return;
        }

        if (header.DestinationPort != 0 || header.SourcePort == 0 || !_pingAnswers.TryTake(now) || _current is null)
        {
            return;
        }

        var answer = new PacketHeader
        {
            Protocol = PacketProtocol.Control,
            Flags = PacketFlags.Ack,
            Source = PilotAddress.OfNode(_context.NodeId),
            Destination = PilotAddress.OfNode(NodeId),
            SourcePort = 0,
            DestinationPort = header.SourcePort,
            Sequence = header.Sequence,
            Acknowledgement = header.Sequence + 1,
        };
        SendPacket(now, answer, payload, Paths.Add(kind, source, now), _current);
    }

    private void OnPong(Instant now, in PacketHeader header, ReadOnlySpan<byte> payload)
    {
        for (int i = 0; i < _pings.Count; i++)
        {
            Ping ping = _pings[i];
            if (ping.Port != header.DestinationPort || ping.Sequence != header.Sequence || header.Acknowledgement != header.Sequence + 1
                || payload.Length != ping.Size || !payload[..PingPayload].SequenceEqual(ping.Payload))
            {
                continue;
            }

            _pings.RemoveAt(i);
            if (ping.Size > PingPayload)
            {
                OnSizeAnswered(now, ping.Path, ping.Size);
                return;
            }

            TimeSpan rtt = now - ping.SentAt;
            ping.Path.OnPong(now, rtt);
            ChoosePath(now);
            if (!ping.Session.IsConfirmed && _sessions.Contains(ping.Session))
            {
                Confirm(now, ping.Session);
            }

            foreach (Waiter waiter in _waiters)
            {
                _context.Events.AddCertain(new NodeEvent { Kind = NodeEventKind.PingResult, NodeId = NodeId, Token = waiter.Token, Rtt = rtt, Path = ping.Path.Status });
            }

            _waiters.Clear();
            _waitersExpireAt = Instant.Never;
            ScheduleKeepalive(now);
            return;
        }
    }

    private void ProbeUnder(Instant now, PeerPath path, Session session)
    {
        if (session.IsConfirmed && path.State == PathState.Confirmed)
        {
            return;
        }

        if (session != _current)
        {
            SendPing(now, path, session);
        }

        Probe(now, path);
    }

    private void SendPing(Instant now, PeerPath path, Session session, int size = PingPayload)
    {
        if (_pings.Count >= TunnelConstants.MaxOutstandingPings)
        {
            _pings.RemoveAt(0);
        }

        byte[] payload = new byte[PingPayload];
        _context.Random.Fill(payload);
        var ping = new Ping(path, session, now, (ushort)(1 + _context.Random.NextUInt32() % 65_535), _context.Random.NextUInt32(), payload, size);
        _pings.Add(ping);
        var header = new PacketHeader
        {
            Protocol = PacketProtocol.Control,
            Source = PilotAddress.OfNode(_context.NodeId),
            Destination = PilotAddress.OfNode(NodeId),
            SourcePort = ping.Port,
            DestinationPort = 0,
            Sequence = ping.Sequence,
        };
        if (size == PingPayload)
        {
            SendPacket(now, header, payload, path, session);
            return;
        }

        byte[] padded = System.Buffers.ArrayPool<byte>.Shared.Rent(size);
        padded.AsSpan(0, size).Clear();
        payload.CopyTo(padded, 0);
        SendPacket(now, header, padded.AsSpan(0, size), path, session);
        System.Buffers.ArrayPool<byte>.Shared.Return(padded);
    }

    private void RunProbes(Instant now)
    {
        bool mayHaveFailed = false;
        for (int i = 0; i < Paths.All.Count; i++)
        {
            PeerPath path = Paths.All[i];
            while (now >= path.ProbeDeadline)
            {
                if (!path.TakeProbe(now))
                {
                    mayHaveFailed = true;
                    break;
                }

                if (_current is null)
                {
                    break;
                }

                SendPing(now, path, _current);
                foreach (Session session in _sessions)
                {
                    if (!session.IsConfirmed && session != _current)
                    {
                        SendPing(now, path, session);
                    }
                }
            }
        }

        if (mayHaveFailed)
        {
            ChoosePath(now);
        }
    }

    private void ChoosePath(Instant now)
    {
        if (!Paths.Choose())
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

            if (Connections.Count > 0)
            {
                StartSegmentSizeSearch(now);
            }

            if (best.Kind == PathKind.Relay)
            {
                _relayedSince = now;
                _directRoundAt = now + _context.Random.Jitter(TunnelConstants.DirectRoundEarly);
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

    private void ProbeAll(Instant now)
    {
        RelayPath(now);
        for (int i = 0; i < Paths.All.Count; i++)
        {
            Probe(now, Paths.All[i]);
        }
    }

    /// <summary>
    /// Silence where answers are due (spec 01 section 15.1 item 5). One of ours is pinged on every path, then gets a new key.
    /// A reference is led more carefully, because a single frame by relay binds it to the relay for life: a ping on the path
    /// in use, an exchange there with the installed key (one that has restarted answers it, for another it changes nothing
    /// but its counter), only then the other paths, and a new key.
    /// </summary>
    private void CheckSilence(Instant now)
    {
        if (now < _silenceAt)
        {
            return;
        }

        if (_awaiting < 2 || _current is null)
        {
            _silenceAt = _awaiting == 0 || _current is null ? Instant.Never : now + TunnelConstants.SilenceLimit;
            _awaiting = _current is null ? 0 : Math.Max(_awaiting, 2);
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

        _keepaliveAt = now + _context.Random.Jitter(TunnelConstants.KeepaliveInterval);
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

        _context.Beacons.RequestPunch(now, _context.NodeId, NodeId, _context.Output);
        for (int i = 0; i < Paths.All.Count; i++)
        {
            if (Paths.All[i].Kind != PathKind.Relay)
            {
                Probe(now, Paths.All[i]);
            }
        }

        _directRoundAt = now + _context.Random.Jitter(now - _relayedSince < TunnelConstants.DirectRoundEarlyPeriod ? TunnelConstants.DirectRoundEarly : TunnelConstants.DirectRoundLate);
    }

    private void ExpireWaiters(Instant now)
    {
        if (now < _waitersExpireAt)
        {
            return;
        }

        for (int i = _waiters.Count - 1; i >= 0; i--)
        {
            if (now >= _waiters[i].Deadline)
            {
                _context.Events.AddCertain(new NodeEvent { Kind = NodeEventKind.PingResult, NodeId = NodeId, Token = _waiters[i].Token, Error = Streams.ConnectionError.Timeout });
                _waiters.RemoveAt(i);
            }
        }

        _waitersExpireAt = Instant.Never;
        foreach (Waiter waiter in _waiters)
        {
            _waitersExpireAt = Instant.Min(_waitersExpireAt, Instant.Min(waiter.Deadline, now + TunnelConstants.KeepaliveRetry));
        }

        if (_waiters.Count > 0 && _current is not null && SendPath(now) is { } path)
        {
            Probe(now, path);
        }
    }

    private sealed record Ping(PeerPath Path, Session Session, Instant SentAt, ushort Port, uint Sequence, byte[] Payload, int Size);

    private sealed record Waiter(long Token, Instant Deadline);
}
