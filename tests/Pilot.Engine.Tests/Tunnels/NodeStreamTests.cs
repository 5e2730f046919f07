using Pilot.Engine.Streams;

namespace Pilot.Engine.Tests.Tunnels;

public sealed class NodeStreamTests
{
    [Fact]
    public void A_dial_before_any_tunnel_connects_and_carries_bytes_both_ways()
    {
        var (wire, a, b) = Wire.Pair();
        var transfer = new EchoTransfer(wire, a, b, 300_000);
        Assert.True(wire.RunUntil(() => transfer.Step(), TimeSpan.FromSeconds(30)), transfer.Describe());
        Assert.True(transfer.IsEqual);
        wire.RunFor(TimeSpan.FromSeconds(30));
        Assert.Equal(0, a.Node.PortLeases);
        Assert.Equal(0, b.Node.PortLeases);
        Assert.Equal(0, a.Node.ConnectionCount);
    }

    [Fact]
    public void A_stream_survives_lost_frames()
    {
        var (wire, a, b) = Wire.Pair();
        var random = new Random(1);
        wire.Filter = (_, _, _) => random.Next(100) >= 5;
        var transfer = new EchoTransfer(wire, a, b, 300_000);
        Assert.True(wire.RunUntil(() => transfer.Step(), TimeSpan.FromSeconds(120)), transfer.Describe());
        Assert.True(transfer.IsEqual);
    }

    [Fact]
    public void A_closed_port_refuses_a_trusted_peer()
    {
        var (wire, a, b) = Wire.Pair();
        Connection connection = a.Node.Dial(wire.Now, b.NodeId, 9999, TimeSpan.FromSeconds(10), out _)!;
        Assert.True(wire.RunUntil(() => connection.State == ConnectionState.Closed, TimeSpan.FromSeconds(10)));
        Assert.Equal(ConnectionError.Refused, connection.Error);
    }

    [Fact]
    public void A_stranger_sees_the_same_silence_for_open_and_closed_ports()
    {
        var wire = new Wire();
        WireNode stranger = wire.Add(7);
        WireNode node = wire.Add(9);
        stranger.Trust(node);
        node.Node.Listen(1000);
        foreach (ushort port in new ushort[] { 1000, 1001 })
        {
            Connection connection = stranger.Node.Dial(wire.Now, 9, port, TimeSpan.FromSeconds(5), out _)!;
            stranger.TakeEvents(wire.Now);
            wire.RunFor(TimeSpan.FromSeconds(6));
            Assert.NotEqual(ConnectionError.None, connection.Error);
            Assert.NotEqual(ConnectionError.Refused, connection.Error);
        }

        Assert.DoesNotContain(wire.Log, l => l.From == node.Endpoint);
    }

    [Fact]
    public void Rule_20_a_private_node_is_silent_for_untrusted_SYN_and_datagrams_even_when_a_tunnel_stands()
    {
        var (wire, a, b) = Wire.Pair();
        a.Ping(b);
        b.Node.Listen(1000);
        b.Node.SetTrust(Engine.Trust.TrustSnapshot.Empty);
        wire.RunFor(TimeSpan.FromSeconds(61)); // nobody asked us lately either
        int packets = wire.Log.Count(l => l.From == b.Endpoint);
        Connection open = a.Node.Dial(wire.Now, b.NodeId, 1000, TimeSpan.FromSeconds(5), out _)!;
        Connection closed = a.Node.Dial(wire.Now, b.NodeId, 1001, TimeSpan.FromSeconds(5), out _)!;
        Assert.True(a.Node.SendDatagram(wire.Now, b.NodeId, 0, 6000, "hello"u8, out _));
        wire.RunFor(TimeSpan.FromSeconds(1));
        Assert.DoesNotContain(b.Events, e => e.Kind is NodeEventKind.Datagram or NodeEventKind.Incoming);
        Assert.Equal(packets, wire.Log.Count(l => l.From == b.Endpoint));
        wire.RunFor(TimeSpan.FromSeconds(5));
        Assert.NotEqual(ConnectionError.Refused, open.Error);
        Assert.NotEqual(ConnectionError.Refused, closed.Error);
    }

    [Fact]
    public void A_node_can_talk_to_itself()
    {
        var wire = new Wire();
        WireNode a = wire.Add(7);
        var transfer = new EchoTransfer(wire, a, a, 100_000);
        Assert.True(wire.RunUntil(() => transfer.Step(), TimeSpan.FromSeconds(30)), transfer.Describe());
        Assert.True(transfer.IsEqual);
        Assert.Empty(wire.Log);
    }

