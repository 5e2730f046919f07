using Pilot.Engine.Streams;
using Pilot.Engine.Tests.Simulation;
using Pilot.Engine.Trust;

namespace Pilot.Engine.Tests.Interop;

/// <summary>Trust between a node of ours and a reference at our own rendezvous, which records consent per direction (05 §15, §16).</summary>
public sealed class TrustHandshakeTests
{
    private static readonly LinkProfile Line = InteropWorld.Line with { Delay = TimeSpan.FromMilliseconds(15), Loss = 0.005 };
    private static readonly TimeSpan Seconds = TimeSpan.FromSeconds(10);

    [Fact]
    public void A_private_reference_asks_us() => Run(10_000, false, false, (simulation, ours, reference) =>
    {
        reference.Use(node => node.Handshake(simulation.Network.Now, ours.NodeId, "let us <talk> & more"));
        simulation.Expect(() => ours.Book.Pending.Count == 1, TimeSpan.FromSeconds(16), "the request");
        Assert.Equal((reference.NodeId, "let us <talk> & more"), (ours.Book.Pending[0].NodeId, ours.Book.Pending[0].Justification));
        ours.Command((book, clock) => book.Approve(clock, reference.NodeId));
        simulation.Expect(() => reference.Node!.Records.ContainsKey(ours.NodeId), TimeSpan.FromSeconds(35), "our accept");
        AssertMutual(simulation, ours, reference);
    });

    [Fact]
    public void We_ask_a_private_reference() => Run(10_100, false, false, (simulation, ours, reference) =>
    {
        ours.Command((book, clock) => book.Request(clock, reference.NodeId, "hello"));
        simulation.Expect(() => reference.Node!.PendingRequests.ContainsKey(ours.NodeId), TimeSpan.FromSeconds(32), "the request, at its next heartbeat");
        Assert.Equal("hello", reference.Node!.PendingRequests[ours.NodeId]);
        reference.Use(node => node.Approve(simulation.Network.Now, ours.NodeId));
        simulation.Expect(() => Trusts(ours, reference), TimeSpan.FromSeconds(5), "its accept");
        AssertMutual(simulation, ours, reference);
    });

    [Fact]
    public void Both_ask_and_nobody_has_to_approve() => Run(10_200, false, false, (simulation, ours, reference) =>
    {
        ours.Command((book, clock) => book.Request(clock, reference.NodeId, ""));
        reference.Use(node => node.Handshake(simulation.Network.Now, ours.NodeId, ""));
        simulation.Expect(() => Trusts(ours, reference) && reference.Node!.Records.ContainsKey(ours.NodeId), TimeSpan.FromSeconds(40), "trust on both sides");
        AssertMutual(simulation, ours, reference);
    });

    [Fact]
    public void We_ask_a_public_reference_directly() => Run(10_300, false, true, (simulation, ours, reference) =>
    {
        ours.Command((book, clock) => book.Request(clock, reference.NodeId, "hello"));
        simulation.Expect(() => reference.Node!.PendingRequests.ContainsKey(ours.NodeId), TimeSpan.FromSeconds(5), "the request, directly");
        reference.Use(node => node.Approve(simulation.Network.Now, ours.NodeId));
        simulation.Expect(() => Trusts(ours, reference), TimeSpan.FromSeconds(5), "its accept");
        Assert.All(reference.Node!.Refusals, refusal => Assert.Equal("replay", refusal));
        AssertMutual(simulation, ours, reference);
    });

    [Fact]
    public void A_private_reference_asks_us_directly_when_we_are_public() => Run(10_400, true, false, (simulation, ours, reference) =>
    {
        reference.Use(node => node.Handshake(simulation.Network.Now, ours.NodeId, "hello"));
        simulation.Expect(() => ours.Book.Pending.Count == 1, TimeSpan.FromSeconds(5), "the request, directly");
        ours.Command((book, clock) => book.Approve(clock, reference.NodeId));

        // Its request never touched the registry: only our relayed answer tells it (05 §15, the known gap).
        simulation.Expect(() => reference.Node!.Records.ContainsKey(ours.NodeId), TimeSpan.FromSeconds(35), "our accept");
        AssertMutual(simulation, ours, reference);
    });

    [Fact]
    public void A_reference_rejects_us() => Run(10_500, false, false, (simulation, ours, reference) =>
    {
        ours.Command((book, clock) => book.Request(clock, reference.NodeId, ""));
        simulation.Expect(() => reference.Node!.PendingRequests.ContainsKey(ours.NodeId), TimeSpan.FromSeconds(32), "the request");
        reference.Use(node => node.Reject(simulation.Network.Now, ours.NodeId, "no"));
        simulation.Expect(() => ours.TrustEvents.Exists(e => e.Name == TrustEventNames.Rejected), TimeSpan.FromSeconds(20), "the rejection");
        Assert.False(Trusts(ours, reference));
    });

    [Fact]
    public void We_revoke_and_the_reference_is_told() => Run(10_600, false, false, (simulation, ours, reference) =>
    {
        Befriend(simulation, ours, reference);
        SimTransfer running = ours.Transfer(reference.NodeId, 20_000_000, isEcho: true);
        simulation.Network.Run(TimeSpan.FromSeconds(1));
        ours.Command((book, clock) => book.Untrust(clock, reference.NodeId));
        simulation.Expect(() => running.IsOver, TimeSpan.FromSeconds(4), "the end of the running stream");
        simulation.Expect(() => !reference.Node!.Records.ContainsKey(ours.NodeId), TimeSpan.FromSeconds(4), "the notice");
        AssertSilence(simulation, ours, reference);
    });

