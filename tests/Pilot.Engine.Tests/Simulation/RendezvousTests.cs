using Pilot.Engine.Streams;
using Pilot.Engine.Trust;

namespace Pilot.Engine.Tests.Simulation;

/// <summary>Engine, trust book, registry and beacon together: the worked life of spec 00 section 2 and its accidents.</summary>
public class RendezvousTests
{
    private static readonly LinkProfile Line = new() { Delay = TimeSpan.FromMilliseconds(15), Jitter = TimeSpan.FromMilliseconds(3), Loss = 0.01 };
    private static readonly TimeSpan Seconds = TimeSpan.FromSeconds(10);

    [Fact]
    public void Trust_by_relay_from_request_to_first_byte() => Simulation.RunReal(200_000, 25, simulation =>
    {
        (SimNode a, SimNode b) = PrivatePair(simulation);

        // Before: A is told nothing, at once.
        SimTransfer early = a.Transfer(b, 100);
        simulation.Expect(() => early.IsOver, TimeSpan.FromSeconds(2), "the refusal");
        Assert.Equal(ConnectionError.NotFound, early.Error);

        Instant start = simulation.Network.Now;
        long token = a.Command((book, clock) => book.Request(clock, b.NodeId, "want to talk"));
        simulation.Expect(() => a.Results.ContainsKey(token), TimeSpan.FromSeconds(6), "the answer to the request");
        Assert.Equal(new TrustCommandResult(TrustStatus.Sent, b.NodeId, Delivery: TrustDelivery.Relayed), a.Results[token]);
        simulation.Expect(() => b.Book.Pending.Count == 1, TimeSpan.FromSeconds(16), "the request at the other side");
        PendingRequest request = b.Book.Pending[0];
        Assert.Equal((a.NodeId, "want to talk", a.Identity.PublicKeyText), (request.NodeId, request.Justification, request.PublicKey.Length == 0 ? a.Identity.PublicKeyText : request.PublicKey));
        Assert.Empty(a.Book.Trusted);

        token = b.Command((book, clock) => book.Approve(clock, a.NodeId));
        simulation.ExpectTrust(a, b, TimeSpan.FromSeconds(5));
        Assert.Equal(TrustStatus.Approved, b.Results[token].Status);
        Assert.Contains(a.TrustEvents, e => e.Name == TrustEventNames.Established);
        simulation.Complete(Seconds, a.Transfer(b, 10_000, isEcho: true), b.Transfer(a, 10_000, isEcho: true));
        Assert.True(simulation.Network.Now - start < TimeSpan.FromSeconds(25));
    });

    [Fact]
    public void Handshake_by_name_of_two_private_nodes() => Simulation.RunReal(201_000, 25, simulation =>
    {
        (SimNode a, SimNode b) = PrivatePair(simulation);
        AssertUnknown(simulation, a, "b");
        AssertUnknown(simulation, a, "nobody");
        long known = a.Command((book, clock) => book.RequestByHostname(clock, "b", "hi"));
        long unknown = a.Command((book, clock) => book.RequestByHostname(clock, "nobody", "hi"));
        simulation.Expect(() => a.Results.ContainsKey(known) && a.Results.ContainsKey(unknown), TimeSpan.FromSeconds(6), "the answers");
        Assert.Equal(a.Results[known] with { Hostname = "" }, a.Results[unknown] with { Hostname = "" });
        b.Command((book, clock) => book.RequestByHostname(clock, "a", "hi"));
        simulation.ExpectTrust(a, b, Seconds);
        Assert.Equal(b.NodeId, a.Book.FindByHostname("b"));
        simulation.Complete(Seconds, a.Transfer(b, 1_000, isEcho: true));

        uint found = 0;
        simulation.Real.Find(a, "b", id => found = id);
        simulation.Network.Run(TimeSpan.FromSeconds(1));
        Assert.Equal(b.NodeId, found);
    });

