namespace Pilot.Engine.Streams;

// The ends of a connection: TIME_WAIT, failure, removal.
public sealed partial class Connection
{
    private void EnterTimeWait(Instant now)
    {
        State = ConnectionState.TimeWait;
        ReleaseSending();
        _receive.DropRuns();
        _timeWaitSince = now;
        _timers[TimerKind.TimeWait] = now + _options.TimeWait;
        Raise(ConnectionSignals.Finished);
        ReleaseAdmission();
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
        _isRemoved = true;
        ReleaseAdmission();
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