    [Fact]
    public void A_node_answers_itself_without_waiting_for_a_timer()
    {
        var wire = new Wire();
        WireNode a = wire.Add(7);
        Node node = a.Node;
        Listener listener = node.Listen(1000)!;
        Connection near = node.Dial(wire.Now, a.NodeId, 1000, TimeSpan.FromSeconds(10), out _)!;
        wire.RunFor(TimeSpan.Zero);
        Assert.Equal(ConnectionState.Established, near.State);
        Connection far = node.Accept(listener)!;
        for (int i = 0; i < 10; i++)
        {
            Assert.Equal(5, near.Write(wire.Now, "there"u8));
            node.Touch(wire.Now, near);
            wire.RunFor(TimeSpan.Zero);
            Assert.Equal(5, far.ReadableBytes);
            far.Consume(wire.Now, 5);
            Assert.Equal(4, far.Write(wire.Now, "back"u8));
            node.Touch(wire.Now, far);
            wire.RunFor(TimeSpan.Zero);
            Assert.Equal(4, near.ReadableBytes);
            near.Consume(wire.Now, 4);
        }

        Assert.Contains(a.Events, e => e.Kind == NodeEventKind.Connection);
        Assert.False(node.HasEvents);
    }

    [Fact]
    public void A_revoked_peer_loses_its_connections_at_once()
    {
        var (wire, a, b) = Wire.Pair();
        Listener listener = b.Node.Listen(1000)!;
        Connection connection = a.Node.Dial(wire.Now, b.NodeId, 1000, TimeSpan.FromSeconds(10), out _)!;
        Assert.True(wire.RunUntil(() => connection.State == ConnectionState.Established, TimeSpan.FromSeconds(10)));
        Connection accepted = b.Node.Accept(listener)!;
        b.Node.DropPeer(wire.Now, a.NodeId);
        Assert.Equal(ConnectionState.Closed, accepted.State);
        Assert.True(wire.RunUntil(() => connection.State == ConnectionState.Closed, TimeSpan.FromSeconds(1)));
        Assert.Equal(ConnectionError.Reset, connection.Error);
        Assert.Equal(0, b.Node.PortLeases);
    }

    [Fact]
    public void Datagrams_wait_for_the_key_and_arrive()
    {
        var (wire, a, b) = Wire.Pair();
        Assert.True(a.Node.SendDatagram(wire.Now, b.NodeId, 0, 6000, "hello"u8, out string? error), error);
        Assert.True(wire.RunUntil(() => b.Events.Exists(e => e.Kind == NodeEventKind.Datagram), TimeSpan.FromSeconds(5)));
        ReceivedDatagram datagram = b.Events.Find(e => e.Kind == NodeEventKind.Datagram).Datagram!;
        Assert.Equal("hello"u8.ToArray(), datagram.Data);
        Assert.Equal(6000, datagram.DestinationPort);
        Assert.Equal(a.NodeId, datagram.Source.Node);
    }

    [Fact]
    public void Datagrams_of_first_contact_wait_while_the_peer_asks_the_registry_for_the_key()
    {
        var wire = new Wire();
        WireNode a = wire.Add(7, isPublic: true);
        WireNode b = wire.Add(9, isPublic: true);
        b.AnswersLookupsAt = wire.Now + TimeSpan.FromMilliseconds(300);
        Assert.True(a.Node.SendDatagram(wire.Now, b.NodeId, 0, 6000, "one"u8, out string? error), error);
        Assert.True(b.Node.SendDatagram(wire.Now, a.NodeId, 0, 6000, "other way"u8, out error), error); // so b's key comes to a at once
        wire.RunFor(TimeSpan.FromMilliseconds(100));
        Assert.True(a.Node.SendDatagram(wire.Now, b.NodeId, 0, 6000, "two"u8, out error), error);
        wire.RunFor(TimeSpan.FromSeconds(1));
        Assert.Equal(["one", "two"], b.Events.Where(e => e.Kind == NodeEventKind.Datagram).Select(e => System.Text.Encoding.ASCII.GetString(e.Datagram!.Data)));
        Assert.Single(a.Events, e => e.Kind == NodeEventKind.Datagram);
    }

