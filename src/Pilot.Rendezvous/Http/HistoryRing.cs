namespace Pilot.Rendezvous.Http;

/// <summary>One sample of the network's size.</summary>
/// <param name="Time">Unix seconds.</param>
/// <param name="Online">Nodes online.</param>
/// <param name="Requests">Requests since the start.</param>
/// <param name="TrustLinks">Trust links.</param>
internal readonly record struct HistorySample(long Time, int Online, long Requests, int TrustLinks);

/// <summary>A day of samples, one a minute, in memory.</summary>
internal sealed class HistoryRing
{
    /// <summary>A day.</summary>
    public const int Capacity = 1440;

    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(1);
    private readonly Queue<HistorySample> _samples = new();
    private DateTimeOffset _next;

    /// <summary>Takes a sample when it is time.</summary>
    public void Note(DateTimeOffset now, Func<HistorySample> take)
    {
        lock (_samples)
        {
            if (now < _next)
            {
                return;
            }

            _next = now + Interval;
            if (_samples.Count == Capacity)
            {
                _samples.Dequeue();
            }

            _samples.Enqueue(take());
        }
    }

    public HistorySample[] ToArray()
    {
        lock (_samples)
        {
            return [.. _samples];
        }
    }
}
