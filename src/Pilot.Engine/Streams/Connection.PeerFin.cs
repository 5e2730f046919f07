using Pilot.Protocol;

namespace Pilot.Engine.Streams;

// The peer's FIN, and its answer to ours (chapter 02 section 12.2, docs/wire.md "Half close").
public sealed partial class Connection
{
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
            if (offset < _receive.Highest || offset > _receive.ReadOffset + 2L * _receiveLimit)
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
}
