using System.Diagnostics;

namespace Pilot.Benchmarks.Link;

/// <summary>One direction of a link as arithmetic: when does a packet come out, if at all. Times are ticks of the stopwatch.</summary>
internal sealed class LinkShaper
{
    private readonly LinkParameters _parameters;
    private readonly Random _random;
    private readonly GilbertElliott _loss;
    private readonly Queue<long> _leaving = new(); // when each waiting packet will have left the queue
    private readonly double _ticksPerByte;
    private readonly long _delay;
    private readonly double _jitter;
    private readonly long _reorderDelay;
    private long _freeAt; // the wire is busy until then
    private long _lastArrival;

    public LinkShaper(LinkParameters parameters, int direction)
    {
        _parameters = parameters;
        _random = new Random((parameters.Seed * 2) + direction);
        _loss = new GilbertElliott(parameters.Loss, parameters.Burst, _random);
        _ticksPerByte = parameters.BitsPerSecond > 0 ? 8 * Stopwatch.Frequency / parameters.BitsPerSecond : 0;
        _delay = Ticks(parameters.Delay);
        _jitter = Ticks(parameters.Jitter);
        _reorderDelay = Ticks(parameters.ReorderDelay);
    }

    public LinkCounters Counters { get; } = new();

    /// <summary>Takes an IP packet of some bytes at a time; false when it is lost. Times do not go backwards.</summary>
    public bool TryAdmit(long now, int bytes, out long arrival)
    {
        arrival = 0;
        if (bytes > _parameters.Mtu)
        {
            Counters.TooLarge++;
            return false;
        }

        while (_leaving.TryPeek(out var left) && left <= now)
        {
            _leaving.Dequeue();
        }

        if (_ticksPerByte > 0 && _leaving.Count >= _parameters.QueuePackets)
        {
            Counters.QueueDrops++;
            return false;
        }

        _freeAt = Math.Max(now, _freeAt) + (long)(bytes * _ticksPerByte);
        if (_ticksPerByte > 0)
        {
            _leaving.Enqueue(_freeAt);
            Counters.DeepestQueue = Math.Max(Counters.DeepestQueue, _leaving.Count);
        }

        if (_loss.IsLost())
        {
            Counters.Lost++;
            return false;
        }

        arrival = _freeAt + _delay;
        if (_jitter > 0)
        {
            arrival += (long)(_random.NextDouble() * _jitter);
        }

        if (_parameters.Reorder > 0 && _random.NextDouble() < _parameters.Reorder)
        {
            arrival += _reorderDelay;
            Counters.Reordered++;
        }
        else
        {
            arrival = _lastArrival = Math.Max(arrival, _lastArrival);
        }

        Counters.Packets++;
        Counters.Bytes += bytes;
        return true;
    }

    private static long Ticks(TimeSpan time) => (long)(time.TotalSeconds * Stopwatch.Frequency);
}
