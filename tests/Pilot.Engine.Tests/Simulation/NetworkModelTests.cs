using Pilot.Protocol;

namespace Pilot.Engine.Tests.Simulation;

/// <summary>The model does what it says, and the same again for the same seed.</summary>
public class NetworkModelTests
{
    [Fact]
    public void Delay_is_the_sum_of_both_links_and_order_is_kept_in_spite_of_jitter()
    {
        var network = new SimNetwork(1);
        SimHost a = network.AddHost("a", profile: new LinkProfile { Delay = Ms(10), Jitter = Ms(8) });
        SimHost b = network.AddHost("b", profile: new LinkProfile { Delay = Ms(10) });
        List<(byte Number, TimeSpan At)> got = Collect(network, b);
        for (byte i = 0; i < 100; i++)
        {
            byte number = i;
            network.After(Ms(i), () => a.Send(b.Local, [number]));
        }

        network.Run(TimeSpan.FromSeconds(1));
        Assert.Equal(Enumerable.Range(0, 100).Select(i => (byte)i), got.Select(g => g.Number));
        Assert.All(got, g => Assert.InRange(g.At - Ms(g.Number), Ms(20), Ms(28)));
    }

    [Theory]
    [InlineData(0.3, 0, 0.27, 0.33)]
    [InlineData(0, 0.02, 0.03, 0.06)]
    public void Loss_has_its_rate_and_bursts_come_in_rows(double loss, double burstStart, double least, double most)
    {
        (HashSet<byte[]> got, int sent) = Flood(new LinkProfile { Loss = loss, BurstStart = burstStart });
        Assert.InRange(1 - got.Count / (double)sent, least, most);
    }

    [Fact]
    public void Duplicates_corruption_and_reordering_happen()
    {
        var network = new SimNetwork(3);
        SimHost a = network.AddHost("a", profile: new LinkProfile { Duplicate = 0.1, Corrupt = 0.1, Reorder = 0.1 });
        SimHost b = network.AddHost("b");
        var got = new List<byte[]>();
        b.Received = (_, bytes) => got.Add(bytes);
        for (int i = 0; i < 1000; i++)
        {
            byte[] bytes = [(byte)(i >> 8), (byte)i, 7, 7, 7, 7, 7, 7];
            network.After(Ms(i), () => a.Send(b.Local, bytes));
        }

        network.Run(TimeSpan.FromSeconds(2));
        Assert.InRange(got.Count, 1060, 1140);
        Assert.InRange(got.Count(bytes => bytes[2..].Any(value => value != 7)), 40, 160);
        int[] numbers = [.. got.Select(bytes => (bytes[0] << 8) | bytes[1])];
        Assert.Contains(Enumerable.Range(1, numbers.Length - 1), i => numbers[i] < numbers[i - 1]);
    }

    [Fact]
    public void A_bottleneck_has_a_rate_and_a_queue_and_large_packets_vanish()
    {
        var network = new SimNetwork(4);
        SimHost a = network.AddHost("a", profile: new LinkProfile { Bandwidth = 100_000, QueueBytes = 10_000, Mtu = 1500 });
        SimHost b = network.AddHost("b");
        List<(byte Number, TimeSpan At)> got = Collect(network, b);
        for (int i = 0; i < 50; i++)
        {
            a.Send(b.Local, new byte[972]);
        }

        a.Send(b.Local, new byte[1473]);
        network.Run(TimeSpan.FromSeconds(5));
        Assert.InRange(got.Count, 10, 12);
        Assert.InRange(got[^1].At - got[0].At, Ms(90), Ms(110));
    }

    [Fact]
    public void Blackout_and_cut_stop_everything_for_their_time()
    {
        var network = new SimNetwork(5);
        SimHost a = network.AddHost("a");
        SimHost b = network.AddHost("b");
        List<(byte Number, TimeSpan At)> got = Collect(network, b);
        a.Blackout(Ms(500));
        for (byte i = 0; i < 30; i++)
        {
            byte number = i;
            network.After(Ms(100 * i), () => a.Send(b.Local, [number]));
        }

        network.After(Ms(1000), () => network.Cut(a, b));
        network.After(Ms(2000), network.Heal);
        network.Run(TimeSpan.FromSeconds(5));
        Assert.Equal([5, 6, 7, 8, 9, .. Enumerable.Range(20, 10)], got.Select(g => (int)g.Number));
    }