    [Fact]
    public void A_stranger_learns_nothing_from_trying() => Simulation.RunReal(202_000, 15, simulation =>
    {
        (SimNode a, SimNode b) = PrivatePair(simulation);
        simulation.Handshake(a, b);
        SimNode stranger = simulation.AddNode("stranger", Line);
        simulation.Settle();
        simulation.Complete(Seconds, a.Transfer(b, 1_000, isEcho: true));
        simulation.Network.Run(TimeSpan.FromSeconds(3));

        // Nothing at all may come from the private nodes: neither packets nor a different answer of the rendezvous.
        var toStranger = new List<SimDatagram>();
        simulation.Network.Sent += (host, datagram) =>
        {
            if ((host == a.Host || host == b.Host) && datagram.Destination.Ip == stranger.Host.Local.Ip)
            {
                toStranger.Add(datagram);
            }
        };
        foreach (SimNode target in new[] { a, b })
        {
            stranger.Command((book, clock) => book.Request(clock, target.NodeId, "let me in"));
            SimTransfer dial = stranger.Transfer(target, 100);
            SimTransfer toNobody = stranger.Transfer(999, 100);
            stranger.Use(node => node.SendDatagram(stranger.Now, target.NodeId, 0, 1000, "hello"u8, out _));
            simulation.Expect(() => dial.IsOver && toNobody.IsOver, TimeSpan.FromSeconds(20), "the refusal");
            Assert.Equal(ConnectionError.NotFound, dial.Error);
            Assert.Equal(ConnectionError.NotFound, toNobody.Error);
        }

        // Even with the endpoint, by whatever indiscretion, there is only silence.
        stranger.Node!.CompleteResolve(stranger.Now, a.NodeId, new ResolveAnswer(ResolveOutcome.Found, a.Node!.Mapping, []));
        simulation.Network.Run(TimeSpan.FromSeconds(30));
        Assert.Empty(toStranger);
        AssertUnknown(simulation, stranger, "a");
        Assert.Empty(a.Datagrams);
        Assert.DoesNotContain(a.Node!.InspectPeers(), peer => peer.NodeId == stranger.NodeId);
    });

    [Fact]
    public void Revocation_cuts_tells_and_lasts() => Simulation.RunReal(203_000, 20, simulation =>
    {
        (SimNode a, SimNode b) = PrivatePair(simulation);
        simulation.Handshake(a, b);
        SimTransfer running = a.Transfer(b, 500_000_000);
        simulation.Expect(() => running.Received > 1_000_000, TimeSpan.FromSeconds(10), "the first megabyte");
        long token = b.Command((book, clock) => book.Untrust(clock, a.NodeId));
        simulation.Expect(() => running.IsOver, TimeSpan.FromSeconds(4), "the end of the running transfer");
        Assert.True(running.Error is ConnectionError.Reset or ConnectionError.Aborted, $"{running}");
        simulation.Expect(() => a.Book.Former.Any(peer => peer.State == FormerPeerState.RevokedByPeer), TimeSpan.FromSeconds(3), "the notice");
        simulation.Expect(() => b.Results.ContainsKey(token), TimeSpan.FromSeconds(6), "the answer");
        AssertRefused(simulation, a, b);

        // A peer that ignores the notice and reports trust again gets nowhere (spec 05 section 15, W5).
        a.Use(_ => simulation.Rendezvous.Send(a, new TrustEffect.ReportTrust(0, b.NodeId), (_, _) => { }));
        simulation.Network.Run(TimeSpan.FromSeconds(2));
        AssertRefused(simulation, a, b);
        b.Crash();
        b.Start();
        simulation.Settle();
        AssertRefused(simulation, a, b);

        // And back, by the word of both.
        simulation.Handshake(a, b);
        simulation.Complete(Seconds, a.Transfer(b, 1_000, isEcho: true));
    });

    [Fact]
    public void A_rejected_request_ends_on_both_sides() => Simulation.RunReal(204_000, 10, simulation =>
    {
        (SimNode a, SimNode b) = PrivatePair(simulation);
        a.Command((book, clock) => book.Request(clock, b.NodeId, ""));
        simulation.Expect(() => b.Book.Pending.Count == 1, TimeSpan.FromSeconds(16), "the request");
        b.Command((book, clock) => book.Reject(clock, a.NodeId, "no"));
        simulation.Expect(() => a.Book.Requested.Count == 0, TimeSpan.FromSeconds(5), "the rejection");
        simulation.Network.Run(TimeSpan.FromSeconds(70));
        Assert.Empty(b.Book.Pending);
        AssertRefused(simulation, a, b);
    });

    [Fact]
    public void A_rendezvous_killed_and_started_with_nothing_is_told_everything() => Simulation.RunReal(205_000, 25, simulation =>
    {
        (SimNode a, SimNode b) = PrivatePair(simulation);
        SimNode c = simulation.AddNode("c", Line, simulation.Network.AddNat(NatKind.Symmetric));
        simulation.Settle();
        simulation.Handshake(a, b);
        simulation.Handshake(b, c);
        c.Command((book, clock) => book.Request(clock, a.NodeId, "still open"));
        simulation.Network.Run(TimeSpan.FromSeconds(1) + TimeSpan.FromSeconds(20) * simulation.Network.Random.NextDouble());
        uint[] ids = [a.NodeId, b.NodeId, c.NodeId];
        SimTransfer running = a.Transfer(b, 1_000_000);
        simulation.Network.Run(TimeSpan.FromSeconds(0.3));
        simulation.Rendezvous.IsDown = true;
        simulation.Network.Run(TimeSpan.FromSeconds(simulation.Network.Random.NextDouble() * 40));
        simulation.Rendezvous.Restart();
        simulation.Rendezvous.IsDown = false;
        simulation.Complete(TimeSpan.FromSeconds(60), running);
        simulation.Network.Run(TimeSpan.FromSeconds(45));

        // The same ids, the same trust, and everything works that worked before.
        Assert.Equal(ids, new[] { a.NodeId, b.NodeId, c.NodeId });
        simulation.ExpectTrust(a, b, TimeSpan.FromSeconds(1));
        simulation.ExpectTrust(b, c, TimeSpan.FromSeconds(1));
        a.Crash();
        b.Crash();
        a.Start();
        b.Start();
        simulation.Settle();
        simulation.Complete(Seconds, a.Transfer(b, 1_000, isEcho: true), c.Transfer(b, 1_000, isEcho: true));
        Assert.Contains(a.Book.Pending, request => request.NodeId == c.NodeId);
        a.Command((book, clock) => book.Approve(clock, c.NodeId));
        simulation.ExpectTrust(a, c, TrustLimits.PollInterval + TimeSpan.FromSeconds(3));
    });

