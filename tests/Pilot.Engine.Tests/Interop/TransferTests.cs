using Pilot.Engine.Streams;
using Pilot.Engine.Tests.Simulation;

namespace Pilot.Engine.Tests.Interop;

/// <summary>Bytes in both directions between a node of ours and a reference, over good and bad lines.</summary>
public sealed class TransferTests
{
    private const int FourMiB = 4 << 20;

    [Theory]
    [InlineData(0.0, 5, 3100)]
    [InlineData(0.01, 40, 3200)]
    [InlineData(0.02, 90, 3300)]
    public void The_echo_of_a_reference_returns_four_MiB(double loss, double seconds, ulong seed) => InteropWorld.Run(seed, 3, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair(profile: Lossy(loss));
        world.Echo(ours, reference, 5);
        TimeSpan taken = world.Echo(ours, reference, seconds, FourMiB);
        TestContext.Current.TestOutputHelper?.WriteLine($"loss {loss}: {taken.TotalSeconds:F2} s");
        Assert.False(reference.Node!.IsRelayed(ours.NodeId));
        Assert.Equal(0, reference.Node.ReplayDrops);
    });

    [Theory]
    [InlineData(0.0, 5, 3400)]
    [InlineData(0.01, 60, 3500)]
    [InlineData(0.02, 120, 3600)]
    public void Our_echo_returns_four_MiB_to_a_reference(double loss, double seconds, ulong seed) => InteropWorld.Run(seed, 3, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair(profile: Lossy(loss));
        world.Echo(reference, ours, 8);
        TimeSpan taken = world.Echo(reference, ours, seconds, FourMiB);
        TestContext.Current.TestOutputHelper?.WriteLine($"loss {loss}: {taken.TotalSeconds:F2} s");
        Assert.Equal(0UL, ours.Node!.Statistics.Replays);
    });

    [Fact]
    public void A_reference_with_the_default_socket_buffer_is_not_overrun() => InteropWorld.Run(3700, 3, world =>
    {
        // One router that takes 33 us for a packet, 212,992 bytes of socket buffer, a fast line (02 §17.2, §20).
        (OurHost ours, ReferenceHost reference) = world.Pair(
            new ReferenceSwitches { PacketTime = TimeSpan.FromMicroseconds(33) },
            InteropWorld.Line with { Delay = TimeSpan.FromMicroseconds(100) });
        var sink = new Flow(9, 2 * FourMiB);
        reference.Listen(1000, connection => connection.Sink = sink);
        OurStream stream = ours.Dial(reference, 1000);
        stream.Source = new Flow(9, 2 * FourMiB);
        TimeSpan taken = world.Expect(() => sink.IsDone, 5, "8 MiB");
        TestContext.Current.TestOutputHelper?.WriteLine($"{2 * FourMiB / taken.TotalSeconds / 1e6:F1} MB/s, {reference.Node!.SocketDrops} drops");
        Assert.True(reference.Node!.SocketDrops < 100, $"{reference.Node.SocketDrops} datagrams overflowed");
    });

    [Fact]
    public void A_slow_reader_at_the_reference_never_stops_its_router() => InteropWorld.Run(3800, 2, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        var sink = new Flow(9, 3 << 20);
        reference.Listen(1000, connection =>
        {
            connection.Sink = sink;
            connection.ReadPause = TimeSpan.FromMilliseconds(40);
        });
        bool stopped = false;
        world.Filter = _ =>
        {
            stopped |= reference.Node!.RouterIsStopped;
            return null;
        };
        OurStream stream = ours.Dial(reference, 1000);
        stream.Source = new Flow(9, 3 << 20);
        world.Expect(() => sink.IsDone, 120, "3 MiB");
        Assert.False(stopped);
        Assert.Equal(ConnectionError.None, stream.Connection.Error);
    });

    [Fact]
    public void A_reader_at_the_reference_that_rests_for_minutes_loses_nothing() => InteropWorld.Run(3850, 2, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        var sink = new Flow(9, 3 << 20);
        ReferenceConnection? reader = null;
        reference.Listen(1000, connection =>
        {
            reader = connection;
            connection.Sink = sink;
            connection.ReadPause = TimeSpan.FromSeconds(150);
        });
        OurStream stream = ours.Dial(reference, 1000);
        stream.Source = new Flow(9, 3 << 20);
        world.RunFor(140);
        Assert.False(reference.Node!.RouterIsStopped);
        Assert.Equal(ConnectionState.Established, stream.Connection.State);
        reader!.ReadPause = TimeSpan.Zero;
        world.Expect(() => sink.IsDone, 60, "3 MiB");
    });

    [Fact]
    public void A_slow_reader_here_is_not_abandoned_by_the_reference() => InteropWorld.Run(3900, 2, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        var sink = new Flow(9, 3 * FourMiB);
        ours.Listen(1000, stream =>
        {
            stream.Sink = sink;
            stream.ReadPause = TimeSpan.FromMilliseconds(150);
        });
        ReferenceConnection connection = reference.Dial(ours, 1000);
        connection.Source = new Flow(9, 3 * FourMiB);
        world.Expect(() => sink.IsDone || connection.Peer.WasAbandoned, 90, "12 MiB");
        Assert.False(connection.Peer.WasAbandoned);
    });

    [Fact]
    public void A_reader_here_that_rests_for_a_minute_is_not_abandoned() => InteropWorld.Run(3950, 2, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        var sink = new Flow(9, 3 * FourMiB);
        OurStream? reader = null;
        ours.Listen(1000, stream =>
        {
            reader = stream;
            stream.Sink = sink;
            stream.ReadPause = TimeSpan.FromSeconds(70);
        });
        ReferenceConnection connection = reference.Dial(ours, 1000);
        connection.Source = new Flow(9, 3 * FourMiB);
        world.RunFor(65);
        Assert.False(connection.Peer.WasAbandoned);
        reader!.ReadPause = TimeSpan.Zero;
        world.Expect(() => sink.IsDone || connection.Peer.WasAbandoned, 60, "12 MiB");
        Assert.False(connection.Peer.WasAbandoned);
    });

    [Fact]
    public void Small_exchanges_on_a_very_fast_line_survive_the_late_record_of_the_reference() => InteropWorld.Run(4000, 3, world =>
    {
        // An acknowledgement within 0.5 ms of a segment would be lost on a reference, and the segment with it (02 §6.5).
        (OurHost ours, ReferenceHost reference) = world.Pair(
            new ReferenceSwitches { RecordDelay = TimeSpan.FromMilliseconds(0.5) },
            InteropWorld.Line with { Delay = TimeSpan.FromMicroseconds(20) });
        ReferenceConnection connection = reference.Dial(ours, 7);
        world.Expect(() => connection.Peer.IsEstablished, 1, "open");
        for (uint i = 0; i < 400; i++)
        {
            connection.Sink = new Flow(i, 40);
            reference.Use(node =>
            {
                connection.Peer.Write(world.Now, new Flow(i, 40).Next(40));
                node.Touch(world.Now, connection);
            });
            world.Expect(() => connection.Sink.IsDone, 1, $"echo {i}");
        }

        world.RunFor(10);
        Assert.False(connection.Peer.WasAbandoned);
        Assert.Equal(0, connection.Peer.TimeoutRetransmissions);
    });

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Data_that_look_like_a_SACK_report_arrive(bool weSend) => InteropWorld.Run(4100, 40, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        SimRandom random = world.Network.Random.Child("lookalike");
        List<byte> sent = [];
        List<byte> received = [];
        reference.Listen(1000, connection => connection.OnSegment = received.AddRange);
        ours.Listen(1000, stream => stream.OnBytes = bytes => received.AddRange(bytes));
        OurStream? stream = weSend ? ours.Dial(reference, 1000) : null;
        ReferenceConnection? connection = weSend ? null : reference.Dial(ours, 1000);
        world.Expect(() => stream?.IsOpen ?? connection!.Peer.IsEstablished, 2, "open");
        for (int i = 0; i < 20; i++)
        {
            byte[] data = new byte[5 + (8 * (1 + random.Next(4))) + (random.Chance(0.3) ? random.Next(20) : 0)];
            random.Fill(data);
            "SACK"u8.CopyTo(data);
            data[4] = (byte)(1 + random.Next(4));
            sent.AddRange(data);
            if (stream is not null)
            {
                ours.Use(_ => Assert.Equal(data.Length, stream.Connection.Write(world.Now, data)));
            }
            else
            {
                reference.Use(node =>
                {
                    connection!.Peer.Write(world.Now, data);
                    node.Touch(world.Now, connection);
                });
            }

            if (random.Chance(0.5))
            {
                world.RunFor(0.1);
            }
        }

        world.Expect(() => received.Count >= sent.Count, 3, "all data");
        Assert.Equal(sent, received);
    });

    [Fact]
    public void What_a_reference_says_first_is_complete_although_its_answer_was_lost() => InteropWorld.Run(4200, 60, world =>
    {
        // Its repeated SYN-ACK names its next number instead of 0 (02 §4.4).
        (OurHost ours, ReferenceHost reference) = world.Pair();
        world.Echo(ours, reference, 2);
        reference.Listen(2000, connection => connection.Source = new Flow(5, 3000));
        SimRandom random = world.Network.Random.Child("loss");
        Instant end = world.Now + TimeSpan.FromSeconds(1.5);
        world.Filter = frame => frame.IsEncrypted && world.Now < end && random.Chance(0.5) ? Fate.Drop : null;
        OurStream stream = ours.Dial(reference, 2000);
        stream.Sink = new Flow(5, 3000);
        world.Expect(() => stream.Sink.IsDone, 10, "all that the reference said");
    });

    private static LinkProfile Lossy(double loss) => InteropWorld.Line with { Loss = loss / 2, Delay = TimeSpan.FromMilliseconds(5) }; // two links each way
}
