namespace Pilot.Engine.Streams;

/// <summary>
/// Token bucket between the congestion window and the wire: a burst may leave at once, the rest at the pacing rate.
/// The bucket may be overdrawn by one segment, so no segment is too large for it.
/// </summary>
internal struct Pacer
{
    private const long MinimumWait = 250 * TimeSpan.TicksPerMicrosecond; // hosts' timers are not finer; what would have left meanwhile leaves together

    private long _tokens; // bytes
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
        long ticks = (long)((Int128)missing * TimeSpan.TicksPerSecond / Math.Max(1, rate));
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
        long earned = (long)((Int128)rate * ticks / TimeSpan.TicksPerSecond);
        if (earned > 0)
        {
            _tokens = Math.Min(burst, _tokens + earned);
            _at = now;
        }
    }
}
