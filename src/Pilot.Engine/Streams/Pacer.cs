namespace Pilot.Engine.Streams;

/// <summary>
/// Token bucket between the congestion window and the wire: a burst may leave at once, the rest at the pacing rate.
/// The bucket may be overdrawn by one segment, so no segment is too large for it.
/// </summary>
internal struct Pacer
{
    /// <summary>Largest rate, bytes per second; higher ones are not distinguished. Keeps products with times below 2^63.</summary>
    public const long MaxRate = 100_000_000_000;

    /// <summary>A burst is what the rate gives in one of this many parts of a second: 150 µs, one and a half times the precision of the hosts' timers.</summary>
    public const int BurstsPerSecond = 6666;

    private const long MinimumWait = 100 * TimeSpan.TicksPerMicrosecond; // hosts' timers are not finer; what would have left meanwhile leaves together

    private long _tokens; // bytes
    private long _fraction; // of a byte, in units of 1/TicksPerSecond: calls may come more often than bytes are earned
    private Instant _at;
    private bool _started;

    /// <summary>Something may leave now.</summary>
    public bool CanSend(Instant now, long rate, long burst)
    {
        Refill(now, rate, burst);
        return _tokens > 0;
    }

    /// <summary>Takes the bytes that left.</summary>
    public void OnSent(int bytes) => _tokens -= bytes;

    /// <summary>When the next segment may leave, given that none may now.</summary>
    public readonly Instant NextRelease(Instant now, long rate, int segment)
    {
        long missing = Math.Max(1, segment - _tokens);
        long ticks = missing * TimeSpan.TicksPerSecond / Math.Clamp(rate, 1, MaxRate);
        return now + new TimeSpan(Math.Max(MinimumWait, ticks));
    }

    private void Refill(Instant now, long rate, long burst)
    {
        if (!_started)
        {
            _started = true;
            _tokens = burst;
            _at = now;
            return;
        }
        long ticks = (now - _at).Ticks;
        if (ticks <= 0)
        {
            return;
        }
        if (ticks >= TimeSpan.TicksPerSecond)
        {
            _tokens = burst;
            _at = now;
            return;
        }
        long product = (Math.Clamp(rate, 1, MaxRate) * ticks) + _fraction;
        long earned = product / TimeSpan.TicksPerSecond;
        _fraction = product - (earned * TimeSpan.TicksPerSecond);
        _tokens = Math.Min(burst, _tokens + earned);
        _at = now;
    }
}