    [Fact]
    public void A_refusal_by_the_registry_does_not_outlive_the_trust_that_follows()
    {
        var wire = new Wire();
        WireNode a = wire.Add(7);
        WireNode b = wire.Add(9);
        Assert.Equal(ConnectionError.NotFound, a.Ping(b)!.Value.Error);
        b.Trust(a); // at the registry and at b; a's own records do not change
        Assert.True(a.Node.SendDatagram(wire.Now, b.NodeId, 0, 6000, "hello"u8, out _));
        Assert.True(wire.RunUntil(() => b.Events.Exists(e => e.Kind == NodeEventKind.Datagram), TimeSpan.FromSeconds(1)));
    }

    [Fact]
    public void A_peer_that_restarts_resets_streams_that_it_does_not_know()
    {
        var (wire, a, b) = Wire.Pair();
        b.Node.Listen(1000);
        Connection connection = a.Node.Dial(wire.Now, b.NodeId, 1000, TimeSpan.FromSeconds(10), out _)!;
        Assert.True(wire.RunUntil(() => connection.State == ConnectionState.Established, TimeSpan.FromSeconds(10)));
        b.Restart(2);
        connection.Write(wire.Now, "are you there?"u8);
        a.Node.Touch(wire.Now, connection);
        Instant before = wire.Now;
        Assert.True(wire.RunUntil(() => connection.State == ConnectionState.Closed, TimeSpan.FromSeconds(10)));
        Assert.True(wire.Now - before < TimeSpan.FromSeconds(3), $"took {wire.Now - before}");
    }

    [Fact]
    public void When_no_port_is_free_the_oldest_connection_in_time_wait_gives_its_own_up()
    {
        var wire = new Wire { IsLogging = false, Delay = TimeSpan.FromMilliseconds(0.1) };
        WireNode a = wire.Add(7);
        WireNode b = wire.Add(9);
        a.Trust(b);
        b.Trust(a);
        Listener listener = b.Node.Listen(1000)!;
        const int free = 3;
        for (int i = 0; i < 65_536 - TunnelConstants.FirstEphemeralPort - free; i++)
        {
            Assert.NotNull(a.Node.Listen(0));
        }

        List<ushort> ports = [];
        for (int i = 0; i < 3 * free; i++)
        {
            (Connection dialed, Connection accepted) = OpenAndClose(wire, a, b, listener);
            ports.Add(dialed.LocalPort);
            Assert.Equal((ConnectionError.None, ConnectionError.None), (dialed.Error, accepted.Error));
        }

        Assert.Equal(ports[..free], ports[free..(2 * free)]);
        Connection[] open = [.. Enumerable.Range(0, free).Select(_ => a.Node.Dial(wire.Now, b.NodeId, 1000, TimeSpan.FromSeconds(10), out string? _)!)];
        Assert.DoesNotContain(null, open);
        Assert.Null(a.Node.Dial(wire.Now, b.NodeId, 1000, TimeSpan.FromSeconds(10), out string? full));
        Assert.Equal("no free local port", full);
        Assert.True(wire.RunUntil(() => open.All(dialed => dialed.State == ConnectionState.Established), TimeSpan.FromSeconds(5)));
        wire.RunFor(TimeSpan.FromSeconds(30));
        Assert.Equal(free, a.Node.PortLeases);
    }

    /// <summary>However many streams end, only so many are remembered, and the latest of them.</summary>
    [Fact]
    public void Connections_in_time_wait_are_bounded_and_forgotten_in_the_end()
    {
        const int limit = 5;
        var wire = new Wire { IsLogging = false, Delay = TimeSpan.FromMilliseconds(0.1), MaxTimeWaits = limit };
        WireNode a = wire.Add(7);
        WireNode b = wire.Add(9);
        a.Trust(b);
        b.Trust(a);
        Listener listener = b.Node.Listen(1000)!;
        List<Connection> dialed = [];
        for (int i = 0; i < 3 * limit; i++)
        {
            dialed.Add(OpenAndClose(wire, a, b, listener).Dialed);
            Assert.InRange(a.Node.ConnectionCount, 1, limit);
        }

        Assert.All(dialed[..^limit], static connection => Assert.Equal(ConnectionState.Closed, connection.State));
        Assert.All(dialed[^limit..], static connection => Assert.Equal(ConnectionState.TimeWait, connection.State));
        wire.RunFor(TimeSpan.FromMinutes(1));
        Assert.Equal(0, a.Node.ConnectionCount);
        Assert.Equal(0, a.Node.RememberedTimeWaits);
    }

