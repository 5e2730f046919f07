namespace Pilot.Engine.Streams;

/// <summary>
/// Loss detection by time (RACK, RFC 8985 section 6): a segment is lost when one sent later has been delivered and the
/// reordering window has passed. Selective and cumulative acknowledgements feed it alike.
/// </summary>
internal sealed class LossDetector
{
    private const int MaxWindowSteps = 16;      // quarters of the minimum round trip; RFC 8985 section 6.2 step 4 (capped by the smoothed round trip)
    private const int StepsKeptForRecoveries = 16; // RFC 8985 section 6.2 step 4

    private readonly SentSegments _segments;
    private readonly RttEstimator _rtt;
    private Instant _sentAt = new(long.MinValue); // of the most recently sent segment that was delivered
    private long _end;
    private long _forward;                        // highest delivered offset
    private TimeSpan _roundTrip;
    private bool _reorderingSeen;
    private int _steps = 1;
    private int _keep;

    public LossDetector(SentSegments segments, RttEstimator rtt)
    {
        _segments = segments;
        _rtt = rtt;
    }

    /// <summary>Notes that a segment arrived at the peer, by whichever report.</summary>
    /// <returns>False if the report must be about an earlier transmission than the last one: that one was needless.</returns>
    public bool OnDelivered(Instant now, in SegmentRecord segment)
    {
        TimeSpan roundTrip = now - segment.SentAt;
        bool repeated = segment.Transmissions > 1;
        if (segment.End > _forward)
        {
            _forward = segment.End;
        }
        else if (!repeated && segment.End < _forward)
        {
            _reorderingSeen = true;
        }
        if (repeated && roundTrip < _rtt.Minimum)
        {
            _steps = Math.Min(MaxWindowSteps, _steps + 1);
            _keep = StepsKeptForRecoveries;
            return false;
        }
        _roundTrip = roundTrip;
        if (segment.SentAt > _sentAt || (segment.SentAt == _sentAt && segment.End > _end))
        {
            _sentAt = segment.SentAt;
            _end = segment.End;
        }
        return true;
    }

    /// <summary>Deems segments lost. <paramref name="recheck"/> is the time at which more may be, or Never.</summary>
    /// <returns>The number of segments newly deemed lost.</returns>
    public int Detect(Instant now, bool inRecovery, out Instant recheck)
    {
        recheck = Instant.Never;
        int lost = 0;
        TimeSpan wait = _roundTrip + ReorderingWindow(inRecovery);
        for (long number = _segments.Earliest; number >= 0;)
        {
            ref SegmentRecord segment = ref _segments[number];
            if (segment.SentAt > _sentAt)
            {
                break;
            }
            long later = segment.Later;
            if (segment.SentAt < _sentAt || segment.End < _end)
            {
                Instant due = segment.SentAt + wait;
                if (due > now)
                {
                    recheck = due;
                    break;
                }
                _segments.MarkLost(number);
                lost++;
            }
            number = later;
        }
        return lost;
    }

    /// <summary>After a retransmission timeout: the first segment and all that are older than a round trip are lost (RFC 8985 section 6.3).</summary>
    public void DetectOnTimeout(Instant now)
    {
        if (_segments.Count == 0)
        {
            return;
        }
        TimeSpan wait = (_roundTrip > TimeSpan.Zero ? _roundTrip : _rtt.Rto) + ReorderingWindow(inRecovery: true);
        for (long number = _segments.Earliest; number >= 0;)
        {
            ref SegmentRecord segment = ref _segments[number];
            if (segment.SentAt + wait > now)
            {
                break;
            }
            long later = segment.Later;
            _segments.MarkLost(number);
            number = later;
        }
        if (_segments[_segments.First].Sacked)
        {
            _segments.ForgetSacked();
        }
        _segments.MarkLost(_segments.First);
    }

    /// <summary>A recovery ended: the widened window is kept for some of them.</summary>
    public void OnRecoveryEnd()
    {
        if (_keep > 0 && --_keep == 0)
        {
            _steps = 1;
        }
    }

    /// <summary>Forgets what was learnt about another path.</summary>
    public void Reset()
    {
        _roundTrip = TimeSpan.Zero;
        _reorderingSeen = false;
        _steps = 1;
    }

    private TimeSpan ReorderingWindow(bool inRecovery)
    {
        if (!_reorderingSeen && (inRecovery || _segments.SackedCount >= StreamConstants.DuplicateThreshold))
        {
            return TimeSpan.Zero;
        }
        return new TimeSpan(Math.Min(_steps * _rtt.Minimum.Ticks / 4, _rtt.Smoothed.Ticks));
    }
}
