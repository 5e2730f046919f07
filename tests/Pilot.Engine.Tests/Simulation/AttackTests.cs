using Pilot.Protocol;

namespace Pilot.Engine.Tests.Simulation;

/// <summary>Unauthenticated input takes over, silences and moves nothing.</summary>
public class AttackTests
{
    private static readonly LinkProfile Line = new() { Delay = TimeSpan.FromMilliseconds(10), Bandwidth = 200_000, QueueBytes = 40_000 };

    [Theory]
    [InlineData(70_000)]
    [InlineData(71_000)]
    public void Ten_seconds_of_every_kind_of_forgery(ulong firstSeed) => Simulation.Run(firstSeed, 25, simulation =>
    {
        SimNode a = simulation.AddNode("a", Line);
        SimNode b = simulation.AddNode("b", Line);
        simulation.Settle();
        simulation.Befriend(a, b);
        var attacker = new Attacker(simulation, a, b);
        simulation.Complete(TimeSpan.FromSeconds(10), a.Transfer(b, 5_000, isEcho: true));
        simulation.Network.Run(TimeSpan.FromSeconds(2));
        HashSet<string> genuine = simulation.OfferedKeys;
        AssertGenuine();
        PathStatus?[] before = [Path(a), Path(b)];
        string trust = a.Book.FormatTrustFile() + b.Book.FormatTrustFile() + a.Book.FormatExtensionFile() + b.Book.FormatExtensionFile();

        SimTransfer[] running = [a.Transfer(b, 400_000), b.Transfer(a, 200_000, isEcho: true)];
        attacker.Attack(TimeSpan.FromSeconds(10), TimeSpan.FromMilliseconds(4));
        simulation.Complete(TimeSpan.FromSeconds(30), running);
        simulation.Network.Run(TimeSpan.FromSeconds(15));

        Assert.True(attacker.Sent > 1500, $"{attacker.Sent} sent");
        AssertGenuine();
        Assert.Equal(before, [Path(a), Path(b)]);
        Assert.Equal(trust, a.Book.FormatTrustFile() + b.Book.FormatTrustFile() + a.Book.FormatExtensionFile() + b.Book.FormatExtensionFile());
        Assert.Empty(a.Datagrams);
        Assert.Empty(b.Datagrams);

        // No amplifier: candidates may be probed, but never for more than they cost.
        Assert.True(attacker.BytesReceived <= 3 * attacker.BytesFromOwnAddress, $"{attacker.BytesReceived} bytes drawn by {attacker.BytesFromOwnAddress}");
        simulation.Complete(TimeSpan.FromSeconds(10), a.Transfer(b, 5_000, isEcho: true), b.Transfer(a, 5_000, isEcho: true));

        // A forged frame may make the two exchange keys again, but never with anybody else.
        void AssertGenuine() => Assert.All(
            a.Node!.InspectPeers().Concat(b.Node!.InspectPeers()),
            peer => Assert.True(peer.IsConfirmed && genuine.Contains(peer.PeerKey), $"{peer}"));
    });

    private static PathStatus? Path(SimNode node) => node.Node!.GetPeers(node.Now).Single().Path is { } path ? path with { Rtt = null } : null;

    [Fact]
    public void One_replayed_exchange_from_another_address_moves_nothing() => Simulation.Run(72_000, 20, simulation =>
    {
        SimNode a = simulation.AddNode("a", Line);
        SimNode b = simulation.AddNode("b", Line);
        var captured = new List<SimDatagram>();
        simulation.Network.Tap += datagram =>
        {
            if (TunnelFrame.Classify(datagram.Bytes) == DatagramKind.AuthenticatedKeyExchange)
            {
                captured.Add(datagram);
            }
        };
        SimHost mallory = simulation.Network.AddHost("mallory");
        simulation.Settle();
        simulation.Befriend(a, b);
        simulation.Complete(TimeSpan.FromSeconds(10), a.Transfer(b, 1_000, isEcho: true));
        simulation.Network.Run(TimeSpan.FromSeconds(5));
        IReadOnlyList<PeerInspection>[] before = [a.Node!.InspectPeers(), b.Node!.InspectPeers()];
        Assert.NotEmpty(captured);
        foreach (SimDatagram datagram in captured.ToArray())
        {
            simulation.Network.Inject(mallory.Local, datagram.Destination, datagram.Bytes);
            simulation.Network.Run(TimeSpan.FromSeconds(3));
            Assert.Equal(before[0], a.Node!.InspectPeers());
            Assert.Equal(before[1], b.Node!.InspectPeers());
        }

        SimTransfer transfer = a.Transfer(b, 1_000, isEcho: true);
        simulation.Complete(TimeSpan.FromSeconds(1), transfer);
    });

    [Fact]
    public void A_private_node_is_silent_to_strangers() => Simulation.Run(73_000, 20, simulation =>
    {
        SimNode victim = simulation.AddNode("victim", Line);
        SimNode friend = simulation.AddNode("friend", Line);
        SimNode stranger = simulation.AddNode("stranger", Line);
        simulation.Settle();
        simulation.Befriend(victim, friend);
        simulation.Complete(TimeSpan.FromSeconds(10), victim.Transfer(friend, 1_000, isEcho: true));
        simulation.Network.Run(TimeSpan.FromSeconds(3));

        // The stand-in registry tells endpoints to everybody: the worst case.
        var answers = new List<SimDatagram>();
        simulation.Network.Sent += (host, datagram) =>
        {
            bool toStranger = datagram.Destination == stranger.Host.Local || (BeaconRelay.TryParse(datagram.Bytes, out BeaconRelay relay) && relay.Destination == stranger.NodeId);
            if (host == victim.Host && toStranger && TunnelFrame.Classify(datagram.Bytes) != DatagramKind.Punch)
            {
                answers.Add(datagram);
            }
        };
        SimTransfer[] dials = [stranger.Transfer(victim, 100), stranger.Transfer(victim, 100, isEcho: true)];
        stranger.Use(node => Assert.True(node.SendDatagram(stranger.Now, victim.NodeId, 0, 1000, "hello"u8, out _)));
        stranger.Use(node => node.Ping(stranger.Now, victim.NodeId, 1, TimeSpan.FromSeconds(10)));
        simulation.Network.Run(TimeSpan.FromSeconds(40));
        Assert.Empty(answers);
        Assert.All(dials, dial => Assert.Equal(Pilot.Engine.Streams.ConnectionError.Timeout, dial.Error));
        Assert.DoesNotContain(victim.Node!.InspectPeers(), peer => peer.NodeId == stranger.NodeId);
        Assert.Empty(victim.Datagrams);

        // The other way round the private node may call, and the called one may answer.
        simulation.Befriend(stranger, victim);
        simulation.Complete(TimeSpan.FromSeconds(10), victim.Transfer(stranger, 100, isEcho: true));
    });
}
