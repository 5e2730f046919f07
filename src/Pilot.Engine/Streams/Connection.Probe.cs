namespace Pilot.Engine.Streams;

// Signs of life: probes of a closed window, keepalives, and the detection of a peer that is gone (chapter 02 sections 7.1 and 11).
public sealed partial class Connection
{
    // Probes that may stay unanswered before one carries the next real segment. The old byte asks for the window without
    // costing the peer a place: a reference whose queue is full stops its whole router on one more segment (5.5).
    private const int OldByteProbes = 2;

    private TimeSpan _probeInterval;
    private int _probeUnanswered;
    private bool _windowProbePending;
    private bool _oldBytePending;

    private void StartWindowProbe(Instant now)
    {
        if (HasOutstanding || _timers.IsSet(TimerKind.WindowProbe) || _oldBytePending)
        {
            return; // what is outstanding will be acknowledged, with a window
        }
        _probeInterval = _options.WindowProbeMin;
        _timers[TimerKind.WindowProbe] = now + _probeInterval;
    }

    private void OnWindowProbeTimer(Instant now)
    {
        if (_sendNext == _send.End || WindowAllowsSegment())
        {
            StopWindowProbe();
            return;
        }
        if (_probeUnanswered < OldByteProbes)
        {
            _oldBytePending = true;
        }
        else
        {
            _windowProbePending = true;
        }
        _probeUnanswered++;
        _probeInterval = new TimeSpan(Math.Min(2 * _probeInterval.Ticks, _options.WindowProbeMax.Ticks));
        _timers[TimerKind.WindowProbe] = now + _probeInterval;
    }

    private void StopWindowProbe()
    {
        _timers.Cancel(TimerKind.WindowProbe);
        _probeInterval = TimeSpan.Zero;
        _probeUnanswered = 0;
        _windowProbePending = false;
    }

    private void OnKeepAliveTimer(Instant now)
    {
        Instant due = _lastSent + _options.KeepAlive;
        if (due <= now)
        {
            _quietPending = true;
            due = now + _options.KeepAlive;
        }
        _timers[TimerKind.KeepAlive] = due;
    }

    private void OnLivenessTimer(Instant now)
    {
        Instant gone = _lastReceived + _options.PeerGone;
        if (gone <= now)
        {
            End(now, ConnectionError.PeerGone, sendReset: true);
            return;
        }
        Instant due = _lastReceived + _options.LivenessProbe;
        if (due <= now)
        {
            _oldBytePending = true;
            due = Instant.Min(now + _options.LivenessProbeInterval, gone);
        }
        _timers[TimerKind.Liveness] = due;
    }

    private void OnIdleTimer(Instant now)
    {
        Instant due = Instant.Max(_lastData, _progressAt) + _options.IdleTimeout;
        if (due > now)
        {
            _timers[TimerKind.Idle] = due;
            return;
        }
        SetError(ConnectionError.IdleTimeout);
        Close(now);
    }
}