    [Fact]
    public void Trust_commands_during_an_outage_take_effect_afterwards() => Simulation.RunReal(206_000, 15, simulation =>
    {
        (SimNode a, SimNode b) = PrivatePair(simulation);
        simulation.Rendezvous.IsDown = true;
        long token = a.Command((book, clock) => book.Request(clock, b.NodeId, ""));
        b.Command((book, clock) => book.Request(clock, a.NodeId, ""));
        simulation.Network.Run(TimeSpan.FromSeconds(40));
        Assert.Equal(TrustDelivery.Pending, a.Results[token].Delivery);
        simulation.Rendezvous.IsDown = false;
        simulation.ExpectTrust(a, b, TimeSpan.FromSeconds(40));
        simulation.Complete(Seconds, a.Transfer(b, 1_000, isEcho: true));
    });

    [Fact]
    public void A_public_node_is_asked_directly() => Simulation.RunReal(207_000, 15, simulation =>
    {
        SimNode open = simulation.AddNode("open", Line, isPublic: true);
        SimNode asker = simulation.AddNode("asker", Line, simulation.Network.AddNat(NatKind.PortRestricted));
        simulation.Settle();
        asker.Command((book, clock) => book.Request(clock, open.NodeId, "direct"));
        simulation.Expect(() => open.Book.Pending.Count == 1, TimeSpan.FromSeconds(3), "the request");
        simulation.Expect(() => open.Verdicts.Count > 0, TimeSpan.FromSeconds(3), "the direct message");
        Assert.Equal(MessageVerdict.Accepted, open.Verdicts[0]);
        open.Command((book, clock) => book.Approve(clock, asker.NodeId));
        simulation.ExpectTrust(open, asker, TimeSpan.FromSeconds(3));
        simulation.Complete(Seconds, open.Transfer(asker, 1_000, isEcho: true));
    });

    [Theory]
    [InlineData(NatKind.Symmetric, NatKind.Symmetric)]
    [InlineData(NatKind.Symmetric, NatKind.PortRestricted)]
    public void Relay_only_pairs(object kindA, object kindB) => Simulation.RunReal(208_000, 15, simulation =>
    {
        SimNode a = simulation.AddNode("a", Line, simulation.Network.AddNat((NatKind)kindA));
        SimNode b = simulation.AddNode("b", Line, simulation.Network.AddNat((NatKind)kindB));
        simulation.Settle();
        simulation.Handshake(a, b);
        simulation.Complete(TimeSpan.FromSeconds(60), a.Transfer(b, 200_000, isEcho: true), b.Transfer(a, 200_000));
        Assert.Equal(PathKind.Relay, a.Node!.InspectPeers().Single().Path);

        // The relay forgets who is where; both come back to it by themselves.
        simulation.Rendezvous.Restart();
        simulation.Complete(TimeSpan.FromSeconds(90), a.Transfer(b, 50_000, isEcho: true, timeout: TimeSpan.FromSeconds(60)));
    });

    private static (SimNode A, SimNode B) PrivatePair(Simulation simulation)
    {
        SimNode a = simulation.AddNode("a", Line, simulation.Network.AddNat(NatKind.PortRestricted));
        SimNode b = simulation.AddNode("b", Line, simulation.Network.AddNat(NatKind.PortRestricted));
        simulation.Settle();
        return (a, b);
    }

    private static void AssertRefused(Simulation simulation, SimNode from, SimNode to)
    {
        SimTransfer dial = from.Transfer(to, 100);
        simulation.Expect(() => dial.IsOver, TimeSpan.FromSeconds(20), "the refusal");
        Assert.True(dial.Error is ConnectionError.NotFound or ConnectionError.Unreachable or ConnectionError.Timeout, $"{dial}");
        Assert.Equal(0, dial.Received);
    }

    private static void AssertUnknown(Simulation simulation, SimNode from, string hostname)
    {
        uint found = uint.MaxValue;
        simulation.Real.Find(from, hostname, id => found = id);
        simulation.Expect(() => found != uint.MaxValue, TimeSpan.FromSeconds(1), "an answer");
        Assert.Equal(0u, found);
    }
}
