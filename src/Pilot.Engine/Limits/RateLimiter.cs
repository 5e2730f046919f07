namespace Pilot.Engine.Limits;

/// <summary>
/// Token buckets by key with a cap on the number of keys. When the table is full, buckets that are full again are
/// forgotten first, then the oldest: a flood of keys cannot lock out new ones, it only loses its own history.
/// </summary>
internal sealed class RateLimiter<TKey>(double ratePerSecond, double burst, int capacity)
    where TKey : notnull
{
    private readonly Dictionary<TKey, TokenBucket> _buckets = [];
    private readonly Queue<TKey> _order = new();

    public int Count => _buckets.Count;

    public bool TryTake(Instant now, TKey key)
    {
        ref TokenBucket bucket = ref System.Runtime.InteropServices.CollectionsMarshal.GetValueRefOrAddDefault(_buckets, key, out bool exists);
        if (!exists)
        {
            bucket = new TokenBucket(ratePerSecond, burst);
            bool allowed = bucket.TryTake(now);
            _order.Enqueue(key);
            Shrink();
            return allowed;
        }

        return bucket.TryTake(now);
    }

    /// <summary>Forgets buckets that are full again; called from time to time.</summary>
    public void Sweep(Instant now)
    {
        for (int i = _order.Count; i > 0; i--)
        {
            TKey key = _order.Dequeue();
            if (_buckets.TryGetValue(key, out TokenBucket bucket) && !bucket.IsFull(now))
            {
                _order.Enqueue(key);
            }
            else
            {
                _buckets.Remove(key);
            }
        }
    }

    private void Shrink()
    {
        while (_buckets.Count > capacity && _order.TryDequeue(out TKey? oldest))
        {
            _buckets.Remove(oldest);
        }
    }
}
