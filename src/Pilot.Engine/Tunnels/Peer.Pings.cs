using Pilot.Engine.Paths;
using Pilot.Protocol;

namespace Pilot.Engine.Tunnels;

/// <summary>Control pings (spec 01 sections 3.7 and 15.2): the only thing that confirms paths, and the round trips that users ask for.</summary>
internal sealed partial class Peer
{
    private const int PingPayload = 16;
    private readonly List<Ping> _pings = [];
    private readonly List<Waiter> _waiters = [];
    private Instant _waitersExpireAt = Instant.Never;

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

        if (header.DestinationPort == EndpointsMessage.Port && IsOurs)
        {
            OnEndpoints(now, payload);
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

    /// <summary>Pings that nobody will answer any more: their paths lost them.</summary>
    private void CountLostPings(Instant now)
    {
        for (int i = _pings.Count - 1; i >= 0; i--)
        {
            TimeSpan fourTrips = (_pings[i].Path.Rtt ?? TimeSpan.Zero) * 4;
            if (now - _pings[i].SentAt > (fourTrips > TunnelConstants.PingLifetime ? fourTrips : TunnelConstants.PingLifetime))
            {
                ForgetPing(i);
            }
        }
    }

    private void ForgetPing(int index)
    {
        Ping ping = _pings[index];
        _pings.RemoveAt(index);
        if (ping.Size == PingPayload && ping.Path.Rtt is not null)
        {
            ping.Path.CountOutcome(isLost: true);
        }
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
            ping.Path.IsPunched = NeededPunch(ping.Path);
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
        CountLostPings(now);
        if (_pings.Count >= TunnelConstants.MaxOutstandingPings)
        {
            ForgetPing(0);
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
