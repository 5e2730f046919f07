using System.Globalization;

namespace Pilot.Benchmarks.Link;

/// <summary>One link, the same in both directions.</summary>
internal sealed record LinkParameters
{
    /// <summary>IP packet bytes are sent at this rate; 0 = as fast as they come.</summary>
    public double BitsPerSecond { get; init; }

    /// <summary>Propagation delay of one direction: half of the round trip.</summary>
    public TimeSpan Delay { get; init; }

    /// <summary>Each packet is late by up to this much more, evenly distributed; the order stays.</summary>
    public TimeSpan Jitter { get; init; }

    /// <summary>Share of packets lost on the wire, after the queue: 0 to 1.</summary>
    public double Loss { get; init; }

    /// <summary>Mean length of a loss burst in packets (Gilbert-Elliott; 1 = independent losses).</summary>
    public double Burst { get; init; } = 1;

    /// <summary>Packets that wait for the wire; what comes to a full queue is dropped.</summary>
    public int QueuePackets { get; init; } = 1000;

    /// <summary>Share of packets that are late by <see cref="ReorderDelay"/> and so overtaken: 0 to 1.</summary>
    public double Reorder { get; init; }

    public TimeSpan ReorderDelay { get; init; } = TimeSpan.FromMilliseconds(5);

    /// <summary>Largest IP packet in bytes; larger ones are dropped.</summary>
    public int Mtu { get; init; } = 1500;

    public int Seed { get; init; } = 1;

    /// <summary>Packets that fill the link for one round trip, of full size.</summary>
    public double BandwidthDelayPackets => BitsPerSecond / 8 * (Delay * 2).TotalSeconds / Mtu;

    /// <summary>Reads <c>key=value</c> words: rate (Mb/s), rtt, jitter, reorder-delay (ms), loss, reorder (percent), burst, queue, mtu, seed.</summary>
    public static LinkParameters Parse(IEnumerable<string> words)
    {
        var result = new LinkParameters();
        foreach (var word in words)
        {
            var equals = word.IndexOf('=', StringComparison.Ordinal);
            if (equals < 0 || !double.TryParse(word.AsSpan(equals + 1), NumberStyles.Float, CultureInfo.InvariantCulture, out var value) || value < 0)
            {
                throw new BenchmarkException($"not a link parameter: {word}");
            }

            result = word[..equals] switch
            {
                "rate" => result with { BitsPerSecond = value * 1e6 },
                "rtt" => result with { Delay = TimeSpan.FromMilliseconds(value / 2) },
                "jitter" => result with { Jitter = TimeSpan.FromMilliseconds(value) },
                "loss" => result with { Loss = value / 100 },
                "burst" => result with { Burst = Math.Max(1, value) },
                "queue" => result with { QueuePackets = (int)value },
                "reorder" => result with { Reorder = value / 100 },
                "reorder-delay" => result with { ReorderDelay = TimeSpan.FromMilliseconds(value) },
                "mtu" => result with { Mtu = (int)value },
                "seed" => result with { Seed = (int)value },
                _ => throw new BenchmarkException($"unknown link parameter: {word}"),
            };
        }

        return result;
    }

    /// <summary>The words that <see cref="Parse"/> reads.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"rate={BitsPerSecond / 1e6} rtt={Delay.TotalMilliseconds * 2} jitter={Jitter.TotalMilliseconds} loss={Loss * 100} burst={Burst} queue={QueuePackets} reorder={Reorder * 100} reorder-delay={ReorderDelay.TotalMilliseconds} mtu={Mtu} seed={Seed}");
}
