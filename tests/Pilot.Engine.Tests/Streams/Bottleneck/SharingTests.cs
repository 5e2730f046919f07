using Pilot.Engine.Streams;

namespace Pilot.Engine.Tests.Streams.Bottleneck;

/// <summary>Flows beside each other: two of ours, and one of ours beside TCP with CUBIC.</summary>
public sealed class SharingTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Rest = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData(100, 20, 0)]
    [InlineData(100, 20, 1)]
    [InlineData(25, 40, 0)]
    [InlineData(25, 40, 1)]
    [InlineData(10, 100, 2)]
    public void Two_equal_flows_share_equally_after_ten_round_trips(int megabits, int milliseconds, double products)
    {
        for (int seed = 1; seed <= 2; seed++)
        {
            LinkModel link = Link(megabits, milliseconds, products);
            Network network = new(link, seed);
            PilotFlow a = new(ConnectionOptions.Default, Rung.Segment, seed, Network.Start);
            PilotFlow b = new(ConnectionOptions.Default, Rung.Segment, seed + 1000, Network.Start);
            double share = Share(network, a, b, 10 * link.RoundTrip, 300 * link.RoundTrip, out double used);
            output.WriteLine($"seed {seed}: {share:F1} %, link used to {used:F1} %");
            Assert.True(share is >= 40 and <= 60, $"seed {seed}: {share:F1} %");
            Assert.True(used >= 85, $"seed {seed}: link used to {used:F1} %");
        }
    }

    // Seeds with which one flow kept more than four fifths before flows gave way to each other: losses in a full short queue are no fair judge.
    [Theory]
    [InlineData(18)]
    [InlineData(20)]
    [InlineData(30)]
    public void No_flow_is_held_down_in_a_short_queue(int seed)
    {
        LinkModel link = Link(100, 20, 0);
        Network network = new(link, seed) { LinkStep = TimeSpan.FromMicroseconds(200) };
        PilotFlow a = new(ConnectionOptions.Default, 1400, seed, Network.Start);
        PilotFlow b = new(ConnectionOptions.Default, 1400, seed + 1000, Network.Start);
        double share = Share(network, a, b, 10 * link.RoundTrip, 300 * link.RoundTrip, out double used);
        output.WriteLine($"{share:F1} %, link used to {used:F1} %");
        Assert.True(share is >= 25 and <= 75, $"{share:F1} %");
        Assert.True(used >= 85, $"link used to {used:F1} %");
    }

    [Theory]
    [InlineData(100, 20, 1)]
    [InlineData(25, 40, 0)]
    [InlineData(25, 40, 1)]
    [InlineData(25, 40, 4)]
    public void A_late_flow_catches_up(int megabits, int milliseconds, double products)
    {
        LinkModel link = Link(megabits, milliseconds, products);
        Network network = new(link, 1);
        PilotFlow a = new(ConnectionOptions.Default, Rung.Segment, 1, Network.Start);
        PilotFlow b = new(ConnectionOptions.Default, Rung.Segment, 1001, Network.Start + TimeSpan.FromSeconds(2));
        double share = Share(network, a, b, TimeSpan.FromSeconds(2) + 300 * link.RoundTrip, 300 * link.RoundTrip, out double used);
        output.WriteLine($"{share:F1} %, link used to {used:F1} %");
        Assert.True(share is >= 33 and <= 67, $"{share:F1} %");
        Assert.True(used >= 80, $"link used to {used:F1} %");
    }

    // a deep queue: one to four products; below, CUBIC itself empties it when it steps back
    [Theory]
    [InlineData(50, 40, 1, true)]
    [InlineData(50, 40, 1, false)]
    [InlineData(50, 40, 2, true)]
    [InlineData(50, 40, 2, false)]
    [InlineData(50, 40, 4, true)]
    [InlineData(50, 40, 4, false)]
    [InlineData(20, 80, 2, true)]
    [InlineData(20, 80, 2, false)]
    public void Beside_cubic_it_takes_between_a_third_and_two_thirds(int megabits, int milliseconds, double products, bool isFirst)
    {
        LinkModel link = Link(megabits, milliseconds, products);
        Network network = new(link, 1);
        Instant later = Network.Start + TimeSpan.FromSeconds(5);
        PilotFlow ours = new(ConnectionOptions.Default, Rung.Segment, 1, isFirst ? Network.Start : later);
        CubicCompetitor cubic = new(isFirst ? later : Network.Start);
        double share = Share(network, ours, cubic, TimeSpan.FromSeconds(15), 2 * Rest, out double used);
        output.WriteLine($"{share:F1} %, link used to {used:F1} %");
        Assert.True(share is >= 33.3 and <= 66.7, $"{share:F1} %");
        Assert.True(used >= 85, $"link used to {used:F1} %");
    }

    [Fact]
    public void When_cubic_leaves_the_rate_is_taken_and_the_queue_emptied()
    {
        LinkModel link = Link(50, 40, 2);
        Network network = new(link, 1);
        PilotFlow ours = new(ConnectionOptions.Default, Rung.Segment, 1, Network.Start);
        CubicCompetitor cubic = new(Network.Start + TimeSpan.FromSeconds(2)) { End = Network.Start + TimeSpan.FromSeconds(20) };
        double share = Share(network, ours, cubic, TimeSpan.FromSeconds(40), TimeSpan.FromSeconds(5), out double used);
        Assert.Equal(100, share);
        Assert.True(used >= 85, $"link used to {used:F1} %");
        Assert.True(ours.Connection.GetStatus().SmoothedRtt < 1.5 * link.RoundTrip, ours.Connection.GetStatus().ToString());
    }

    private static LinkModel Link(int megabits, int milliseconds, double products)
    {
        LinkModel link = new()
        {
            BitsPerSecond = megabits * 1_000_000L, RoundTrip = TimeSpan.FromMilliseconds(milliseconds), QueuePackets = 25,
        };
        return products > 0 ? link with { QueuePackets = link.DeepQueue(products, Rung.WireSize) } : link;
    }

    // After a time to settle, over a span.
    private static double Share(Network network, IFlow a, IFlow b, TimeSpan settle, TimeSpan span, out double used)
    {
        network.Add(a);
        network.Add(b);
        network.Run(settle);
        long ofA = a.Delivered;
        long ofB = b.Delivered;
        network.Run(span);
        ofA = a.Delivered - ofA;
        ofB = b.Delivered - ofB;
        used = 100 * (ofA + ofB) * 8 / span.TotalSeconds / network.Forward.Model.BitsPerSecond;
        return 100.0 * ofA / (ofA + ofB);
    }
}
