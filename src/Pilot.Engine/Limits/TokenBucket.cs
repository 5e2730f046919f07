namespace Pilot.Engine.Limits;

/// <summary>A token bucket with continuous refill. A struct to be embedded in what it limits.</summary>
internal struct TokenBucket
{
    private readonly double _ratePerSecond;
    private readonly double _burst;
    private double _tokens;
    private Instant _filledAt;

    public TokenBucket(double ratePerSecond, double burst)
    {
        _ratePerSecond = ratePerSecond;
        _burst = burst;
        _tokens = burst;
    }

    /// <summary>Takes one token if there is one.</summary>
    public bool TryTake(Instant now)
    {
        if (now > _filledAt)
        {
            _tokens = Math.Min(_burst, _tokens + (now - _filledAt).TotalSeconds * _ratePerSecond);
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
    public readonly bool IsFull(Instant now) => _tokens + (now - _filledAt).TotalSeconds * _ratePerSecond >= _burst;
}
