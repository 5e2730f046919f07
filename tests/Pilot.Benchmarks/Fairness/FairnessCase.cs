using Pilot.Benchmarks.Link;

namespace Pilot.Benchmarks.Fairness;

/// <summary>A shared bottleneck without random loss.</summary>
/// <param name="Megabits">Rate of IP packet bytes, Mb/s.</param>
/// <param name="Milliseconds">Round trip without queueing.</param>
/// <param name="Products">Queue in bandwidth-delay products; 0 for 25 packets.</param>
/// <param name="Order">Who is first.</param>
internal sealed record FairnessCase(int Megabits, int Milliseconds, int Products, FairnessOrder Order)
{
    private const int LeastDeepQueue = 50;

    /// <summary>Selection over 20 to 100 Mb/s, 20 to 80 ms, and queues of 1, 2 and 4 products, each with either flow first; then two of ours.</summary>
    public static FairnessCase[] All { get; } =
    [
        .. from link in new (int Megabits, int Milliseconds, int Products)[]
           {
               (20, 20, 2), (20, 80, 1), (20, 80, 4), (50, 20, 4), (50, 50, 1), (50, 50, 2), (50, 50, 4), (100, 20, 1), (100, 20, 2), (100, 50, 2), (100, 80, 4),
           }
           from order in new[] { FairnessOrder.OursFirst, FairnessOrder.TcpFirst }
           select new FairnessCase(link.Megabits, link.Milliseconds, link.Products, order),
        new(25, 40, 0, FairnessOrder.TwoOfOurs),
        new(25, 40, 1, FairnessOrder.TwoOfOurs),
        new(100, 20, 0, FairnessOrder.TwoOfOurs),
        new(100, 20, 1, FairnessOrder.TwoOfOurs),
        new(100, 80, 2, FairnessOrder.TwoOfOurs),
    ];

    public string Key => $"{Megabits}m_{Milliseconds}ms_q{Products}_{Order switch { FairnessOrder.OursFirst => "ours_first", FairnessOrder.TcpFirst => "tcp_first", _ => "two_of_ours" }}";

    public TimeSpan RoundTrip => TimeSpan.FromMilliseconds(Milliseconds);

    public LinkParameters Link
    {
        get
        {
            var link = new LinkParameters { BitsPerSecond = Megabits * 1e6, Delay = RoundTrip / 2, QueuePackets = LinkRung.ShallowQueue };
            return Products == 0 ? link : link with { QueuePackets = Math.Max(LeastDeepQueue, (int)(Products * link.BandwidthDelayPackets)) };
        }
    }
}

/// <summary>Which flows, and in which order.</summary>
internal enum FairnessOrder
{
    OursFirst,
    TcpFirst,
    TwoOfOurs,
}
