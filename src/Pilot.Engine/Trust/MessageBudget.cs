namespace Pilot.Engine.Trust;

/// <summary>Counts direct trust messages per peer (spec 05 rule B7). A full table forgets the peer it met first.</summary>
internal sealed class MessageBudget(int perPeriod, TimeSpan period, int capacity)
{
    private readonly Dictionary<uint, Bucket> _buckets = [];
    private readonly Queue<uint> _order = new();

    public int Count => _buckets.Count;

    public bool TryTake(Instant now, uint nodeId)
    {
        if (!_buckets.TryGetValue(nodeId, out Bucket bucket))
        {
            bucket = new Bucket(perPeriod, now);
            _order.Enqueue(nodeId);
            if (_order.Count > capacity)
            {
                _buckets.Remove(_order.Dequeue());
            }
        }

        double refill = (now - bucket.FilledAt) / period * perPeriod;
        double tokens = Math.Min(perPeriod, bucket.Tokens + Math.Max(0, refill));
        bool allowed = tokens >= 1;
        _buckets[nodeId] = new Bucket(allowed ? tokens - 1 : tokens, now);
        return allowed;
    }

    private readonly record struct Bucket(double Tokens, Instant FilledAt);
}
