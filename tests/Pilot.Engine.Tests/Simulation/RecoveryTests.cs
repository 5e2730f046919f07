using Pilot.Engine.Streams;

namespace Pilot.Engine.Tests.Simulation;

/// <summary>Crashes, restarts and outages: everybody is talked to again, without anybody doing anything.</summary>
public class RecoveryTests
{
    private static readonly LinkProfile Line = new() { Delay = TimeSpan.FromMilliseconds(15), Jitter = TimeSpan.FromMilliseconds(3), Loss = 0.01, Bandwidth = 500_000 };

    [Theory]
    [InlineData(80_000, null, null)]
    [InlineData(81_000, NatKind.PortRestricted, NatKind.PortRestricted)]
    [InlineData(82_000, NatKind.Symmetric, NatKind.Symmetric)]
    public void A_restarted_peer_is_talked_to_within_three_seconds(ulong firstSeed, object? natA, object? natB) => Simulation.Run(firstSeed, 30, simulation =>
    {
        SimNode a = simulation.AddNode("a", Line, Nat(simulation, natA));
        SimNode b = simulation.AddNode("b", Line, Nat(simulation, natB));
        simulation.Settle();
        simulation.Befriend(a, b);
        simulation.Complete(TimeSpan.FromSeconds(20), a.Transfer(b, 1_000, isEcho: true));
        SimRandom random = simulation.Network.Random.Child("restart");
        SimTransfer cut = a.Transfer(b, 3_000_000);
        simulation.Network.Run(TimeSpan.FromSeconds(0.5 + random.NextDouble()));
        b.Crash();
        simulation.Network.Run(TimeSpan.FromSeconds(random.NextDouble() * 4));
        b.Start();
        Instant started = simulation.Network.Now;
        SimTransfer again = a.Transfer(b, 1_000, isEcho: true);
        simulation.Complete(TimeSpan.FromSeconds(10), again);
        Assert.True(again.OpenedAt - started <= TimeSpan.FromSeconds(3), $"talked to after {again.OpenedAt - started}");

        // The connection of the dead process does not hang: its end is told.
        simulation.Expect(() => cut.Error != ConnectionError.None, TimeSpan.FromSeconds(10), "the end of the old connection");
        simulation.Complete(TimeSpan.FromSeconds(10), b.Transfer(a, 1_000, isEcho: true));
    });

    [Fact]
    public void Both_restart_at_once() => Simulation.Run(83_000, 30, simulation =>
    {
        SimNode a = simulation.AddNode("a", Line);
        SimNode b = simulation.AddNode("b", Line);
        simulation.Settle();
        simulation.Befriend(a, b);
        simulation.Complete(TimeSpan.FromSeconds(20), a.Transfer(b, 1_000, isEcho: true));
        a.Crash();
        b.Crash();
        simulation.Network.Run(TimeSpan.FromSeconds(1));
        a.Start();
        b.Start();
        simulation.Settle();
        simulation.Complete(TimeSpan.FromSeconds(10), a.Transfer(b, 1_000, isEcho: true), b.Transfer(a, 1_000, isEcho: true));
    });

    [Fact]
    public void A_dial_that_began_while_the_peer_was_down_succeeds_when_it_comes_back() => Simulation.Run(84_000, 30, simulation =>
    {
        SimNode a = simulation.AddNode("a", Line);
        SimNode b = simulation.AddNode("b", Line);
        simulation.Settle();
        simulation.Befriend(a, b);
        b.Crash();
        SimTransfer transfer = a.Transfer(b, 1_000, isEcho: true);
        simulation.Network.Run(TimeSpan.FromSeconds(4));
        b.Start();
        simulation.Complete(TimeSpan.FromSeconds(10), transfer);
    });

    [Fact]
    public void A_rendezvous_that_lost_its_memory_is_told_everything_again() => Simulation.Run(85_000, 20, simulation =>
    {
        SimNode a = simulation.AddNode("a", Line, simulation.Network.AddNat(NatKind.Symmetric));
        SimNode b = simulation.AddNode("b", Line, simulation.Network.AddNat(NatKind.Symmetric));
        simulation.Settle();
        simulation.Befriend(a, b);
        SimTransfer long1 = a.Transfer(b, 2_000_000);
        simulation.Network.Run(TimeSpan.FromSeconds(3));
        simulation.Rendezvous.Restart();
        simulation.Complete(TimeSpan.FromSeconds(90), long1);
        simulation.Network.Run(TimeSpan.FromSeconds(35));
        Assert.All(simulation.Nodes, node => Assert.True(node.Registrations >= 2));
        SimNode c = simulation.AddNode("c", Line, simulation.Network.AddNat(NatKind.PortRestricted));
        simulation.Settle();
        simulation.Befriend(a, c);
        simulation.Complete(TimeSpan.FromSeconds(20), c.Transfer(a, 1_000, isEcho: true), b.Transfer(a, 1_000, isEcho: true));
    });

    [Fact]
    public void While_the_registry_is_down_old_friends_still_meet() => Simulation.Run(86_000, 20, simulation =>
    {
        SimNode a = simulation.AddNode("a", Line);
        SimNode b = simulation.AddNode("b", Line);
        simulation.Settle();
        simulation.Befriend(a, b);
        simulation.Complete(TimeSpan.FromSeconds(20), a.Transfer(b, 1_000, isEcho: true));
        simulation.Rendezvous.IsDown = true;
        simulation.Network.Run(TimeSpan.FromMinutes(7));
        simulation.Complete(TimeSpan.FromSeconds(10), a.Transfer(b, 1_000, isEcho: true), b.Transfer(a, 1_000, isEcho: true));
        simulation.Rendezvous.IsDown = false;
        simulation.Network.Run(TimeSpan.FromSeconds(40));
        SimNode c = simulation.AddNode("c", Line);
        simulation.Settle();
        simulation.Befriend(a, c);
        simulation.Complete(TimeSpan.FromSeconds(10), c.Transfer(a, 1_000, isEcho: true));
    });

    private static SimNat? Nat(Simulation simulation, object? kind) => kind is NatKind nat ? simulation.Network.AddNat(nat) : null;
}
