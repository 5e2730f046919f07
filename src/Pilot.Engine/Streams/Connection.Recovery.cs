namespace Pilot.Engine.Streams;

// Loss recovery: RACK (LossDetector), tail loss probe, retransmission timeout with back-off and user timeout (chapter 02 section 17.3).
public sealed partial class Connection
{
    private enum Recovery
    {
        /// <summary>Nothing is known to be lost.</summary>
        None,
        /// <summary>Losses were found by reports; the window is held until all data sent before are acknowledged.</summary>
        Fast,
        /// <summary>A timeout happened; the window grows again from one segment.</summary>
        Timeout,
    }

    private Recovery _recovery;
    private long _recoveryPoint;
    private long _carefulUpTo;           // stream offset up to which a reference's store bounds the flight
    private int _backoff;                // doublings of the retransmission timeout

    /// <summary>
    /// Segments of the size that the path is believed to carry seem not to arrive any more (RFC 8899 section 4.3): timeouts in a row, or,
    /// where smaller ones that follow keep the timeout away, a first segment that was repeated again and again.
    /// </summary>
    internal bool SuspectsSegmentSize => _backoff >= SuspiciousTimeouts || (_sent.Count > 0 && IsSuspicious(_sent[_sent.First]));

    private bool IsSuspicious(in SegmentRecord first) => first.Transmissions > SuspiciousRepeats
        && first.Length > StreamConstants.InitialSegmentPayload && first.Length <= EffectiveSegment;

    private bool _retransmitTimerIsProbe;
    private bool _tailProbePending;
    private long _tailProbeEnd = -1;     // one probe per flight
    private bool _timeoutPending;        // the first lost segment may leave whatever the window says

    private const int SuspiciousTimeouts = 2;
    private const int SuspiciousRepeats = 3;
    private const int JitterShift = 3;   // up to an eighth
    private uint _jitter;
    private NeedlessRecovery _needless;

    private TimeSpan BackedOffRto
    {
        get
        {
            long rto = _rtt.Rto.Ticks << Math.Min(_backoff, 10);
            long limit = _finsSent > 0 ? Math.Max(_options.MaxClosingRto.Ticks, _rtt.Rto.Ticks) : _options.MaxRto.Ticks;
            rto = Math.Min(rto, limit);
            _jitter = (_jitter * 1664525) + 1013904223; // spreads the repetitions of connections that lost the same path
            return new TimeSpan(rto + ((rto >> JitterShift) * (_jitter >> 16) / 65536));
        }
    }

    private Instant NextTimeout(Instant now) => Instant.Min(now + BackedOffRto, _progressAt + _options.UserTimeout);

    private void AfterDelivery(Instant now)
    {
        if (_recovery != Recovery.None && _needless.IsProven(_sent.LostSegments))
        {
            // nothing had been lost: packets were overtaken or held up
            _needless.End();
            _sent.RestoreLost();
            _recovery = Recovery.None;
            _loss.OnRecoveryEnd();
            _congestion.OnSpurious(now);
        }
        if (_recovery != Recovery.None && _send.Start >= _recoveryPoint)
        {
            _needless.End();
            _recovery = Recovery.None;
            _loss.OnRecoveryEnd();
        }
        if (_tailProbeEnd >= 0 && _send.Start >= _tailProbeEnd)
        {
            _tailProbeEnd = -1;
        }
        _tailProbePending = false;
        FindLosses(now);
        ArmRetransmit(now);
    }

    private void BeCareful() => _carefulUpTo = _sendNext + ((long)StreamConstants.CarefulSegments * EffectiveSegment);

    private void FindLosses(Instant now)
    {
        long lostBefore = _sent.LostSegments;
        int lost = _loss.Detect(now, _recovery != Recovery.None, out Instant recheck);
        _timers[TimerKind.Reorder] = recheck;
        if (lost > 0 && _recovery == Recovery.None)
        {
            _needless.Begin(lostBefore);
            _recovery = Recovery.Fast;
            _recoveryPoint = _sendNext;
            BeCareful();
            _congestion.OnLoss(now, _sendNext - _send.Start);
        }
    }

    private void ArmRetransmit(Instant now)
    {
        if (!HasOutstanding)
        {
            _timers.Cancel(TimerKind.Retransmit);
            return;
        }
        TimeSpan wait = BackedOffRto;
        _retransmitTimerIsProbe = _recovery == Recovery.None && _rtt.HasSample && _sent.SackedCount == 0
            && _sent.LostCount == 0 && _tailProbeEnd < 0 && _backoff == 0;
        if (_retransmitTimerIsProbe)
        {
            // RFC 8985 section 7.2; a lone segment may meet a delayed acknowledgement
            TimeSpan probe = new TimeSpan(Math.Max(2 * _rtt.Smoothed.Ticks, 2 * TimeSpan.TicksPerMillisecond))
                + (_sent.Count == 1 ? _options.PeerAckDelay : TimeSpan.FromMilliseconds(1));
            if (probe < wait)
            {
                wait = probe;
            }
            else
            {
                _retransmitTimerIsProbe = false;
            }
        }
        _timers[TimerKind.Retransmit] = now + wait;
    }

    private void OnRetransmitTimer(Instant now)
    {
        if (!HasOutstanding)
        {
            return;
        }
        if (_retransmitTimerIsProbe)
        {
            _retransmitTimerIsProbe = false;
            _tailProbePending = true;
            _tailProbeEnd = _sendNext;
            _timers[TimerKind.Retransmit] = NextTimeout(now);
            return;
        }
        if (now - _progressAt >= _options.UserTimeout)
        {
            End(now, ConnectionError.Timeout, sendReset: true);
            return;
        }
        if (_peerIsStarved)
        {
            _oldBytePending = true; // it would drop the segment again: only ask whether it still would
            _timers[TimerKind.Retransmit] = now + StarvedProbeInterval();
            return;
        }
        BeCareful();
        _congestion.OnTimeout(now, _sendNext - _send.Start, _backoff > 0);
        _backoff++;
        _needless.BeginTimeout(_sent[_sent.First].Start);
        _recovery = Recovery.Timeout;
        _recoveryPoint = _sendNext;
        _tailProbePending = false;
        _loss.DetectOnTimeout(now);
        _reported.Clear();
        _timeoutPending = true;
        _timers.Cancel(TimerKind.Reorder);
        _timers[TimerKind.Retransmit] = NextTimeout(now);
    }

    /// <summary>
    /// The path to the peer changed. What was learnt about the old one is forgotten, the window starts small again, and what
    /// waits for a timeout is sent at once.
    /// </summary>
    internal void OnPathChanged(Instant now)
    {
        if (!IsOpen)
        {
            return;
        }
        _needless.End();
        _rtt.Reset();
        _loss.Reset();
        _congestion.Reset();
        if (HasOutstanding && _backoff > 0)
        {
            _backoff = 0;
            _loss.DetectOnTimeout(now);
            _timeoutPending = true;
        }
        ArmRetransmit(now);
    }
}
