namespace Pilot.Engine.Tests.Streams.Bottleneck;

/// <summary>A bottleneck link: the same rate, delay, loss and queue in both directions.</summary>
internal sealed record LinkModel
{
    /// <summary>Rate on the wire, bits per second; every packet counts with its headers.</summary>
    public required long BitsPerSecond { get; init; }

    /// <summary>Round trip without queueing and serialisation.</summary>
    public required TimeSpan RoundTrip { get; init; }

    /// <summary>Part of the packets that are lost behind the bottleneck, independently of each other.</summary>
    public double Loss { get; init; }

    /// <summary>Loss in bursts of this mean length (Gilbert-Elliott, everything lost in the bad state); 0 or 1 for independent loss.</summary>
    public double MeanLossBurst { get; init; }

    /// <summary>Packets that wait at the bottleneck; another one is dropped.</summary>
    public required int QueuePackets { get; init; }

    /// <summary>Largest extra delay of a packet, uniform; packets keep their order.</summary>
    public TimeSpan Jitter { get; init; }

    /// <summary>Part of the packets that are overtaken by those of <see cref="ReorderDelay"/>.</summary>
    public double Reordering { get; init; }

    /// <summary>Extra delay of a reordered packet.</summary>
    public TimeSpan ReorderDelay { get; init; } = TimeSpan.FromMilliseconds(3);

    /// <summary>Bytes on the wire during one round trip.</summary>
    public long BandwidthDelayProduct => (long)(BitsPerSecond / 8.0 * RoundTrip.TotalSeconds);

    /// <summary>A queue of some bandwidth-delay products, in packets of a wire size.</summary>
    public int DeepQueue(double products, int wireSize) => Math.Max(50, (int)(products * BandwidthDelayProduct / wireSize));
}

/// <summary>One direction of the link. Virtual time; the caller hands in packets in order of time.</summary>
internal sealed class LinkDirection(LinkModel model, Random random)
{
    private readonly Queue<long> _departures = new();
    private long _freeAt;
    private long _lastArrival;
    private bool _isBad;

    /// <summary>The link as it is now.</summary>
    public LinkModel Model { get; set; } = model;

    /// <summary>Packets dropped at the full queue.</summary>
    public long Overflows { get; private set; }

    /// <summary>Packets lost behind the bottleneck.</summary>
    public long Losses { get; private set; }

    /// <summary>Bytes that crossed the bottleneck.</summary>
    public long Carried { get; private set; }

    /// <summary>Longest queue seen, packets.</summary>
    public int LongestQueue { get; private set; }

    /// <summary>Puts a packet of <paramref name="wireSize"/> bytes in; false if it never arrives.</summary>
    public bool TryEnter(long now, int wireSize, out long arrival)
    {
        arrival = 0;
        while (_departures.TryPeek(out long departure) && departure <= now)
        {
            _departures.Dequeue();
        }
        if (_departures.Count > Model.QueuePackets) // the first one is being serialised
        {
            Overflows++;
            return false;
        }
        _freeAt = Math.Max(_freeAt, now) + (8L * wireSize * TimeSpan.TicksPerSecond / Model.BitsPerSecond);
        _departures.Enqueue(_freeAt);
        LongestQueue = Math.Max(LongestQueue, _departures.Count);
        Carried += wireSize;
        if (IsLost())
        {
            Losses++;
            return false;
        }
        arrival = _freeAt + (Model.RoundTrip.Ticks / 2);
        if (Model.Jitter > TimeSpan.Zero)
        {
            arrival += (long)(random.NextDouble() * Model.Jitter.Ticks);
            arrival = Math.Max(arrival, _lastArrival);
        }
        if (Model.Reordering > 0 && random.NextDouble() < Model.Reordering)
        {
            arrival += Model.ReorderDelay.Ticks;
        }
        else
        {
            _lastArrival = arrival;
        }
        return true;
    }

    private bool IsLost()
    {
        if (Model.Loss <= 0)
        {
            return false;
        }
        if (Model.MeanLossBurst <= 1)
        {
            return random.NextDouble() < Model.Loss;
        }
        // stationary share of the bad state = loss; mean stay in it = the burst
        double leave = 1 / Model.MeanLossBurst;
        double enter = leave * Model.Loss / (1 - Model.Loss);
        _isBad = random.NextDouble() < (_isBad ? 1 - leave : enter);
        return _isBad;
    }
}
