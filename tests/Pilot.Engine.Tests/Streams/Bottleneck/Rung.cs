using Pilot.Engine.Streams;

namespace Pilot.Engine.Tests.Streams.Bottleneck;

/// <summary>A rung of the ladder of links, and what is asked on it.</summary>
/// <param name="Megabits">Rate on the wire, Mb/s; all headers count.</param>
/// <param name="Milliseconds">Round trip.</param>
/// <param name="LossPercent">Loss in each direction.</param>
/// <param name="RequiredPercent">Goodput: payload bytes that arrived in order, as a part of the rate on the wire.</param>
/// <param name="Seconds">Length of the measured window; long for slow links, short for fast ones, whose packets cost time.</param>
public sealed record Rung(double Megabits, int Milliseconds, double LossPercent, int RequiredPercent, double Seconds)
{
    /// <summary>Payload of a segment: what every path carries.</summary>
    public const int Segment = StreamConstants.InitialSegmentPayload;

    /// <summary>Bytes on the wire of a full segment: header 34, tunnel 36, UDP and IPv4 28.</summary>
    public const int WireSize = Segment + 34 + PilotFlow.FrameOverhead;

    public static readonly Rung[] Ladder =
    [
        new(100, 16, 0.1, 85, 3),
        new(25, 40, 1, 85, 10),
        new(8, 90, 2, 85, 30),
        new(3, 200, 3, 60, 60),
        new(1.5, 300, 5, 60, 60),
        new(0.8, 450, 8, 60, 90),
        new(25, 600, 1.5, 85, 30),
        new(1000, 100, 0, 85, 2.5),
        new(1000, 100, 0.01, 85, 2.5),
        new(100, 100, 1, 85, 6),
    ];

    /// <summary>The link, with a queue of 25 packets or of one bandwidth-delay product.</summary>
    internal LinkModel Link(bool isDeep)
    {
        LinkModel link = new()
        {
            BitsPerSecond = (long)(Megabits * 1e6),
            RoundTrip = TimeSpan.FromMilliseconds(Milliseconds),
            Loss = LossPercent / 100,
            QueuePackets = 25,
        };
        return isDeep ? link with { QueuePackets = link.DeepQueue(1, WireSize) } : link;
    }

    /// <summary>Lets one flow run and tells its goodput in the window behind the first 25 round trips, and from the dial on.</summary>
    internal RungResult Run(bool isDeep, ConnectionOptions options, int seed)
    {
        LinkModel link = Link(isDeep);
        Network network = new(link, seed);
        PilotFlow flow = new(options, Segment, seed, Network.Start);
        network.Add(flow);
        network.Run(25 * link.RoundTrip);
        long before = flow.Delivered;
        network.Run(TimeSpan.FromSeconds(Seconds));
        double rate = link.BitsPerSecond / 8.0;
        return new RungResult(
            100 * (flow.Delivered - before) / (rate * Seconds), 100 * flow.Delivered / (rate * network.Elapsed.TotalSeconds),
            flow.Connection.GetStatus(), network.Forward);
    }
}

/// <param name="Percent">Goodput in the window, per cent of the rate on the wire.</param>
/// <param name="FromDialPercent">Goodput from the dial on.</param>
/// <param name="Status">The sender at the end.</param>
/// <param name="Link">What happened on the way.</param>
internal sealed record RungResult(double Percent, double FromDialPercent, ConnectionStatus Status, LinkDirection Link)
{
    public override string ToString() =>
        $"{Percent:F1} % ({FromDialPercent:F1} % from the dial), {Status.SegmentsSent} segments, {Status.Retransmissions} again, "
        + $"{Link.Losses} lost, {Link.Overflows} dropped at the queue of at most {Link.LongestQueue}";
}
