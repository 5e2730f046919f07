using Pilot.Engine.Streams;
using Pilot.Engine.Tests.Simulation;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Interop;

/// <summary>Ends of streams: a reference's FIN ends both directions, is sent once, and it answers FIN|ACK with FIN|ACK (02 §12).</summary>
public sealed class ClosingTests
{
    private const int Size = 200_000;

    [Theory]
    [InlineData(0.0)]
    [InlineData(0.3)]
    public void Our_close_delivers_everything_first(double lossAtTheEnd) => InteropWorld.Run(5000, 30, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        ReferenceConnection? reader = null;
        reference.Listen(1000, connection =>
        {
            reader = connection;
            connection.Sink = new Flow(1, Size);
        });
        OurStream stream = ours.Dial(reference, 1000);
        world.Expect(() => stream.IsOpen, 2, "open");
        SimRandom random = world.Network.Random.Child("loss");
        world.Filter = frame => frame.IsEncrypted && random.Chance(lossAtTheEnd) ? Fate.Drop : null;
        stream.Source = new Flow(1, Size);
        stream.Closes = true;
        ours.Use(static _ => { });
        world.Expect(() => reader is { IsEnded: true }, 40, "end at the reference");
        Assert.True(reader!.Sink!.IsDone);
        world.Expect(() => ours.Node!.ConnectionCount == 0, 60, "nothing left here");
        Assert.Equal(ConnectionError.None, stream.Connection.Error);
    });

    [Fact]
    public void Closing_makes_no_endless_exchange() => InteropWorld.Run(5100, 10, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        OurStream stream = ours.Dial(reference, 7);
        ReferenceConnection connection = reference.Dial(ours, 7);
        world.Expect(() => stream.IsOpen && connection.Peer.IsEstablished, 2, "open");
        world.RunFor(1);
        int fins = 0;
        reference.Node!.Routed = (header, _) => fins += (header.Flags & PacketFlags.Fin) != 0 ? 1 : 0;
        ours.Use(_ => stream.Connection.Close(world.Now));
        reference.Use(node => node.Close(world.Now, connection));
        world.RunFor(60);
        Assert.Equal(2, fins); // our FIN, and our answer to its FIN
        Assert.Equal(0, ours.Node!.ConnectionCount);
        Assert.Empty(reference.Node.Connections);
    });

    [Fact]
    public void Both_close_in_the_same_moment() => InteropWorld.Run(5200, 30, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair(profile: InteropWorld.Line with { Jitter = TimeSpan.FromMilliseconds(10) });
        ReferenceConnection connection = reference.Dial(ours, 7);
        connection.Source = new Flow(1, 500);
        connection.Sink = new Flow(1, 500);
        world.Expect(() => connection.Sink.IsDone, 2, "echo");
        OurStream stream = ours.Streams.Single();
        ours.Use(_ => stream.Connection.Close(world.Now));
        reference.Use(node => node.Close(world.Now, connection));
        world.Expect(() => ours.Node!.ConnectionCount == 0, 30, "nothing left here");
        Assert.Equal(ConnectionError.None, stream.Connection.Error);
    });

    [Fact]
    public void The_close_of_a_reference_is_a_clean_end_when_everything_came() => InteropWorld.Run(5300, 30, world =>
    {
        // Its FIN overtakes data: they are waited for.
        (OurHost ours, ReferenceHost reference) = world.Pair(profile: InteropWorld.Line with { Reorder = 0.3, ReorderBy = TimeSpan.FromMilliseconds(15) });
        OurStream? reader = null;
        ours.Listen(1000, stream =>
        {
            reader = stream;
            stream.Sink = new Flow(1, 20_000);
        });
        ReferenceConnection connection = reference.Dial(ours, 1000);
        connection.Source = new Flow(1, 20_000);
        world.Expect(() => connection.Source.IsDone && !connection.Peer.IsWriterBlocked, 3, "written");
        reference.Use(node => node.Close(world.Now, connection));
        world.Expect(() => reader is { IsEnded: true }, 3, "end here");
        Assert.Equal(ConnectionError.None, reader!.Connection.Error);
        Assert.True(reader.Sink!.IsDone);
    });

    [Fact]
    public void The_close_of_a_reference_that_lost_data_is_an_error() => InteropWorld.Run(5400, 10, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        OurStream? reader = null;
        ours.Listen(1000, stream =>
        {
            reader = stream;
            stream.Sink = new Flow(1, 20_000);
        });
        ReferenceConnection connection = reference.Dial(ours, 1000);
        world.Expect(() => connection.Peer.IsEstablished && reader is not null, 3, "open");
        world.RunFor(1);
        int large = 0;
        world.Filter = frame => frame.From == reference.Host && frame.IsEncrypted && frame.Datagram.Length > 2000 && ++large == 3 ? Fate.Drop : null;
        connection.Source = new Flow(1, 20_000);
        reference.Use(node =>
        {
            node.Touch(world.Now, connection);
            node.Close(world.Now, connection); // it repeats nothing after its FIN
        });
        world.Expect(() => reader!.IsEnded, 3, "end here");
        Assert.Equal(ConnectionError.Truncated, reader!.Connection.Error);
        Assert.False(reader.Sink!.IsDone);
    });

    [Fact]
    public void An_answer_after_our_end_of_writing_still_comes() => InteropWorld.Run(5500, 20, world =>
    {
        // Request, end of our direction, answer two seconds later: a FIN of ours would have cut the answer off.
        (OurHost ours, ReferenceHost reference) = world.Pair();
        int asked = 0;
        ReferenceConnection? server = null;
        reference.Listen(1000, connection =>
        {
            server = connection;
            connection.OnSegment = segment => asked += segment.Length;
        });
        OurStream stream = ours.Dial(reference, 1000);
        stream.Source = new Flow(1, 5000);
        stream.Sink = new Flow(2, 300_000);
        stream.ShutsDown = true;
        world.Expect(() => asked == 5000, 3, "request");
        world.RunFor(2);
        reference.Use(node =>
        {
            server!.Source = new Flow(2, 300_000);
            node.Touch(world.Now, server);
        });
        world.Expect(() => stream.Sink.IsDone, 5, "answer");
        reference.Use(node => node.Close(world.Now, server!));
        world.Expect(() => stream.IsEnded, 3, "end");
        Assert.Equal(ConnectionError.None, stream.Connection.Error);
        world.Expect(() => ours.Node!.ConnectionCount == 0, 30, "nothing left here");
    });

    [Fact]
    public void The_held_end_is_sent_when_nothing_comes_any_more() => InteropWorld.Run(5600, 5, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        ReferenceConnection? server = null;
        reference.Listen(1000, connection => server = connection);
        OurStream stream = ours.Dial(reference, 1000);
        stream.Source = new Flow(1, 5000);
        stream.ShutsDown = true;
        world.RunFor(25);
        Assert.False(server!.IsEnded);
        world.Expect(() => server!.IsEnded, 15, "end at the reference");
        Assert.Equal(5000, server.Segments.Sum(segment => segment.Length));
    });

    [Fact]
    public void A_closed_port_refuses_at_once_in_both_directions() => InteropWorld.Run(5700, 10, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        OurStream stream = ours.Dial(reference, 4711);
        world.Expect(() => stream.HasFailed, 1, "refusal by the reference");
        Assert.Equal(ConnectionError.Refused, stream.Connection.Error);
        ReferenceConnection connection = reference.Dial(ours, 4711);
        world.Expect(() => connection.Peer.WasReset, 1, "refusal by us");
        world.Expect(() => ours.Node!.ConnectionCount == 0, 1, "nothing left here");
    });

    [Fact]
    public void An_abandoned_stream_of_the_reference_ends_here_with_an_error() => InteropWorld.Run(5800, 10, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        ReferenceConnection connection = reference.Dial(ours, 7);
        connection.Source = new Flow(1, 10_000);
        connection.Sink = new Flow(1, 10_000);
        world.Expect(() => connection.Sink.IsDone, 2, "echo");
        world.Filter = frame => frame.From == ours.Host ? Fate.Drop : null;
        reference.Use(node =>
        {
            connection.Peer.Write(world.Now, new byte[100]);
            node.Touch(world.Now, connection);
        });
        world.Expect(() => connection.Peer.WasAbandoned, 20, "eight transmissions in vain");
        world.RunFor(0.1);
        OurStream stream = ours.Streams.Single();
        Assert.Equal(ConnectionError.Reset, stream.Connection.Error);
    });

    [Fact]
    public void The_lost_FIN_of_a_reference_is_noticed_in_the_end() => InteropWorld.Run(5900, 5, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        OurStream stream = ours.Dial(reference, 7);
        world.Expect(() => stream.IsOpen, 2, "open");
        world.RunFor(1);
        world.Filter = frame => frame.From == reference.Host ? Fate.Drop : null;
        reference.Use(node => node.Stop(world.Now));
        world.RunFor(0.1);
        world.Filter = null;
        world.Expect(() => stream.Connection.State == ConnectionState.Closed, 135, "end here");
        Assert.Equal(ConnectionError.PeerGone, stream.Connection.Error);
    });

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_stream_that_is_idle_for_ten_minutes_stays_up(bool weDial) => InteropWorld.Run(6000, 4, world =>
    {
        // The reference closes what was idle for 120 s; its own keepalives only keep us fresh (02 §11).
        (OurHost ours, ReferenceHost reference) = world.Pair();
        OurStream? stream = weDial ? ours.Dial(reference, 7) : null;
        ReferenceConnection connection = weDial ? null! : reference.Dial(ours, 7);
        world.Expect(() => weDial ? stream!.IsOpen : connection.Peer.IsEstablished, 2, "open");
        int packets = 0;
        reference.Node!.Routed = (header, _) => packets += header.Protocol == PacketProtocol.Stream ? 1 : 0;
        world.RunFor(600);
        Assert.InRange(packets, 15, 60);
        stream ??= ours.Streams.Single();
        connection ??= reference.Node.Connections.Single();
        Assert.Equal(ConnectionState.Established, stream.Connection.State);
        Assert.True(connection.Peer.IsEstablished);
        if (weDial)
        {
            stream.Source = new Flow(1, 1000);
            stream.Sink = new Flow(1, 1000);
            ours.Use(static _ => { });
        }
        else
        {
            connection.Source = new Flow(1, 1000);
            connection.Sink = new Flow(1, 1000);
            reference.Use(node => node.Touch(world.Now, connection));
        }

        world.Expect(() => weDial ? stream.Sink!.IsDone : connection.Sink!.IsDone, 1, "echo after all that time");
    });

    [Fact]
    public void A_private_reference_that_does_not_trust_us_lets_the_dial_time_out() => InteropWorld.Run(6100, 5, world =>
    {
        OurHost ours = world.AddOurs();
        ReferenceHost reference = world.AddReference();
        world.Settle();
        ours.Trust(reference.NodeId, reference.Identity);
        world.Rendezvous.AddPair(ours.NodeId, 99);
        OurStream denied = ours.Dial(reference, 7);
        world.Expect(() => denied.HasFailed, 1, "resolve is denied");
        Assert.Equal(ConnectionError.NotFound, denied.Connection.Error);
    });

    [Fact]
    public void A_reference_that_we_do_not_trust_hears_nothing() => InteropWorld.Run(6200, 5, world =>
    {
        OurHost ours = world.AddOurs();
        ReferenceHost reference = world.AddReference();
        world.Settle();
        world.Rendezvous.AddPair(ours.NodeId, reference.NodeId); // made by the reference alone (05 W1)
        ReferenceConnection connection = reference.Dial(ours, 7);
        int frames = 0;
        world.Filter = frame =>
        {
            frames += frame.From == ours.Host && frame.To != world.Rendezvous.Beacon && frame.Kind != DatagramKind.Punch ? 1 : 0;
            frames += frame.From == ours.Host && frame.IsRelayed ? 1 : 0;
            return null;
        };
        bool failed = false;
        connection.OnFailed = () => failed = true;
        world.Expect(() => failed, 35, "dial timeout");
        Assert.Equal(0, frames);
    });
}
