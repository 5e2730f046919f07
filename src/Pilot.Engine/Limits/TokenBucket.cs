namespace Pilot.Engine.Limits;

/// <summary>A token bucket with continuous refill. A struct to be embedded in what it limits.</summary>
internal struct TokenBucket(double ratePerSecond, double burst)
{
    private double _tokens = burst;
    private Instant _filledAt;

    /// <summary>Takes one token if there is one.</summary>
    public bool TryTake(Instant now)
    {
        if (now > _filledAt)
        {
            _tokens = Math.Min(burst, _tokens + (now - _filledAt).TotalSeconds * ratePerSecond);
            _filledAt = now;
        }

        if (_tokens < 1)
        {
            return false;
        }

        _tokens -= 1;
        return true;
    }

    /// <summary>Whether the bucket is full again, so that forgetting it changes nothing.</summary>
    public readonly bool IsFull(Instant now) => _tokens + (now - _filledAt).TotalSeconds * ratePerSecond >= burst;
}
