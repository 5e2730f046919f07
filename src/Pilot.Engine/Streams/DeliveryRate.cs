namespace Pilot.Engine.Streams;

/// <summary>How fast the path delivered between the sending and the acknowledgement of one segment.</summary>
/// <param name="BytesPerSecond">Rate; zero if the acknowledgement told none.</param>
/// <param name="PriorDelivered">Bytes that had been delivered when the segment was sent; negative if nothing was delivered.</param>
/// <param name="Delivered">Bytes delivered by now.</param>
/// <param name="IsAppLimited">There was less to send than the path would have taken, so the rate says little about the path.</param>
internal readonly record struct RateSample(long BytesPerSecond, long PriorDelivered, long Delivered, bool IsAppLimited);

/// <summary>
/// Delivery rate estimation (draft-cheng-iccrg-delivery-rate-estimation): each segment takes along how much had been delivered
/// when it left; its acknowledgement gives bytes over time, and the slower of the sending and the acknowledging side counts.
/// </summary>
internal struct DeliveryRate
{
    private Instant _deliveredAt;
    private Instant _firstSentAt;      // sending time of the segment that began the present interval
    private long _appLimitedUntil;     // samples of segments sent before this much was delivered are limited by the application; 0 for none
    private Snapshot _newest;          // of the segment sent last among those of this acknowledgement
    private bool _hasNewest;

    /// <summary>What a segment takes along.</summary>
    internal struct Snapshot
    {
        public long Delivered;
        public Instant DeliveredAt, FirstSentAt, SentAt;
        public bool IsAppLimited;
    }

    /// <summary>Bytes delivered in the whole, each transmission at most once.</summary>
    public long Delivered { get; private set; }

    /// <summary>A segment leaves. <paramref name="wasEmpty"/>: nothing else is in flight.</summary>
    public void OnSent(Instant now, ref SegmentRecord segment, bool wasEmpty)
    {
        if (wasEmpty)
        {
            _firstSentAt = _deliveredAt = now;
        }
        segment.Rate = new Snapshot
        {
            Delivered = Delivered,
            DeliveredAt = _deliveredAt,
            FirstSentAt = _firstSentAt,
            SentAt = now,
            IsAppLimited = _appLimitedUntil != 0,
        };
    }

    /// <summary>A segment was reported, for the first time.</summary>
    public void OnDelivered(Instant now, in SegmentRecord segment)
    {
        Delivered += segment.Length;
        _deliveredAt = now;
        ref readonly Snapshot snapshot = ref segment.Rate;
        if (!_hasNewest || snapshot.SentAt > _newest.SentAt || (snapshot.SentAt == _newest.SentAt && snapshot.Delivered > _newest.Delivered))
        {
            _newest = snapshot;
            _hasNewest = true;
        }
    }

    /// <summary>There is nothing to send although the window would allow it: what is in flight, and what follows until it is delivered, does not fill the path.</summary>
    public void MarkAppLimited(long inFlight) => _appLimitedUntil = Math.Max(1, Delivered + inFlight);

    /// <summary>The sample of the acknowledgement that was just processed. An interval below the minimum round trip is a burst of acknowledgements, not a rate.</summary>
    public RateSample Take(Instant now, TimeSpan minimumRoundTrip)
    {
        if (_appLimitedUntil != 0 && Delivered > _appLimitedUntil)
        {
            _appLimitedUntil = 0;
        }
        if (!_hasNewest)
        {
            return new RateSample(0, -1, Delivered, false);
        }
        _hasNewest = false;
        _firstSentAt = _newest.SentAt;
        long sending = (_newest.SentAt - _newest.FirstSentAt).Ticks;
        long acknowledging = (now - _newest.DeliveredAt).Ticks;
        long interval = Math.Max(sending, acknowledging);
        long bytes = Delivered - _newest.Delivered;
        long rate = interval <= 0 || interval < minimumRoundTrip.Ticks ? 0 : (long)((double)bytes * TimeSpan.TicksPerSecond / interval);
        return new RateSample(rate, _newest.Delivered, Delivered, _newest.IsAppLimited);
    }
}
