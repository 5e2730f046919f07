using Pilot.Engine.Streams;

namespace Pilot.Engine.Tests.Streams;

/// <summary>Bulk data to the reference double: its window, its store and its socket are respected, and it goes well all the same.</summary>
public sealed class ReferenceThroughputTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(0, 80, 2)]
    [InlineData(0.005, 22, 5)]
    [InlineData(0.02, 15, 5)]
    public void Bulk_to_a_reference_over_a_hundred_milliseconds(double loss, int leastPercent, int mostPercentAgain)
    {
        Link link = new() { Latency = TimeSpan.FromMilliseconds(50), Loss = loss, Bandwidth = 4_000_000, Queue = 128 << 10 };
        (ConnectionPair pair, ReferencePeer reference) = ConnectionPair.WithReference(link: link, seed: 3);
        pair.IsRecording = false;
        Connection connection = pair.LeftConnection;
        long delivered = 0;
        reference.OnRead = data => delivered += data.Length;
        int burst = 0;
        int largestBurst = 0;
        int mostInFlight = 0;
        Instant last = default;
        pair.Drop = packet =>
        {
            if (packet.FromLeft && packet.Payload.Length > 1)
            {
                burst = packet.At == last ? burst + 1 : 1;
                last = packet.At;
                largestBurst = Math.Max(largestBurst, burst);
                mostInFlight = Math.Max(mostInFlight, connection.GetStatus().UnacknowledgedSegments);
            }
            return false;
        };
        pair.RunUntil(() => connection.State == ConnectionState.Established && reference.IsEstablished);
        byte[] data = new byte[64 << 10];
        Instant end = pair.Now + TimeSpan.FromSeconds(20);
        while (pair.Now < end)
        {
            while (connection.Write(pair.Now, data) == data.Length)
            {
            }
            pair.Run(TimeSpan.FromMilliseconds(5));
        }
        ConnectionStatus status = connection.GetStatus();
        double percent = 100.0 * delivered / (4_000_000 * 20.0);
        double again = 100.0 * status.Retransmissions / status.SegmentsSent;
        output.WriteLine($"{percent:F1} %, {again:F1} % again, {mostInFlight} in flight, bursts of {largestBurst}");
        Assert.Equal(ConnectionState.Established, connection.State);
        Assert.True(mostInFlight <= 512);
        Assert.True(largestBurst <= StreamConstants.ReferenceBurstSegments + 1, $"bursts of {largestBurst}");
        Assert.True(percent >= leastPercent, $"{percent:F1} %");
        Assert.True(again <= mostPercentAgain, $"{again:F1} % again");
    }
}
