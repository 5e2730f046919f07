namespace Pilot.Engine.Streams;

/// <summary>
/// What round trips tell about the queue: its highest length of late, and since when it has not been empty. A flow that
/// empties it by itself again and again and never sees it empty is not alone.
/// </summary>
internal struct QueueWatch
{
    private const long WindowLength = 5 * TimeSpan.TicksPerSecond;    // half the memory: some seconds, as the saw teeth of loss-based flows
    private const long Tolerance = TimeSpan.TicksPerMillisecond / 2;  // precision of hosts

    private long _highNow, _highBefore, _lowNow, _lowBefore, _lastRound;
    private Instant _windowSince;

    /// <summary>Last round trip, 100 ns.</summary>
    public long Latest { get; private set; }

    /// <summary>Last time at which the queue was empty or nearly so.</summary>
    public Instant EmptyAt { get; private set; }

    /// <summary>Last time at which it was not empty.</summary>
    public Instant FilledAt { get; private set; }

    /// <summary>Last time at which the queue was not longer than the path, which flows that bound their flight by its product do not exceed together.</summary>
    public Instant BoundedAt { get; private set; }

    /// <summary>The queue is in the upper half of what it was of late.</summary>
    public readonly bool IsLong(long minimum) => Latest - minimum > (High - minimum) / 2 && !IsEmpty(Latest, minimum);

    /// <summary>A round trip tells an empty queue.</summary>
    public static bool IsEmpty(long roundTrip, long minimum) => roundTrip <= minimum + (minimum >> 3) + Tolerance;

    /// <summary>The queue of late reached more than half of the path.</summary>
    public readonly bool IsDeep(long minimum) => High - minimum > minimum / 2;

    /// <summary>
    /// Lowest round trip of late that two rounds in a row had. A host that stalls between reading its clock and its socket makes
    /// single ones too short, by several milliseconds; 0 before the second round.
    /// </summary>
    public readonly long Lowest => _lowBefore == 0 ? _lowNow : Math.Min(_lowNow, _lowBefore);

    private readonly long High => Math.Max(_highNow, _highBefore);

    /// <summary>Takes the lowest round trip of a round: a host that stalls makes single ones long, and would hide how long the queue is for seconds.</summary>
    public void AddRound(Instant now, long lowest)
    {
        long both = Math.Max(lowest, _lastRound);
        if ((now - _windowSince).Ticks > WindowLength)
        {
            (_highBefore, _lowBefore) = (_highNow, _lowNow);
            (_highNow, _lowNow) = (lowest, both);
            _windowSince = now;
        }
        _highNow = Math.Max(_highNow, lowest);
        _lowNow = _lastRound == 0 || _lowNow == 0 ? both : Math.Min(_lowNow, both);
        _lastRound = lowest;
    }

    /// <summary>Takes a sample.</summary>
    public void Add(Instant now, long roundTrip, long minimum)
    {
        Latest = roundTrip;
        if (IsEmpty(roundTrip, minimum))
        {
            EmptyAt = now;
        }
        else
        {
            FilledAt = now;
        }
        if (roundTrip <= (2 * minimum) + Tolerance)
        {
            BoundedAt = now;
        }
    }
}
