using Pilot.Protocol;
using Pilot.Rendezvous.Beacon;

namespace Pilot.Rendezvous.Tests.Beacon;

/// <summary>What waits under overload: turns by pair, losses where most waits.</summary>
public sealed class RelayQueueTests
{
    private static readonly UdpEndpoint To = UdpEndpoint.FromIPv4(0x7F000001, 9);
    private readonly Dictionary<uint, int> _dropped = [];

    [Fact]
    public void A_thousand_pairs_share_what_can_be_sent()
    {
        var queue = new RelayQueue(1_000_000);
        byte[] frame = new byte[1000];
        var sent = new Dictionary<uint, int>();
        // Pair 1 offers a hundred times what each other one does; three times as much as can be sent comes in all.
        for (int round = 0; round < 30; round++)
        {
            for (uint sender = 1; sender <= 1000; sender++)
            {
                for (int i = 0; i < (sender == 1 ? 100 : 1); i++)
                {
                    queue.Enqueue(sender, To, sender, frame, 1000, Drop);
                }
            }

            for (int i = 0; i < 1000 && queue.TryDequeue(out RelayItem item); i++)
            {
                sent[item.Sender] = sent.GetValueOrDefault(item.Sender) + 1;
                RelayQueue.Return(item);
            }
        }

        Assert.True(queue.Bytes <= 1_000_000);
        int[] others = [.. sent.Where(s => s.Key != 1).Select(s => s.Value)];
        Assert.Equal(999, others.Length);
        Assert.True(others.Min() >= 24, $"least {others.Min()}");
        Assert.True(sent[1] <= 3 * others.Max(), $"the greedy pair {sent[1]}, others at most {others.Max()}");
        Assert.True(_dropped[1] > 2000);
        Assert.True(_dropped.Where(d => d.Key != 1).Sum(d => d.Value) < 3000, "the modest pay for the greedy one");
    }

    [Fact]
    public void Order_inside_a_pair_is_kept_and_nothing_is_lost_below_the_limit()
    {
        var queue = new RelayQueue(1_000_000);
        for (int i = 0; i < 200; i++)
        {
            queue.Enqueue((ulong)(i % 3), To, (uint)(i % 3), [(byte)i], 1, Drop);
        }

        var last = new Dictionary<uint, int>();
        int count = 0;
        while (queue.TryDequeue(out RelayItem item))
        {
            Assert.True(last.GetValueOrDefault(item.Sender, -1) < item.Buffer[0]);
            last[item.Sender] = item.Buffer[0];
            count++;
            RelayQueue.Return(item);
        }

        Assert.Equal(200, count);
        Assert.Empty(_dropped);
        Assert.True(queue.IsEmpty);
    }

    [Fact]
    public void What_is_dropped_is_counted_in_datagrams()
    {
        var queue = new RelayQueue(10_000);
        for (int i = 0; i < 3; i++)
        {
            queue.Enqueue(1, To, 7, new byte[5_000], 1_000, Drop);
        }

        Assert.Equal(5, _dropped[7]);
        Assert.Equal(10_000, queue.Bytes);
    }

    private void Drop(uint sender, int datagrams) => _dropped[sender] = _dropped.GetValueOrDefault(sender) + datagrams;
}
