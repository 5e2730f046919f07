using Pilot.Engine.Tests.Simulation;

namespace Pilot.Engine.Tests.Interop;

/// <summary>The first frames between a node of ours and a reference, in every order and with every accident.</summary>
public sealed class FirstContactTests
{
    [Fact]
    public void We_dial_a_reference() => InteropWorld.Run(1, 20, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        OurStream stream = ours.Dial(reference, 7);
        stream.Source = new Flow(1, 1000);
        stream.Sink = new Flow(1, 1000);
        TimeSpan open = world.Expect(() => stream.IsOpen, 1, "open");
        world.Expect(() => stream.Sink.IsDone, 1, "echo");
        Assert.True(open < TimeSpan.FromMilliseconds(200), $"open after {open}");
        Assert.False(reference.Node!.IsRelayed(ours.NodeId));
    });

    [Fact]
    public void A_reference_dials_us() => InteropWorld.Run(1, 20, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        ReferenceConnection connection = reference.Dial(ours, 7);
        connection.Source = new Flow(1, 1000);
        connection.Sink = new Flow(1, 1000);
        TimeSpan open = world.Expect(() => connection.Peer.IsEstablished, 1, "open");
        world.Expect(() => connection.Sink.IsDone, 1, "echo");
        Assert.True(open < TimeSpan.FromMilliseconds(200), $"open after {open}");
        Assert.False(reference.Node!.IsRelayed(ours.NodeId));
    });
}
