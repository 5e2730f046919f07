namespace Pilot.Engine.Streams;

/// <summary>
/// Counts round trips by delivery: a round ends when a segment is acknowledged that was sent after the round began. Longer than
/// the minimum round trip when queues are, and so the right clock for decisions about the window.
/// </summary>
internal struct RoundCounter
{
    private long _nextRound;

    /// <summary>Rounds completed.</summary>
    public long Count { get; private set; }

    /// <summary>Takes an acknowledgement; true if it begins a new round.</summary>
    public bool Advance(in RateSample rate)
    {
        if (rate.PriorDelivered < _nextRound)
        {
            return false;
        }
        BeginAt(rate.Delivered);
        Count++;
        return true;
    }

    /// <summary>Lets a round begin now.</summary>
    public void BeginAt(long delivered) => _nextRound = delivered;
}