    /// <summary>Connections that wait out their end hold no part of the buffer memory: many short ones do not keep the next one out.</summary>
    [Fact]
    public void Short_streams_in_quick_succession_find_room()
    {
        const int room = 50; // connections at once
        var wire = new Wire { IsLogging = false, Delay = TimeSpan.FromMilliseconds(0.1), BufferLimit = room * 4L * ChunkPool.ChunkSize };
        WireNode a = wire.Add(7);
        WireNode b = wire.Add(9);
        a.Trust(b);
        b.Trust(a);
        Listener listener = b.Node.Listen(1000)!;
        Instant begin = wire.Now;
        for (int i = 0; i < 10 * room; i++)
        {
            OpenAndClose(wire, a, b, listener);
        }

        Assert.True(wire.Now - begin < TimeSpan.FromSeconds(8), "they are to overlap in TIME_WAIT");
        Assert.Equal(0, a.Node.Chunks.Committed);
    }

    /// <summary>A stream that carries nothing; both ends close it and are in TIME_WAIT afterwards.</summary>
    private static (Connection Dialed, Connection Accepted) OpenAndClose(Wire wire, WireNode a, WireNode b, Listener listener)
    {
        Connection dialed = a.Node.Dial(wire.Now, b.NodeId, listener.Port, TimeSpan.FromSeconds(10), out string? error) ?? throw new InvalidOperationException(error);
        Connection? accepted = null;
        Assert.True(wire.RunUntil(() => (accepted ??= b.Node.Accept(listener)) is not null && dialed.State == ConnectionState.Established, TimeSpan.FromSeconds(5)), $"{dialed.Error}");
        dialed.Close(wire.Now);
        a.Node.Touch(wire.Now, dialed);
        accepted!.Close(wire.Now);
        b.Node.Touch(wire.Now, accepted);
        Assert.True(wire.RunUntil(() => dialed.State == ConnectionState.TimeWait && accepted.State == ConnectionState.TimeWait, TimeSpan.FromSeconds(5)));
        return (dialed, accepted);
    }
}

/// <summary>A writes random bytes to an echo at B and reads them back; both close.</summary>
internal sealed class EchoTransfer
{
    private readonly Wire _wire;
    private readonly WireNode _a;
    private readonly WireNode _b;
    private readonly byte[] _sent;
    private readonly List<byte> _received = [];
    private readonly Listener _listener;
    private readonly Connection _dialed;
    private Connection? _accepted;
    private int _written;

    public EchoTransfer(Wire wire, WireNode a, WireNode b, int size)
    {
        _wire = wire;
        _a = a;
        _b = b;
        _sent = new byte[size];
        new Random(size).NextBytes(_sent);
        _listener = b.Node.Listen(7)!;
        _dialed = a.Node.Dial(wire.Now, b.NodeId, 7, TimeSpan.FromSeconds(20), out string? error) ?? throw new InvalidOperationException(error);
    }

    public bool IsEqual => _received.SequenceEqual(_sent);

    public string Describe() => $"written {_written}, received {_received.Count}, {_dialed.State} {_dialed.Error}, {_accepted?.State} {_accepted?.Error}";

    public bool Step()
    {
        Instant now = _wire.Now;
        _accepted ??= _b.Node.Accept(_listener);
        if (_accepted is { } echo)
        {
            while (echo.ReadableBytes > 0 && echo.WriteCapacity > 0)
            {
                int count = echo.Write(now, echo.PeekRead());
                echo.Consume(now, count);
            }

            if (echo.IsReadEnded)
            {
                echo.Close(now);
            }

            _b.Node.Touch(now, echo);
        }

        if (_dialed.State == ConnectionState.Established && _written < _sent.Length)
        {
            _written += _dialed.Write(now, _sent.AsSpan(_written));
            if (_written == _sent.Length)
            {
                _dialed.ShutdownWrite(now);
            }
        }

        while (_dialed.ReadableBytes > 0)
        {
            ReadOnlySpan<byte> chunk = _dialed.PeekRead();
            _received.AddRange(chunk);
            _dialed.Consume(now, chunk.Length);
        }

        bool done = _dialed.IsReadEnded;
        if (done)
        {
            _dialed.Close(now);
        }

        _a.Node.Touch(now, _dialed);
        return done;
    }
}
