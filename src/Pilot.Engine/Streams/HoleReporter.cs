namespace Pilot.Engine.Streams;

/// <summary>
/// Reports of missing data to a reference sender (chapter 02 section 9.4): a SACK for each arrival behind a hole, and once per
/// acknowledgement number three pure ACKs behind it, whose third makes the reference retransmit at once. The three wait until
/// reordering is unlikely: three segments behind the hole, or a short time.
/// </summary>
internal sealed class HoleReporter
{
    private Instant _sackAt = Instant.Never;
    private Instant _agedAt = Instant.Never;
    private Instant _remindAt = Instant.Never;
    private int _arrivals;
    private long _seriesFor = -1;
    private int _duplicatesLeft;

    /// <summary>Pure ACKs that are still to follow the SACK.</summary>
    public bool DuplicateIsDue => _duplicatesLeft > 0;

    /// <summary>A segment arrived behind a hole.</summary>
    public void OnOutOfOrder(Instant now, TimeSpan floor, TimeSpan reorderingDelay, TimeSpan reminder)
    {
        _arrivals++;
        if (_agedAt == Instant.Never)
        {
            _agedAt = now + reorderingDelay;
        }
        _sackAt = Instant.Min(_sackAt, now + floor);
        _remindAt = now + reminder;
    }

    /// <summary>What was reported came again: the report may have been lost.</summary>
    public void OnDuplicate(Instant now, TimeSpan floor) => _sackAt = Instant.Min(_sackAt, now + floor);

    /// <summary>The in-order end moved. <paramref name="holesLeft"/>: there is another hole.</summary>
    public void OnProgress(Instant now, bool holesLeft, TimeSpan floor)
    {
        _duplicatesLeft = 0;
        if (holesLeft)
        {
            _sackAt = Instant.Min(_sackAt, now + floor);
        }
        else
        {
            Clear();
        }
    }

    /// <summary>A SACK is to leave now.</summary>
    public bool SackIsDue(Instant now) => _sackAt <= now;

    /// <summary>Next time at which something changes by itself.</summary>
    public Instant NextCheck(Instant now)
    {
        Instant next = Instant.Min(_agedAt, _remindAt);
        return _sackAt > now ? Instant.Min(next, _sackAt) : next;
    }

    /// <summary>The time of <see cref="NextCheck"/> came.</summary>
    public void OnTimer(Instant now, TimeSpan reminder)
    {
        if (_agedAt <= now)
        {
            _agedAt = Instant.Never;
            _arrivals = Math.Max(_arrivals, StreamConstants.DuplicateThreshold);
            _sackAt = Instant.Min(_sackAt, now);
        }
        if (_remindAt <= now)
        {
            _remindAt = now + reminder;
            _sackAt = Instant.Min(_sackAt, now);
        }
    }

    /// <summary>A SACK with this acknowledgement number left; <paramref name="isInOrderEnd"/>: it names the present hole.</summary>
    public void OnSackSent(long acknowledged, bool isInOrderEnd)
    {
        _sackAt = Instant.Never;
        if (isInOrderEnd && _arrivals >= StreamConstants.DuplicateThreshold && _seriesFor != acknowledged)
        {
            _seriesFor = acknowledged;
            _duplicatesLeft = StreamConstants.RecoveryDuplicates;
        }
    }

    /// <summary>One pure ACK of the series left.</summary>
    public void OnDuplicateSent() => _duplicatesLeft--;

    /// <summary>Nothing is missing any more.</summary>
    public void Clear()
    {
        _sackAt = _agedAt = _remindAt = Instant.Never;
        _arrivals = 0;
        _duplicatesLeft = 0;
    }
}