    [Fact]
    public void A_reference_revokes_and_its_notice_reaches_us() => Run(10_700, true, false, (simulation, ours, reference) =>
    {
        // Between references it practically never arrives, because the peer does not answer its exchange (05 §10.3). It needs
        // an endpoint that the registry tells it, as that of a public node: the one learned from us goes with the trust.
        Befriend(simulation, ours, reference);
        reference.Use(node => node.Revoke(simulation.Network.Now, ours.NodeId));
        simulation.Expect(() => !Trusts(ours, reference), TimeSpan.FromSeconds(20), "the notice");
        Assert.Contains(ours.TrustEvents, e => e.Name == TrustEventNames.RevokedByPeer);
        AssertWeAreRefused(simulation, ours, reference);
    });

    [Fact]
    public void Trust_survives_restarts_of_both() => Run(10_800, false, false, (simulation, ours, reference) =>
    {
        Befriend(simulation, ours, reference);
        reference.Crash();
        reference.Start();
        simulation.Expect(() => reference.Node is not null, Seconds, "start");
        reference.Trust(ours.NodeId);
        ours.Crash();
        simulation.Network.Run(TimeSpan.FromSeconds(1));
        ours.Start();
        simulation.Settle();
        AssertMutual(simulation, ours, reference);
    });

    private static void Run(ulong seed, bool weArePublic, bool itIsPublic, Action<Simulation.Simulation, SimNode, ReferenceHost> scenario) =>
        Simulation.Simulation.RunReal(seed, 5, simulation =>
        {
            SimNode ours = simulation.AddNode("ours", Line, isPublic: weArePublic);
            ReferenceHost reference = new RealSite(simulation).Add(new ReferenceSwitches { IsPublic = itIsPublic }, Line);
            simulation.Settle();
            scenario(simulation, ours, reference);
        });

    private static void Befriend(Simulation.Simulation simulation, SimNode ours, ReferenceHost reference)
    {
        ours.Command((book, clock) => book.Request(clock, reference.NodeId, ""));
        reference.Use(node => node.Handshake(simulation.Network.Now, ours.NodeId, ""));
        simulation.Expect(() => Trusts(ours, reference) && reference.Node!.Records.ContainsKey(ours.NodeId), TimeSpan.FromSeconds(40), "trust on both sides");
        AssertMutual(simulation, ours, reference);
    }

    /// <summary>The right key is trusted, and streams open in both directions.</summary>
    private static void AssertMutual(Simulation.Simulation simulation, SimNode ours, ReferenceHost reference)
    {
        Assert.True(Trusts(ours, reference));
        OurEcho(simulation, ours, reference);
        TheirEcho(simulation, ours, reference);
        Assert.False(reference.Node!.IsRelayed(ours.NodeId));
    }

    private static void OurEcho(Simulation.Simulation simulation, SimNode ours, ReferenceHost reference)
    {
        SimTransfer transfer = ours.Transfer(reference.NodeId, 2_000, isEcho: true);
        simulation.Expect(() => transfer.Returned == 2_000, Seconds, $"its echo; {transfer}");
        transfer.Received = 2_000; // what came back had arrived
        ours.Use(node =>
        {
            foreach (Connection dialed in node.Connections.Where(connection => connection.IsDialer).ToArray())
            {
                dialed.Close(simulation.Network.Now);
                node.Touch(simulation.Network.Now, dialed);
            }
        });
    }

    private static void TheirEcho(Simulation.Simulation simulation, SimNode ours, ReferenceHost reference)
    {
        ReferenceConnection connection = reference.Dial(ours.NodeId, SimNode.EchoPort);
        SimTransfer transfer = simulation.NewTransfer(2_000, isEcho: true);
        transfer.Written = 2_000;
        simulation.Expect(reference.NodeId, connection.LocalPort, ours.NodeId, transfer);
        connection.Source = new Flow(transfer.Salt, 2_000);
        connection.Sink = new Flow(transfer.Salt, 2_000);
        simulation.Expect(() => connection.Sink.IsDone, Seconds, "our echo");
        reference.Use(node => node.Close(simulation.Network.Now, connection));
    }

    private static void AssertSilence(Simulation.Simulation simulation, SimNode ours, ReferenceHost reference)
    {
        bool failed = false;
        ReferenceConnection? connection = null;
        reference.Use(node => connection = node.Dial(simulation.Network.Now, ours.NodeId, SimNode.EchoPort, out _));
        if (connection is not null)
        {
            connection.OnFailed = () => failed = true;
            simulation.Expect(() => failed, TimeSpan.FromSeconds(45), "dial timeout of the reference");
        }

        AssertWeAreRefused(simulation, ours, reference);
    }

    private static void AssertWeAreRefused(Simulation.Simulation simulation, SimNode ours, ReferenceHost reference)
    {
        SimTransfer dial = ours.Transfer(reference.NodeId, 100);
        simulation.Expect(() => dial.IsOver, TimeSpan.FromSeconds(20), "end of our dial");
        Assert.NotEqual(ConnectionError.None, dial.Error);
    }

    private static bool Trusts(SimNode ours, ReferenceHost reference) => ours.Book.Snapshot.IsTrusted(reference.NodeId, reference.Identity.PublicKeySpan);
}
