using Pilot.Engine.Streams;
using Pilot.Engine.Tests.Simulation;

namespace Pilot.Engine.Tests.Interop;

/// <summary>Paths to references, which stick to the relay for life and refuse an exchange on the other kind of path (04 §8, 01 §5.9).</summary>
public sealed class RelayTests
{
    [Fact]
    public void We_reach_a_reference_by_relay_alone() => InteropWorld.Run(7000, 20, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        world.BlockDirect();
        TimeSpan taken = world.Echo(ours, reference, 2);
        Assert.True(taken < TimeSpan.FromSeconds(1), $"after {taken}");
        Assert.True(reference.Node!.IsRelayed(ours.NodeId));
        world.Echo(reference, ours, 1);
        Assert.Equal(0, reference.Node.ReplayDrops);
    });

    [Fact]
    public void A_reference_that_falls_back_to_the_relay_after_seven_seconds_is_answered_there() => InteropWorld.Run(7100, 10, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        world.BlockDirect();
        TimeSpan taken = world.Echo(reference, ours, 9);
        Assert.InRange(taken.TotalSeconds, 7, 8);
        world.Echo(ours, reference, 1);
    });

    [Fact]
    public void A_reference_with_a_random_listen_port_is_reached() => InteropWorld.Run(7200, 10, world =>
    {
        // It registers a port on which nobody listens (04 §5, §12); its own dials to us are direct.
        (OurHost ours, ReferenceHost reference) = world.Pair(new ReferenceSwitches { RegistersWrongPort = true });
        TimeSpan taken = world.Echo(ours, reference, 2);
        Assert.True(taken < TimeSpan.FromSeconds(1), $"after {taken}");
        world.Echo(reference, ours, 2);
    });

    [Theory]
    [InlineData(NatKind.PortRestricted, NatKind.PortRestricted)]
    [InlineData(NatKind.Restricted, NatKind.PortRestricted)]
    [InlineData(NatKind.Symmetric, NatKind.PortRestricted)]
    [InlineData(NatKind.PortRestricted, NatKind.Symmetric)]
    [InlineData(NatKind.Symmetric, NatKind.Symmetric)]
    [InlineData(NatKind.FullCone, NatKind.FullCone)]
    [InlineData(null, NatKind.PortRestricted)]
    [InlineData(NatKind.PortRestricted, null)]
    public void Behind_every_pair_of_NATs_we_meet(object? ourNat, object? referenceNat) => InteropWorld.Run(7300, 6, world =>
    {
        SimNat? Nat(object? kind) => kind is NatKind nat ? world.Network.AddNat(nat) : null;
        (OurHost ours, ReferenceHost reference) = world.Pair(ourNat: Nat(ourNat), referenceNat: Nat(referenceNat));
        if (world.Network.Seed % 2 == 0)
        {
            TimeSpan taken = world.Echo(ours, reference, 3);
            Assert.True(taken < TimeSpan.FromSeconds(1.5), $"after {taken}");
            world.Echo(reference, ours, 9);
        }
        else
        {
            world.Echo(reference, ours, 12);
            world.Echo(ours, reference, 3);
        }

        // A stream that rests outlives the mappings, which last 60 s.
        OurStream stream = ours.Dial(reference, 7);
        world.Expect(() => stream.IsOpen, 3, "open");
        world.RunFor(400);
        stream.Source = new Flow(3, 1000);
        stream.Sink = new Flow(3, 1000);
        ours.Use(static _ => { });
        world.Expect(() => stream.Sink.IsDone, 3, "echo after the rest");
    });

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void One_way_that_works_directly_is_enough(bool oursPass) => InteropWorld.Run(7400, 15, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        SimHost blocked = oursPass ? reference.Host : ours.Host;
        world.Filter = frame => frame.From == blocked && frame.To != world.Rendezvous.Beacon ? Fate.Drop : null;
        world.Echo(ours, reference, 4);
        world.Echo(reference, ours, 9);
        world.Echo(ours, reference, 1, 100_000);
    });

    [Fact]
    public void The_direct_path_is_taken_when_it_opens_and_the_key_stays() => InteropWorld.Run(7500, 10, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        world.BlockDirect();
        OurStream stream = ours.Dial(reference, 7);
        stream.Source = new Flow(1, 10_000);
        stream.Sink = new Flow(1, 10_000);
        world.Expect(() => stream.Sink.IsDone, 2, "echo by relay");
        Assert.Equal(PathKind.Relay, ours.Peer(reference)!.Path!.Value.Kind);
        int keys = world.KeysOf(ours);
        world.RunFor(10);
        world.Filter = null;
        world.Expect(() => ours.Peer(reference)!.Path!.Value.Kind == PathKind.Direct, 20, "direct");
        world.Echo(ours, reference, 10, 300_000); // its Nagle answers each segment below 4096 bytes alone until the path has proven more
        world.Echo(reference, ours, 1.5, 300_000);
        Assert.Equal(keys, world.KeysOf(ours));
        Assert.True(reference.Node!.IsRelayed(ours.NodeId)); // it stays there, and that is all right
        Assert.Equal(ConnectionError.None, stream.Connection.Error);
        Assert.Equal(0, reference.Node.AliasRefusals);
    });

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_stream_survives_the_end_of_its_direct_path(bool weSend) => InteropWorld.Run(7600, 10, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        var sink = new Flow(1, 2_000_000);
        OurStream? stream = null;
        ReferenceConnection? connection = null;
        if (weSend)
        {
            reference.Listen(1000, c => (connection = c).Sink = sink);
            stream = ours.Dial(reference, 1000);
            stream.Source = new Flow(1, 2_000_000);
        }
        else
        {
            ours.Listen(1000, s => (stream = s).Sink = sink);
            connection = reference.Dial(ours, 1000);
            connection.Source = new Flow(1, 2_000_000);
        }

        world.Expect(() => sink.Position > 100_000, 3, "begin");
        int keys = world.KeysOf(ours);
        world.BlockDirect();
        long before = sink.Position;
        world.Expect(() => sink.Position > before, 4, "progress by relay");
        world.Expect(() => sink.IsDone, 30, "end");
        Assert.Equal(keys, world.KeysOf(ours));
        Assert.Equal(ConnectionError.None, stream!.Connection.Error);
    });

    [Fact]
    public void After_our_restart_the_kind_of_path_that_the_reference_insists_on_is_found() => InteropWorld.Run(7700, 10, world =>
    {
        // Its first exchange with us went by relay: a direct one is refused until it restarts (01 §5.9).
        (OurHost ours, ReferenceHost reference) = world.Pair();
        world.BlockDirect();
        world.Echo(ours, reference, 2);
        world.Filter = null;
        ours.Crash();
        world.RunFor(1);
        ours.Start();
        world.RunFor(0.5);
        TimeSpan taken = world.Echo(ours, reference, 3);
        Assert.True(taken < TimeSpan.FromSeconds(1.5), $"after {taken}");
        world.Echo(reference, ours, 2);
    });

    [Fact]
    public void A_new_address_of_ours_is_followed_by_the_reference() => InteropWorld.Run(7800, 10, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        OurStream stream = ours.Dial(reference, 7);
        stream.Source = new Flow(1, 1000);
        stream.Sink = new Flow(1, 1000);
        world.Expect(() => stream.Sink.IsDone, 1, "echo");
        int keys = world.KeysOf(ours);
        world.Network.Move(ours.Host, 4200);
        ours.Use(node => node.Discover(world.Now));
        world.RunFor(1);
        Assert.Equal(ours.Host.Local, reference.Node!.Endpoint(ours.NodeId));
        Assert.False(reference.Node.IsRelayed(ours.NodeId));
        stream.Source = new Flow(2, 100_000);
        stream.Sink = new Flow(2, 100_000);
        ours.Use(static _ => { });
        world.Expect(() => stream.Sink.IsDone, 3, "echo from the new address");
        Assert.Equal(keys, world.KeysOf(ours));
    });

    [Fact]
    public void A_new_address_of_ours_is_survived_without_being_told() => InteropWorld.Run(7900, 10, world =>
    {
        // Nobody tells us; the beacon's next answer does, and until then the relay has to carry the answers.
        (OurHost ours, ReferenceHost reference) = world.Pair();
        OurStream stream = ours.Dial(reference, 7);
        stream.Source = new Flow(1, 500_000);
        stream.Sink = new Flow(1, 500_000);
        world.Expect(() => stream.Sink.Position > 50_000, 3, "begin");
        world.Network.Move(ours.Host, 4200);
        world.Expect(() => stream.Sink.IsDone, 60, "echo");
        Assert.Equal(ConnectionError.None, stream.Connection.Error);
    });

    [Fact]
    public void An_idle_stream_notices_the_end_of_the_direct_path_and_goes_on_by_relay() => InteropWorld.Run(8000, 5, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        OurStream stream = ours.Dial(reference, 7);
        world.Expect(() => stream.IsOpen, 1, "open");
        world.RunFor(30);
        world.BlockDirect();
        world.RunFor(300);
        stream.Source = new Flow(1, 1000);
        stream.Sink = new Flow(1, 1000);
        ours.Use(static _ => { });
        world.Expect(() => stream.Sink.IsDone, 2, "echo by relay");
    });

    [Fact]
    public void The_hourly_rekey_leaves_the_reference_on_the_direct_path() => InteropWorld.Run(8100, 3, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        OurStream stream = ours.Dial(reference, 7);
        world.Expect(() => stream.IsOpen, 1, "open");
        world.RunFor(2.5 * 3600);
        Assert.InRange(world.KeysOf(ours), 2, 4);
        Assert.False(reference.Node!.IsRelayed(ours.NodeId));
        stream.Source = new Flow(1, 1000);
        stream.Sink = new Flow(1, 1000);
        ours.Use(static _ => { });
        world.Expect(() => stream.Sink.IsDone, 1, "echo");
        Assert.Equal(0, reference.Node.ReplayDrops);
        world.Echo(reference, ours, 1);
    });

    [Fact]
    public void Dials_that_the_reference_does_not_answer_leave_it_on_the_direct_path() => InteropWorld.Run(8200, 5, world =>
    {
        // A gate or a limit of the reference drops SYN packets without a word; its pings are answered all the same.
        (OurHost ours, ReferenceHost reference) = world.Pair();
        world.Echo(ours, reference, 1);
        for (int i = 0; i < 30; i++)
        {
            ours.Dial(reference, 7, timeout: 5);
        }

        world.RunFor(10);
        Assert.True(reference.Node!.SynsRefused > 20);
        Assert.False(reference.Node.IsRelayed(ours.NodeId));
    });
}
