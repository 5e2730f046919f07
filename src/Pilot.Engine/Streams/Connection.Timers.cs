namespace Pilot.Engine.Streams;

public sealed partial class Connection
{
    /// <summary>Does what is due at <paramref name="now"/>. Packets that result wait in <see cref="TryTransmit"/>.</summary>
    internal void HandleDeadline(Instant now)
    {
        for (TimerKind kind = 0; kind <= TimerKind.Idle; kind++)
        {
            if (_timers.TakeIfDue(kind, now))
            {
                OnTimer(kind, now);
            }
        }
        UpdateReceiveTimers(now);
    }

    private void OnTimer(TimerKind kind, Instant now)
    {
        switch (kind)
        {
            case TimerKind.Dial:
                OnDialTimer();
                break;
            case TimerKind.DialLimit:
                End(now, ConnectionError.Timeout, sendReset: _synsSent > 0);
                break;
            case TimerKind.Retransmit:
                OnRetransmitTimer(now);
                break;
            case TimerKind.Reorder:
                FindLosses(now);
                break;
            case TimerKind.Hole:
                _holes.OnTimer(now, _options.HoleReminder);
                break;
            case TimerKind.WindowProbe:
                OnWindowProbeTimer(now);
                break;
            case TimerKind.KeepAlive:
                OnKeepAliveTimer(now);
                break;
            case TimerKind.Liveness:
                OnLivenessTimer(now);
                break;
            case TimerKind.Fin:
                OnFinTimer(now);
                break;
            case TimerKind.HeldFin:
                OnHeldFinTimer(now);
                break;
            case TimerKind.Truncation:
                OnTruncationTimer(now);
                break;
            case TimerKind.Linger:
                OnLingerTimer(now);
                break;
            case TimerKind.TimeWait:
            case TimerKind.Removal:
                Remove();
                break;
            case TimerKind.Idle:
                OnIdleTimer(now);
                break;
            case TimerKind.Ack:    // what may leave is found by TryTransmit
            case TimerKind.Pacing:
            default:
                break;
        }
    }
}
