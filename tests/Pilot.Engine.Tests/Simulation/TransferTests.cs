namespace Pilot.Engine.Tests.Simulation;

/// <summary>Every transfer completes with equal bytes, whatever the network does.</summary>
public class TransferTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(3);

    /// <summary>10 Mb/s, 15 ms each way, 25 packets of queue.</summary>
    private static readonly LinkProfile Line = new() { Delay = TimeSpan.FromMilliseconds(7), Bandwidth = 1_250_000, QueueBytes = 25 * 1500, Mtu = 1500 };

    [Fact]
    public void Clean_network() => Simulation.Run(1, 20, simulation =>
    {
        (SimNode a, SimNode b) = Pair(simulation, LinkProfile.Clean);
        simulation.Complete(Limit, a.Transfer(b, 300_000), b.Transfer(a, 100_000, isEcho: true));
    });

    [Theory]
    [InlineData(1000)]
    [InlineData(2000)]
    [InlineData(3000)]
    public void Thirty_percent_loss_from_the_first_packet_on(ulong firstSeed) => Simulation.Run(firstSeed, 100, simulation =>
    {
        (SimNode a, SimNode b) = Pair(simulation, Line with { Loss = 0.163, BurstStart = 0.01, BurstEnd = 0.5 });
        simulation.Complete(Limit, a.Transfer(b, 20_000, isEcho: true));
    });

    [Theory]
    [InlineData(10_000)]
    [InlineData(11_000)]
    [InlineData(12_000)]
    [InlineData(13_000)]
    public void Two_percent_loss_with_bursts_reordering_duplicates_and_corruption(ulong firstSeed) => Simulation.Run(firstSeed, 75, simulation =>
    {
        (SimNode a, SimNode b) = Pair(simulation, Line with
        {
            Jitter = TimeSpan.FromMilliseconds(3), Loss = 0.01, BurstStart = 0.002, Reorder = 0.02, Duplicate = 0.01, Corrupt = 0.01,
        });
        simulation.Complete(Limit, a.Transfer(b, 200_000), b.Transfer(a, 50_000), a.Transfer(b, 50_000, isEcho: true));
    });

    [Theory]
    [InlineData(20_000)]
    [InlineData(21_000)]
    public void Blackouts_of_five_seconds(ulong firstSeed) => Simulation.Run(firstSeed, 60, simulation =>
    {
        (SimNode a, SimNode b) = Pair(simulation, Line with { Bandwidth = 100_000 });
        SimRandom random = simulation.Network.Random.Child("blackouts");
        for (int i = 0; i < 3; i++)
        {
            simulation.Network.After(
                TimeSpan.FromSeconds(7 * i) + random.Between(TimeSpan.FromMilliseconds(200), TimeSpan.FromSeconds(2)),
                () => a.Host.Blackout(TimeSpan.FromSeconds(5)));
        }

        simulation.Complete(Limit, a.Transfer(b, 150_000), b.Transfer(a, 60_000, isEcho: true));
    });

    [Fact]
    public void Many_streams_at_once() => Simulation.Run(30_000, 10, simulation =>
    {
        (SimNode a, SimNode b) = Pair(simulation, Line with { Loss = 0.005 });
        SimNode c = simulation.AddNode("c", Line);
        simulation.Settle();
        simulation.Befriend(a, c);
        simulation.Complete(Limit, [
            .. Enumerable.Range(0, 8).Select(i => a.Transfer(b, 10_000 * i, isEcho: i % 2 == 0)),
            .. Enumerable.Range(0, 8).Select(i => c.Transfer(a, 5_000 * i, isEcho: i % 3 == 0))]);
    });

    [Fact]
    public void A_very_slow_and_long_line() => Simulation.Run(40_000, 15, simulation =>
    {
        (SimNode a, SimNode b) = Pair(simulation, new LinkProfile
        {
            Delay = TimeSpan.FromMilliseconds(375), Jitter = TimeSpan.FromMilliseconds(50), Bandwidth = 20_000, QueueBytes = 30_000, Loss = 0.01, Mtu = 1280,
        });
        simulation.Complete(Limit, a.Transfer(b, 60_000, isEcho: true));
    });

    [Fact]
    public void Address_changes_during_a_transfer() => Simulation.Run(50_000, 40, simulation =>
    {
        (SimNode a, SimNode b) = Pair(simulation, Line with { Bandwidth = 60_000 });
        for (int i = 0; i < 3; i++)
        {
            ushort port = (ushort)(5000 + i);
            simulation.Network.After(TimeSpan.FromSeconds(1 + 5 * i), () => simulation.Network.Move(a.Host, port));
        }

        simulation.Complete(Limit, a.Transfer(b, 300_000), b.Transfer(a, 300_000));
    });

    [Fact]
    public void A_partition_heals() => Simulation.Run(60_000, 30, simulation =>
    {
        (SimNode a, SimNode b) = Pair(simulation, Line with { Bandwidth = 100_000 });
        simulation.Network.After(TimeSpan.FromSeconds(1), () => simulation.Network.Cut(a.Host, b.Host));
        simulation.Network.After(TimeSpan.FromSeconds(12), simulation.Network.Heal);
        simulation.Complete(Limit, a.Transfer(b, 300_000), b.Transfer(a, 100_000, isEcho: true));
    });

    private static (SimNode A, SimNode B) Pair(Simulation simulation, LinkProfile profile)
    {
        SimNode a = simulation.AddNode("a", profile);
        SimNode b = simulation.AddNode("b", profile);
        simulation.Settle();
        simulation.Befriend(a, b);
        return (a, b);
    }
}