    [Theory]
    [InlineData(NatKind.FullCone, true, true, true)]
    [InlineData(NatKind.Restricted, true, true, false)]
    [InlineData(NatKind.PortRestricted, true, false, false)]
    [InlineData(NatKind.Symmetric, false, false, false)]
    public void Nat_maps_and_filters(object kind, bool sameMapping, bool otherPort, bool stranger)
    {
        var network = new SimNetwork(6);
        SimNat nat = network.AddNat((NatKind)kind, TimeSpan.FromSeconds(30));
        SimHost inside = network.AddHost("inside", nat: nat);
        SimHost b = network.AddHost("b");
        SimHost c = network.AddHost("c");
        var seen = new List<UdpEndpoint>();
        var received = new List<byte>();
        b.Received = c.Received = (source, _) => seen.Add(source);
        inside.Received = (_, bytes) => received.Add(bytes[0]);
        inside.Send(b.Local, [1]);
        network.Run(Ms(100));
        inside.Send(c.Local, [1]);
        network.Run(Ms(100));
        Assert.Equal(sameMapping, seen[0] == seen[1]);
        Assert.Equal(nat.PublicIp, seen[0].Ip);

        network.Inject(b.Local, seen[0], [1]);
        network.Inject(b.Local with { Port = 99 }, seen[0], [2]);
        network.Inject(UdpEndpoint.FromIPv4(0x01020304, 5), seen[0], [3]);
        network.Run(Ms(100));
        Assert.Equal([1, .. otherPort ? new byte[] { 2 } : [], .. stranger ? new byte[] { 3 } : []], received);

        network.Run(TimeSpan.FromSeconds(31));
        network.Inject(b.Local, seen[0], [4]);
        network.Run(Ms(100));
        Assert.DoesNotContain((byte)4, received);
    }

    [Fact]
    public void Neighbours_behind_one_nat_reach_each_other_directly_and_a_rebind_moves_them()
    {
        var network = new SimNetwork(7);
        SimNat nat = network.AddNat(NatKind.FullCone);
        SimHost a = network.AddHost("a", nat: nat);
        SimHost b = network.AddHost("b", nat: nat);
        SimHost outside = network.AddHost("outside");
        var seen = new List<UdpEndpoint>();
        b.Received = outside.Received = (source, _) => seen.Add(source);
        a.Send(b.Local, [1]);
        network.Run(Ms(50));
        Assert.Equal(a.Local, Assert.Single(seen));
        a.Send(outside.Local, [1]);
        network.Run(Ms(50));
        network.Rebind(nat, withNewIp: true);
        a.Send(outside.Local, [1]);
        network.Run(Ms(50));
        Assert.NotEqual(seen[1].Ip, seen[2].Ip);
    }

    [Fact]
    public void One_seed_gives_one_run()
    {
        Assert.Equal(Trace(11), Trace(11));
        Assert.NotEqual(Trace(11), Trace(12));

        static string Trace(ulong seed)
        {
            string log = "";
            Simulation.Run(seed, 1, simulation =>
            {
                var profile = new LinkProfile { Loss = 0.05, Jitter = Ms(5), Reorder = 0.02, Duplicate = 0.02, Corrupt = 0.01 };
                SimNode a = simulation.AddNode("a", profile);
                SimNode b = simulation.AddNode("b", profile);
                simulation.Settle();
                simulation.Befriend(a, b);
                simulation.Complete(TimeSpan.FromSeconds(30), a.Transfer(b, 50_000));
                log = $"{simulation.Network.Now} {simulation.Network.EventsRun}\n{simulation.Network.Log}";
            });
            return log;
        }
    }

    private static TimeSpan Ms(double milliseconds) => TimeSpan.FromMilliseconds(milliseconds);

    private static List<(byte Number, TimeSpan At)> Collect(SimNetwork network, SimHost host)
    {
        var got = new List<(byte, TimeSpan)>();
        host.Received = (_, bytes) => got.Add((bytes[0], network.Now - network.StartedAt));
        return got;
    }

    private static (HashSet<byte[]> Got, int Sent) Flood(LinkProfile profile)
    {
        const int Count = 5000;
        var network = new SimNetwork(2);
        SimHost a = network.AddHost("a", profile: profile);
        SimHost b = network.AddHost("b");
        var got = new HashSet<byte[]>();
        b.Received = (_, bytes) => got.Add(bytes);
        for (int i = 0; i < Count; i++)
        {
            network.After(Ms(i), () => a.Send(b.Local, [1, 2, 3]));
        }

        network.Run(TimeSpan.FromSeconds(10));
        return (got, Count);
    }
}
