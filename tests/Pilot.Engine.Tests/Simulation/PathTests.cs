using Pilot.Protocol;

namespace Pilot.Engine.Tests.Simulation;

/// <summary>Paths that die, come back, move and compete: streams go on, and by the best path there is.</summary>
public class PathTests
{
    private static readonly LinkProfile Line = new() { Delay = TimeSpan.FromMilliseconds(15), Jitter = TimeSpan.FromMilliseconds(2), Bandwidth = 150_000 };

    [Theory]
    [InlineData(null, null)]
    [InlineData(NatKind.PortRestricted, NatKind.PortRestricted)]
    public void A_dead_direct_path_is_left_for_the_relay_within_three_seconds_and_taken_again_when_it_heals(object? natA, object? natB) => Simulation.Run(97_000, 12, simulation =>
    {
        (SimNode a, SimNode b) = Pair(simulation, natA, natB);
        SimTransfer transfer = a.Transfer(b, 4_000_000);
        simulation.Expect(() => PathOf(a, b) == PathKind.Direct && transfer.Received > 200_000, TimeSpan.FromSeconds(10), "a direct start");
        simulation.Network.Cut(a.Host, b.Host);
        Instant cut = simulation.Network.Now;
        simulation.Expect(() => PathOf(a, b) == PathKind.Relay, TimeSpan.FromSeconds(3), "the relay");
        long before = transfer.Received;
        simulation.Expect(() => transfer.Received > before, TimeSpan.FromSeconds(3) - (simulation.Network.Now - cut), "bytes by relay");
        simulation.Network.Run(TimeSpan.FromSeconds(4));
        simulation.Network.Heal();
        simulation.Expect(() => PathOf(a, b) == PathKind.Direct, TimeSpan.FromSeconds(17), "the direct path again");
        simulation.Complete(TimeSpan.FromMinutes(2), transfer);
    });

    [Fact]
    public void A_path_that_flaps_is_taken_again_later_and_later() => Simulation.Run(97_100, 4, simulation =>
    {
        (SimNode a, SimNode b) = Pair(simulation, null, null);
        SimTransfer transfer = a.Transfer(b, 22_000_000);
        simulation.Expect(() => PathOf(a, b) == PathKind.Direct && transfer.Received > 200_000, TimeSpan.FromSeconds(10), "a direct start");
        for (int i = 0; i < 12; i++)
        {
            simulation.Network.Cut(a.Host, b.Host);
            simulation.Network.Run(TimeSpan.FromSeconds(5));
            simulation.Network.Heal();
            simulation.Network.Run(TimeSpan.FromSeconds(7));
        }

        // Each time it was taken again it took longer, so most of the twelve cuts met a stream that was not there.
        int changes = a.Events.Count(e => e.Kind == NodeEventKind.PathChanged && e.Path.Kind == PathKind.Direct);
        Assert.InRange(changes, 2, 9);
        simulation.Complete(TimeSpan.FromMinutes(6), transfer);
    });

    [Fact]
    public void A_stream_follows_a_node_that_moves_within_two_seconds() => Simulation.Run(97_200, 12, simulation =>
    {
        (SimNode a, SimNode b) = Pair(simulation, null, NatKind.PortRestricted);
        SimTransfer transfer = b.Transfer(a, 2_500_000);
        simulation.Expect(() => PathOf(b, a) == PathKind.Direct && transfer.Received > 200_000, TimeSpan.FromSeconds(10), "a direct start");
        simulation.Network.Move(a.Host, 4444);
        a.Use(node => node.Discover(simulation.Network.Now));
        Instant moved = simulation.Network.Now;
        long before = transfer.Received;
        simulation.Expect(() => b.Node!.InspectPeers()[0].Endpoint == a.Host.Local, TimeSpan.FromSeconds(2), "the new address");
        simulation.Expect(() => transfer.Received > before + 20_000, TimeSpan.FromSeconds(2.5) - (simulation.Network.Now - moved), "bytes there");
        simulation.Complete(TimeSpan.FromMinutes(2), transfer);
    });

