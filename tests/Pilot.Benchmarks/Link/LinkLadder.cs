namespace Pilot.Benchmarks.Link;

/// <summary>One rung: a link and what must be reached on it.</summary>
/// <param name="Key">For JSON keys.</param>
/// <param name="MegabitsPerSecond">Rate of IP packet bytes.</param>
/// <param name="RoundTripMilliseconds">Without queueing.</param>
/// <param name="LossPercent">On the wire, each direction.</param>
internal sealed record LinkRung(string Key, double MegabitsPerSecond, double RoundTripMilliseconds, double LossPercent)
{
    /// <summary>Packets of the shallow queue (issue "Streams at the speed of the hardware").</summary>
    public const int ShallowQueue = 25;

    private const int LeastDeepQueue = 50;
    private const double Burst = 2; // mean packets lost in a row

    /// <summary>Share of the rate that must come through as application bytes.</summary>
    public double Target => LossPercent <= 2 ? 0.85 : 0.60;

    /// <summary>With 25 packets of queue.</summary>
    public LinkParameters Shallow => Build(ShallowQueue);

    /// <summary>With two bandwidth-delay products of queue.</summary>
    public LinkParameters Deep => Build(Math.Max(LeastDeepQueue, (int)(2 * Build(0).BandwidthDelayPackets)));

    private LinkParameters Build(int queue) => new()
    {
        BitsPerSecond = MegabitsPerSecond * 1e6,
        Delay = TimeSpan.FromMilliseconds(RoundTripMilliseconds / 2),
        Loss = LossPercent / 100,
        Burst = Burst,
        QueuePackets = queue,
    };
}

/// <summary>The ladder of the issue.</summary>
internal static class LinkLadder
{
    public static readonly LinkRung[] Rungs =
    [
        new("100m_16ms_0p1", 100, 16, 0.1),
        new("25m_40ms_1", 25, 40, 1),
        new("8m_90ms_2", 8, 90, 2),
        new("3m_200ms_3", 3, 200, 3),
        new("1p5m_300ms_5", 1.5, 300, 5),
        new("0p8m_450ms_8", 0.8, 450, 8),
        new("25m_600ms_1p5", 25, 600, 1.5),
        new("1g_100ms_0", 1000, 100, 0),
        new("1g_100ms_0p01", 1000, 100, 0.01),
        new("100m_100ms_1", 100, 100, 1),
    ];
}
