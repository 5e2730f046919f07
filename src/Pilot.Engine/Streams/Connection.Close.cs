using Pilot.Protocol;

namespace Pilot.Engine.Streams;

// Closing (chapter 02 section 12.2): FIN after the data, repeated until answered; FIN|ACK is never answered; a reference's FIN
// ends both directions, ours is held while its answer is still wanted; TIME_WAIT is not restarted.
public sealed partial class Connection
{
    private bool _writeShut;          // nothing more is written here
    private bool _appClosed;          // nothing more is read here
    private bool _finWanted;
    private bool _finPending;
    private bool _finAcknowledged;
    private bool _finAckPending;
    private bool _readEnded;
    private bool _resetPending;
    private int _finsSent;
    private long? _peerFin;           // stream offset at which the peer ended
    private uint _peerFinSequence;
    private Instant _timeWaitSince;
    private Instant _finSince;        // when the first FIN left

    /// <summary>Ends the own direction: what was written is still delivered. Toward one of ours the FIN follows the data; toward a reference it is held, because it would end both directions (18 rule 12).</summary>
    public void ShutdownWrite(Instant now)
    {
        if (_writeShut || State is ConnectionState.Closed or ConnectionState.TimeWait)
        {
            return;
        }
        _writeShut = true;
        if (IsOpen)
        {
            BeginShutdown(now); // a dial that is still going on does this when it succeeds
        }
    }

    private void BeginShutdown(Instant now)
    {
        _finWanted = HasHalfClose;
        if (!HasHalfClose)
        {
            _lastData = now;
            _timers[TimerKind.HeldFin] = now + _options.HeldFin;
        }
    }

    /// <summary>Ends both directions: what was written is still delivered as long as the peer takes it, what arrives is discarded.</summary>
    public void Close(Instant now)
    {
        if (_appClosed)
        {
            return;
        }
        _appClosed = true;
        _writeShut = true;
        if (State == ConnectionState.SynSent)
        {
            End(now, ConnectionError.Aborted, sendReset: _synsSent > 0);
        }
        if (!IsOpen)
        {
            _receive.Clear();
            ReleaseAdmission();
            return;
        }
        _receive.Consume(_receive.Readable); // what was reported behind a hole stays: the peer will not send it again
        if (_isStarved)
        {
            _isStarved = false; // what comes is discarded: there is room for all of it
            _acks.RequestNow();
        }
        _finWanted = true;
        _timers.Cancel(TimerKind.HeldFin);
        _acknowledgedAt = now;
        _timers[TimerKind.Linger] = now + _options.Linger;
        if (!HasHalfClose && _peerFin is not null)
        {
            EnterTimeWait(now); // was only waiting for data that nobody reads any more
            return;
        }
        UpdateReceiveTimers(now);
    }

    /// <summary>Ends the connection at once with RST; what was written may be lost.</summary>
    public void Abort(Instant now)
    {
        _appClosed = true;
        _writeShut = true;
        if (State is ConnectionState.TimeWait or ConnectionState.Closed)
        {
            _receive.Clear();
            ReleaseAdmission();
            return;
        }
        End(now, ConnectionError.Aborted, sendReset: State != ConnectionState.SynSent || _synsSent > 0);
        _receive.Clear();
        ReleaseAdmission();
    }

    /// <summary>Ends the connection for a cause that the node knows; the peer is told by RST if it may know the connection.</summary>
    internal void Fail(Instant now, ConnectionError error)
    {
        if (State is not (ConnectionState.TimeWait or ConnectionState.Closed))
        {
            End(now, error, sendReset: State != ConnectionState.SynSent || _synsSent > 0);
        }
    }

    private bool FinIsDue
    {
        get
        {
            if (!_finWanted || _finAcknowledged || _sendNext < _send.End)
            {
                return false;
            }
            bool dataAllow = HasHalfClose ? _finsSent == 0 || !HasOutstanding : !HasOutstanding;
            return dataAllow && (_finsSent == 0 || _finPending);
        }
    }

    private int WriteFin(Instant now, Span<byte> packet)
    {
        _finPending = false;
        _finsSent++;
        if (_finsSent == 1)
        {
            _finSince = now;
        }
        TimeSpan limit = PeerIsExtended ? _options.MaxClosingRto : _options.MaxRto;
        long wait = Math.Min(_rtt.Rto.Ticks << Math.Min(_finsSent - 1, 10), Math.Max(limit.Ticks, _rtt.Rto.Ticks));
        _timers[TimerKind.Fin] = now + new TimeSpan(wait);
        if (State == ConnectionState.Established)
        {
            State = ConnectionState.FinWait;
        }
        return Packet.WriteHeader(packet, HeaderFor(PacketFlags.Fin, SendSequence(_sendNext)), 0);
    }

    private int WriteFinAck(Span<byte> packet)
    {
        _finAckPending = false;
        PacketHeader header = HeaderFor(PacketFlags.Fin | PacketFlags.Ack, SendSequence(_sendNext));
        header.Acknowledgement = unchecked(_peerFinSequence + 1);
        return Packet.WriteHeader(packet, header, 0);
    }

    private void OnFinTimer(Instant now)
    {
        if (_finAcknowledged)
        {
            return;
        }
        if (HasOutstanding)
        {
            _timers[TimerKind.Fin] = now + _rtt.Rto; // the data are repeated by their own timer; the FIN follows them
            return;
        }
        bool goesOn = PeerIsExtended
            ? now - Instant.Max(_finSince, _progressAt) < _options.UserTimeout
            : _finsSent < _options.ReferenceFinAttempts;
        if (goesOn)
        {
            _finPending = true;
            return;
        }
        // all data are acknowledged; a peer that forgot the connection stays silent (12.2)
        if (_appClosed || ReadIsOver)
        {
            OnFinAcknowledged(now);
            EndRead(now);
            if (IsOpen)
            {
                EnterTimeWait(now);
            }
            return;
        }
        End(now, ConnectionError.Timeout, sendReset: true);
    }

    private void OnHeldFinTimer(Instant now)
    {
        Instant due = _lastData + _options.HeldFin;
        if (due <= now && !HasOutstanding && _sendNext == _send.End)
        {
            _finWanted = true;
            return;
        }
        _timers[TimerKind.HeldFin] = Instant.Max(due, now + new TimeSpan(_options.HeldFin.Ticks / 8));
    }

    private void OnLingerTimer(Instant now)
    {
        if (HasOutstanding || _sendNext < _send.End)
        {
            // A slow path may take long for what the buffer holds, and a reader may pause: only a peer that takes nothing ends it.
            Instant due = Instant.Min(_progressAt + _options.Linger, _acknowledgedAt + _options.LingerForReader);
            if (due > now)
            {
                _timers[TimerKind.Linger] = due;
                return;
            }
            End(now, ConnectionError.Timeout, sendReset: true);
        }
        else if (_finAcknowledged)
        {
            End(now, ConnectionError.None, sendReset: true); // the peer goes on writing to nobody
        }
        // else all data have arrived, and only the FIN is still on its way: RST would turn a clean end into an error
    }

    private void AfterProgressOfClose(Instant now)
    {
        if (_finsSent > 0 && !_finAcknowledged && !HasOutstanding && !_finPending && !_timers.IsSet(TimerKind.Fin))
        {
            _timers[TimerKind.Fin] = now + _rtt.Rto;
        }
    }
}