    [Fact]
    public void A_nat_that_forgets_everything_is_noticed_by_the_sender_alone() => Simulation.Run(97_300, 12, simulation =>
    {
        SimNat nat = simulation.Network.AddNat(NatKind.PortRestricted);
        SimNode a = simulation.AddNode("a", Line);
        SimNode b = simulation.AddNode("b", Line, nat);
        simulation.Settle();
        simulation.Befriend(a, b);

        // b only receives: nothing of its own shows it that its mapping is gone.
        SimTransfer transfer = a.Transfer(b, 2_500_000);
        simulation.Expect(() => PathOf(a, b) == PathKind.Direct && transfer.Received > 200_000, TimeSpan.FromSeconds(10), "a direct start");
        long before = transfer.Received;
        simulation.Network.Rebind(nat, withNewIp: true);
        Instant rebound = simulation.Network.Now;
        simulation.Expect(() => transfer.Received > before + 100_000, TimeSpan.FromSeconds(25), "bytes after the rebind");
        simulation.Complete(TimeSpan.FromMinutes(2), transfer);
    });

    [Theory]
    [InlineData(NatKind.PortRestricted, NatKind.PortRestricted)]
    [InlineData(NatKind.Restricted, NatKind.Symmetric)]
    public void What_peers_tell_each_other_opens_their_nats_without_the_beacons_help(object natA, object natB) => Simulation.Run(97_400, 10, simulation =>
    {
        simulation.StandIn.RefusesPunches = true;
        (SimNode a, SimNode b) = Pair(simulation, natA, natB);
        SimTransfer first = a.Transfer(b, 20_000, isEcho: true);
        simulation.Complete(TimeSpan.FromSeconds(5), first);
        simulation.Expect(() => PathOf(a, b) == PathKind.Direct && PathOf(b, a) == PathKind.Direct, TimeSpan.FromSeconds(3), "a direct path");
    });

    [Fact]
    public void A_relayed_pair_that_is_known_as_ours_pays_one_round_trip_for_the_key() => Simulation.Run(97_500, 10, simulation =>
    {
        simulation.StandIn.KnowsSoftware = true;
        (SimNode a, SimNode b) = Pair(simulation, NatKind.Symmetric, NatKind.Symmetric);
        simulation.Network.Run(TimeSpan.FromSeconds(1));
        SimTransfer first = a.Transfer(b, 1_000, isEcho: true);
        simulation.Complete(TimeSpan.FromSeconds(5), first);

        // Registry 40 ms, then two round trips by relay of about 84 ms each: one for the key, one for the SYN.
        TimeSpan taken = first.OpenedAt - first.StartedAt;
        Assert.True(taken < TimeSpan.FromMilliseconds(40 + (2.4 * 84)), $"opened after {taken}");
    });

    [Fact]
    public void The_first_packet_after_five_idle_minutes_arrives_at_once() => Simulation.Run(97_600, 12, simulation =>
    {
        SimNode a = simulation.AddNode("a", Line, simulation.Network.AddNat(NatKind.PortRestricted, TimeSpan.FromSeconds(30)));
        SimNode b = simulation.AddNode("b", Line, simulation.Network.AddNat(NatKind.PortRestricted, TimeSpan.FromSeconds(30)));
        simulation.Settle();
        simulation.Befriend(a, b);
        simulation.Complete(TimeSpan.FromSeconds(20), a.Transfer(b, 1_000, isEcho: true));
        simulation.Network.Run(TimeSpan.FromMinutes(5));
        bool isForward = simulation.Network.Seed % 2 == 0;
        (SimNode from, SimNode to) = isForward ? (a, b) : (b, a);
        SimTransfer after = from.Transfer(to, 1_000, isEcho: true);
        simulation.Complete(TimeSpan.FromSeconds(5), after);
        Assert.True(after.OpenedAt - after.StartedAt < TimeSpan.FromMilliseconds(100), $"opened after {after.OpenedAt - after.StartedAt}");
    });

