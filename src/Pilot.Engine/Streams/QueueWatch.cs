namespace Pilot.Engine.Streams;

/// <summary>
/// What round trips tell about the queue: its highest length of late, and since when it has not been empty. A flow that
/// empties it by itself again and again and never sees it empty is not alone.
/// </summary>
internal struct QueueWatch
{
    private const long WindowLength = 5 * TimeSpan.TicksPerSecond;    // half the memory: some seconds, as the saw teeth of loss-based flows
    private const long Tolerance = TimeSpan.TicksPerMillisecond / 2;  // precision of hosts

    private long _highNow, _highBefore;
    private Instant _windowSince;

    /// <summary>Last round trip, 100 ns.</summary>
    public long Latest { get; private set; }

    /// <summary>Last time at which the queue was empty or nearly so.</summary>
    public Instant EmptyAt { get; private set; }

    /// <summary>Last time at which the queue was not longer than the path, which flows that bound their flight by its product do not exceed together.</summary>
    public Instant BoundedAt { get; private set; }

    /// <summary>The queue is in the upper half of what it was of late.</summary>
    public readonly bool IsLong(long minimum) => Latest - minimum > (Math.Max(_highNow, _highBefore) - minimum) / 2 && !IsEmpty(Latest, minimum);

    /// <summary>A round trip tells an empty queue.</summary>
    public static bool IsEmpty(long roundTrip, long minimum) => roundTrip <= minimum + (minimum >> 3) + Tolerance;

    /// <summary>Takes a sample.</summary>
    public void Add(Instant now, long roundTrip, long minimum)
    {
        if (Latest == 0 || (now - _windowSince).Ticks > WindowLength)
        {
            _highBefore = Latest == 0 ? roundTrip : _highNow;
            _highNow = roundTrip;
            _windowSince = now;
        }
        Latest = roundTrip;
        _highNow = Math.Max(_highNow, roundTrip);
        if (IsEmpty(roundTrip, minimum))
        {
            EmptyAt = now;
        }
        if (roundTrip <= (2 * minimum) + Tolerance)
        {
            BoundedAt = now;
        }
    }
}
