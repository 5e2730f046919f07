using System.Runtime.InteropServices;

namespace Pilot.Rendezvous.Registry;

/// <summary>
/// Token buckets by key: capacity = rate, refilled continuously, in exact integer arithmetic (spec 03 section 8). A bounded number of buckets:
/// when the table is full, those not used since it was last full are forgotten, which gives a stranger back his full bucket but nobody less than his due.
/// </summary>
internal sealed class RateLimiter(int rate, TimeSpan window, int capacity)
{
    private readonly long _rate = Math.Min(rate, long.MaxValue / 4 / window.Ticks); // credit is counted in rate times ticks
    private Dictionary<UInt128, Bucket> _current = [];
    private Dictionary<UInt128, Bucket> _previous = [];

    public int Count => _current.Count + _previous.Count;

    /// <summary>Takes a token. False when there is none; the time until the next one is then told.</summary>
    public bool TryTake(DateTimeOffset now, UInt128 key, out TimeSpan retryAfter) => TryTake(now, key, 1, out retryAfter);

    /// <summary>Takes several tokens or none.</summary>
    public bool TryTake(DateTimeOffset now, UInt128 key, long tokens, out TimeSpan retryAfter)
    {
        retryAfter = TimeSpan.Zero;
        if (_rate <= 0)
        {
            return true;
        }

        ref Bucket bucket = ref Find(now, key);
        Credit(ref bucket, now);
        long cost = tokens * window.Ticks;
        if (bucket.Credit >= cost)
        {
            bucket.Credit -= cost;
            return true;
        }

        retryAfter = TimeSpan.FromTicks((cost - bucket.Credit + _rate - 1) / _rate);
        return false;
    }

    /// <summary>True when a token is there; takes none.</summary>
    public bool HasToken(DateTimeOffset now, UInt128 key)
    {
        if (_rate <= 0 || !TryFind(key, out Bucket bucket))
        {
            return true;
        }

        Credit(ref bucket, now);
        return bucket.Credit >= window.Ticks;
    }

    /// <summary>Forgets buckets whose last attempt is more than two windows old.</summary>
    public void Sweep(DateTimeOffset now)
    {
        Sweep(_current, now);
        Sweep(_previous, now);
    }

    private void Sweep(Dictionary<UInt128, Bucket> buckets, DateTimeOffset now)
    {
        foreach ((UInt128 key, Bucket bucket) in buckets)
        {
            if (now - bucket.Last > 2 * window)
            {
                buckets.Remove(key);
            }
        }
    }

    private bool TryFind(UInt128 key, out Bucket bucket) => _current.TryGetValue(key, out bucket) || _previous.TryGetValue(key, out bucket);

    private ref Bucket Find(DateTimeOffset now, UInt128 key)
    {
        ref Bucket found = ref CollectionsMarshal.GetValueRefOrNullRef(_current, key);
        if (!System.Runtime.CompilerServices.Unsafe.IsNullRef(ref found))
        {
            return ref found;
        }

        if (_current.Count >= Math.Max(1, capacity / 2))
        {
            _previous = _current;
            _current = [];
        }

        if (!_previous.Remove(key, out Bucket bucket))
        {
            bucket = new Bucket { Credit = _rate * window.Ticks, Last = now };
        }

        found = ref CollectionsMarshal.GetValueRefOrAddDefault(_current, key, out _)!;
        found = bucket;
        return ref found;
    }

    // One token is worth window.Ticks; a tick of time is worth the rate.
    private void Credit(ref Bucket bucket, DateTimeOffset now)
    {
        long elapsed = Math.Clamp((now - bucket.Last).Ticks, 0, window.Ticks);
        bucket.Credit = Math.Min(bucket.Credit + (elapsed * _rate), _rate * window.Ticks);
        if (now > bucket.Last)
        {
            bucket.Last = now;
        }
    }

    private struct Bucket
    {
        public long Credit;
        public DateTimeOffset Last;
    }
}
