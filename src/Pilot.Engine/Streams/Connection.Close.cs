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

    /// <summary>Ends both directions: what was written is still delivered within the linger time, what arrives is discarded.</summary>
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
            return;
        }
        _receive.Consume(_receive.Readable); // what was reported behind a hole stays: the peer will not send it again
        _finWanted = true;
        _timers.Cancel(TimerKind.HeldFin);
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
            return;
        }
        End(now, ConnectionError.Aborted, sendReset: State != ConnectionState.SynSent || _synsSent > 0);
        _receive.Clear();
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

    private void OnFin(Instant now, in PacketHeader header)
    {
        bool isAnswer = (header.Flags & PacketFlags.Ack) != 0;
        switch (State)
        {
            case ConnectionState.SynSent:
                _earlyFin = header; // overtook the SYN-ACK; a reference sends it only once
                return;
            case ConnectionState.TimeWait:
                if (!isAnswer && header.Sequence == _peerFinSequence)
                {
                    AnswerInTimeWait(now);
                }
                return;
            default:
                break;
        }
        if (isAnswer && _finsSent > 0 && !_finAcknowledged && header.Acknowledgement == unchecked(SendSequence(_sendNext) + 1) && !HasOutstandingBeyondFin)
        {
            OnFinAnswered(now, header);
            return;
        }
        if (isAnswer && (HasHalfClose || _finsSent > 0))
        {
            return; // acknowledges something older, and never ends the peer's direction
        }
        if (HasHalfClose)
        {
            OnExtendedFin(now, header);
        }
        else
        {
            _finAckPending |= !isAnswer;
            OnReferenceFin(now, header);
        }
    }

    // One of ours answers a FIN only when it has everything before it, so the answer also settles data whose ACK was lost.
    private bool HasOutstandingBeyondFin => !HasHalfClose && HasOutstanding;

    private void OnFinAnswered(Instant now, in PacketHeader header)
    {
        if (HasOutstanding)
        {
            SettleOutstanding(now);
        }
        OnFinAcknowledged(now);
        if (!HasHalfClose && IsOpen)
        {
            OnReferenceFin(now, header); // its answer ends its direction too
        }
    }

    private void SettleOutstanding(Instant now)
    {
        _sent.Clear();
        _send.Release(_sendNext);
        _progressAt = now;
        _timers.Cancel(TimerKind.Retransmit);
        _timers.Cancel(TimerKind.Reorder);
        _timeoutPending = _tailProbePending = false;
        _recovery = Recovery.None;
    }

    private void OnFinAcknowledged(Instant now)
    {
        _finAcknowledged = true;
        _finPending = false;
        _timers.Cancel(TimerKind.Fin);
        Raise(ConnectionSignals.WriteEnded);
        if (HasHalfClose && ReadIsOver)
        {
            EnterTimeWait(now);
        }
    }

    private bool ReadIsOver => _peerFin is { } fin && _receive.NextOffset >= fin;

    private void OnExtendedFin(Instant now, in PacketHeader header)
    {
        long offset = ReceiveOffset(header.Sequence);
        if (_peerFin is null)
        {
            if (offset < _receive.Highest || offset > _receive.ReadOffset + 2L * _options.ReceiveBufferLimit)
            {
                return; // before data that the peer sent itself, or behind all that it may send
            }
            _peerFin = offset;
            _peerFinSequence = header.Sequence;
        }
        if (ReadIsOver)
        {
            _finAckPending = true; // the first time, and again for each repeat
            CheckReadEnd(now);
        }
        else
        {
            _acks.RequestNow(); // tells what is missing
        }
    }

    private void OnReferenceFin(Instant now, in PacketHeader header)
    {
        if (_peerFin is not null)
        {
            return;
        }
        long offset = ReceiveOffset(header.Sequence);
        _peerFin = Math.Max(offset, _receive.NextOffset);
        _peerFinSequence = header.Sequence;
        DropUnsent();
        if (ReadIsOver || _appClosed)
        {
            CheckReadEnd(now);
            return;
        }
        // what is missing may only have been overtaken; a reference sends nothing again after its FIN (12.1)
        State = ConnectionState.CloseWait;
        long wait = Math.Clamp(2 * _rtt.Smoothed.Ticks, _options.TruncationWaitMin.Ticks, _options.TruncationWaitMax.Ticks);
        _timers[TimerKind.Truncation] = now + new TimeSpan(wait);
    }

    // The peer discards what comes after its FIN. Whether what is still unacknowledged had arrived is not known (its FIN carries
    // no acknowledgement); what was never sent, or is known to be lost, certainly did not.
    private void DropUnsent()
    {
        bool lost = _sendNext < _send.End || _sent.LostCount > 0;
        _writeShut = true;
        _sendNext = _send.End;
        SettleOutstanding(_lastReceived);
        _send.Clear();
        _finWanted = false;
        _timers.Cancel(TimerKind.HeldFin);
        _timers.Cancel(TimerKind.Fin);
        StopWindowProbe();
        if (lost && !_appClosed)
        {
            SetError(ConnectionError.BrokenPipe);
        }
        if (_writeWasCut)
        {
            Raise(ConnectionSignals.Writable);
        }
    }

    private void OnTruncationTimer(Instant now)
    {
        SetError(ConnectionError.Truncated);
        _receive.DropRuns();
        Raise(ConnectionSignals.ReadEnded);
        EnterTimeWait(now);
    }

    // Called whenever in-order data or a FIN arrived.
    private void CheckReadEnd(Instant now)
    {
        if (!ReadIsOver && !(_appClosed && _peerFin is not null && !HasHalfClose))
        {
            return;
        }
        bool first = !_readEnded;
        EndRead(now);
        if (!HasHalfClose)
        {
            EnterTimeWait(now);
            return;
        }
        _finAckPending |= first;
        if (_finAcknowledged)
        {
            EnterTimeWait(now);
        }
        else if (State == ConnectionState.Established)
        {
            State = ConnectionState.CloseWait;
        }
    }

    private void EndRead(Instant now)
    {
        _timers.Cancel(TimerKind.Truncation);
        if (!_readEnded)
        {
            _readEnded = true;
            Raise(ConnectionSignals.ReadEnded);
        }
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

    private void EnterTimeWait(Instant now)
    {
        State = ConnectionState.TimeWait;
        ReleaseSending();
        _receive.DropRuns();
        _timeWaitSince = now;
        _timers[TimerKind.TimeWait] = now + _options.TimeWait;
        Raise(ConnectionSignals.Finished);
    }

    // Toward a reference the wait is not restarted: its FIN|ACK loop would keep it for ever (12.1). One of ours repeats only
    // while it misses the answer, so the answer stays available for as long as that can last.
    private void AnswerInTimeWait(Instant now)
    {
        _finAckPending = true;
        if (HasHalfClose)
        {
            _timers[TimerKind.TimeWait] = Instant.Min(now, _timeWaitSince + _options.UserTimeout) + _options.TimeWait;
        }
    }

    private void End(Instant now, ConnectionError error, bool sendReset)
    {
        if (error != ConnectionError.None)
        {
            SetError(error);
        }
        State = ConnectionState.Closed;
        ReleaseSending();
        _synPending = _synAckPending = _finAckPending = false;
        _receive.DropRuns();
        _resetPending = sendReset;
        Raise(ConnectionSignals.Finished | ConnectionSignals.ReadEnded | (_writeWasCut ? ConnectionSignals.Writable : 0));
        if (sendReset)
        {
            _timers[TimerKind.Removal] = now + TimeSpan.FromSeconds(1); // in case the node cannot send it
        }
        else
        {
            Remove();
        }
    }

    private void Remove()
    {
        State = ConnectionState.Closed;
        _resetPending = false;
        _timers.Clear();
        Raise(ConnectionSignals.Closed);
    }

    private void ReleaseSending()
    {
        _timers.Clear();
        _sent.Clear();
        _send.Clear();
        _sendNext = _send.End;
        _quietPending = _oldBytePending = _windowProbePending = _finPending = false;
        _holes.Clear();
    }

    private void SetError(ConnectionError error)
    {
        if (Error == ConnectionError.None)
        {
            Error = error;
            Raise(ConnectionSignals.Failed);
        }
    }
}
