using Pilot.Engine.Tests.Simulation;

namespace Pilot.Engine.Tests.Interop;

/// <summary>One side starts again and knows nothing; a reference never asks for a new key by itself (01 §5.8).</summary>
public sealed class RestartTests
{
    [Theory]
    [InlineData(0.0)]
    [InlineData(5.0)]
    [InlineData(90.0)]
    public void A_restarted_reference_is_reached_again_within_three_seconds(double pause) => InteropWorld.Run(2000, 15, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        world.Echo(ours, reference, 1);
        reference.Crash();
        world.RunFor(0.5);
        reference.Start();
        world.RunFor(pause);
        TimeSpan taken = world.Echo(ours, reference, 3);
        Assert.True(taken <= TimeSpan.FromSeconds(3), $"after {taken}");
        world.Echo(reference, ours, 1.5);
        Assert.False(reference.Node!.IsRelayed(ours.NodeId)); // that would be for the life of its process
    });

    [Fact]
    public void A_restarted_reference_that_dials_first_is_answered_at_once() => InteropWorld.Run(2100, 20, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        world.Echo(reference, ours, 1);
        reference.Crash();
        reference.Start();
        world.Expect(() => reference.Node is not null, 1, "start");
        TimeSpan taken = world.Echo(reference, ours, 2);
        Assert.True(taken < TimeSpan.FromSeconds(1.5), $"after {taken}");
        world.Echo(ours, reference, 1);
    });

    [Fact]
    public void A_reference_that_restarts_in_the_middle_of_a_stream_gets_a_new_stream_on_the_same_ports() => InteropWorld.Run(2200, 20, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        ReferenceConnection first = reference.Dial(ours, 7);
        first.Source = new Flow(1, 50_000);
        first.Sink = new Flow(1, 50_000);
        world.Expect(() => first.Sink.IsDone, 3, "first echo");
        reference.Crash();
        reference.Start();
        world.Expect(() => reference.Node is not null, 1, "start");

        // Port 49152 and ISN 0 again: only the new key tells our side that this is no repeated SYN.
        ReferenceConnection second = reference.Dial(ours, 7);
        Assert.Equal(first.LocalPort, second.LocalPort);
        second.Source = new Flow(2, 50_000);
        second.Sink = new Flow(2, 50_000);
        world.Expect(() => second.Sink.IsDone, 4, "second echo");
    });

    [Fact]
    public void After_our_restart_the_reference_reaches_us_with_its_next_SYN() => InteropWorld.Run(2300, 20, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        world.Echo(reference, ours, 1);
        ours.Crash();
        world.RunFor(1);
        ours.Start();
        world.RunFor(0.5);
        TimeSpan taken = world.Echo(reference, ours, 4);
        Assert.True(taken < TimeSpan.FromSeconds(1.5), $"after {taken}");
        Assert.False(reference.Node!.IsRelayed(ours.NodeId));
    });

    [Fact]
    public void After_our_restart_we_reach_the_reference_at_once() => InteropWorld.Run(2400, 20, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        OurStream old = ours.Dial(reference, 7);
        world.Expect(() => old.IsOpen, 1, "open");
        ours.Crash();
        world.RunFor(1);
        ours.Start();
        TimeSpan taken = world.Echo(ours, reference, 2);
        Assert.True(taken < TimeSpan.FromSeconds(1), $"after {taken}");
        Assert.Equal(0, reference.Node!.ReplayDrops);
    });

    [Fact]
    public void After_our_restart_a_stream_of_the_reference_ends_soon() => InteropWorld.Run(2500, 10, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        ReferenceConnection connection = reference.Dial(ours, 7);
        connection.Source = new Flow(1, 100);
        connection.Sink = new Flow(1, 100);
        world.Expect(() => connection.Sink.IsDone, 1, "echo");
        ours.Crash();
        world.RunFor(1);
        ours.Start();
        world.RunFor(1);
        reference.Use(node =>
        {
            connection.Peer.Write(world.Now, new byte[100]);
            node.Touch(world.Now, connection);
        });
        world.Expect(() => connection.Peer.WasReset, 3, "RST for data without a connection");
    });

    [Fact]
    public void Both_restart() => InteropWorld.Run(2600, 20, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        world.Echo(ours, reference, 1);
        ours.Crash();
        reference.Crash();
        world.RunFor(1);
        reference.Start();
        ours.Start();
        world.Settle();
        world.Echo(reference, ours, 2);
        world.Echo(ours, reference, 1);
    });

    [Fact]
    public void A_reference_that_forgot_us_alone_is_reached_again() => InteropWorld.Run(2700, 20, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        world.Echo(ours, reference, 1);
        reference.Use(node => node.Forget(ours.NodeId));
        world.Echo(ours, reference, 3);
        reference.Use(node => node.Forget(ours.NodeId));
        world.Echo(reference, ours, 3);
    });

    [Fact]
    public void The_address_of_a_restarted_reference_is_asked_again() => InteropWorld.Run(2800, 10, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        world.Echo(ours, reference, 1);
        reference.Crash();
        world.Network.Move(reference.Host, 4100);
        reference.Start();
        world.RunFor(1);
        world.Echo(ours, reference, 4);
    });
}