    [Fact]
    public void After_hours_of_rest_the_first_packet_goes_by_the_relay_as_well() => Simulation.Run(97_700, 12, simulation =>
    {
        SimNode a = simulation.AddNode("a", Line, simulation.Network.AddNat(NatKind.PortRestricted, TimeSpan.FromSeconds(30)));
        SimNode b = simulation.AddNode("b", Line, simulation.Network.AddNat(NatKind.PortRestricted, TimeSpan.FromSeconds(30)));
        simulation.Settle();
        simulation.Befriend(a, b);
        simulation.Complete(TimeSpan.FromSeconds(20), a.Transfer(b, 1_000, isEcho: true));
        simulation.Network.Run(TimeSpan.FromMinutes(40));
        SimTransfer after = a.Transfer(b, 1_000, isEcho: true);
        simulation.Complete(TimeSpan.FromSeconds(5), after);
        Assert.True(after.OpenedAt - after.StartedAt < TimeSpan.FromMilliseconds(400), $"opened after {after.OpenedAt - after.StartedAt}");
        simulation.Expect(() => PathOf(a, b) == PathKind.Direct, TimeSpan.FromSeconds(5), "the direct path again");
    });

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(-1)]
    public void The_ports_of_a_symmetric_nat_that_counts_are_guessed(int step) => Simulation.RunReal(97_900, 10, simulation =>
    {
        SimNat symmetric = simulation.Network.AddNat(NatKind.Symmetric);
        symmetric.PortStep = step;
        SimNode a = simulation.AddNode("a", Line, symmetric);
        SimNode b = simulation.AddNode("b", Line, simulation.Network.AddNat(NatKind.PortRestricted));
        simulation.Settle();
        simulation.Network.Run(TimeSpan.FromSeconds(10));
        Assert.Equal((Nat.NatType.Symmetric, Nat.NatType.PortRestrictedCone), (a.Node!.Nat.Type, b.Node!.Nat.Type));
        simulation.Handshake(a, b);
        bool isForward = simulation.Network.Seed % 2 == 0;
        simulation.Complete(TimeSpan.FromSeconds(20), isForward ? a.Transfer(b, 20_000, isEcho: true) : b.Transfer(a, 20_000, isEcho: true));
        simulation.Expect(() => PathOf(a, b) == PathKind.Direct && PathOf(b, a) == PathKind.Direct, TimeSpan.FromSeconds(30), "a direct path");
        Assert.True(Assert.Single(a.Node.GetPeers(a.Now)).Path!.Value.IsPunched);
    });

    [Fact]
    public void Lists_show_every_path_with_its_figures() => Simulation.Run(97_800, 1, simulation =>
    {
        (SimNode a, SimNode b) = Pair(simulation, NatKind.PortRestricted, NatKind.PortRestricted);
        simulation.Complete(TimeSpan.FromSeconds(20), a.Transfer(b, 100_000, isEcho: true));
        simulation.Network.Run(TimeSpan.FromSeconds(10));
        PeerStatus peer = Assert.Single(a.Node!.GetPeers(a.Now));
        PathDetail used = peer.Paths[0];
        Assert.True(used.IsUsed);
        Assert.Equal(PathKind.Direct, used.Path.Kind);
        Assert.Equal(b.Node!.Mapping, used.Path.Endpoint);
        Assert.InRange(used.Path.Rtt!.Value.TotalMilliseconds, 55, 90);
        Assert.InRange(used.Loss!.Value, 0, 0.5);
        Assert.True(used.BytesSent > 50_000 && used.BytesReceived > 50_000, $"{used}");
        Assert.True(used.BytesSent + peer.Paths[1].BytesSent > 100_000, $"{used} {peer.Paths[1]}");
        Assert.True(used.BytesSent <= peer.BytesSent && used.BytesReceived <= peer.BytesReceived);
        Assert.Contains(a.Events, e => e.Kind == NodeEventKind.PunchRequested && e.NodeId == b.NodeId && e.Endpoint == simulation.Beacon);
    });

    private static (SimNode A, SimNode B) Pair(Simulation simulation, object? natA, object? natB)
    {
        SimNode a = simulation.AddNode("a", Line, natA is NatKind kindA ? simulation.Network.AddNat(kindA) : null);
        SimNode b = simulation.AddNode("b", Line, natB is NatKind kindB ? simulation.Network.AddNat(kindB) : null);
        simulation.Settle();
        simulation.Befriend(a, b);
        return (a, b);
    }

    private static PathKind? PathOf(SimNode node, SimNode peer) => node.Node!.InspectPeers().SingleOrDefault(p => p.NodeId == peer.NodeId).Path;
}
