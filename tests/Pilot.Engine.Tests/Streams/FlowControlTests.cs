using Pilot.Engine.Streams;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Streams;

public sealed class FlowControlTests
{
    private static void Drain(Connection connection, Instant now, ref int count, int limit = int.MaxValue)
    {
        while (connection.ReadableBytes > 0 && limit > 0)
        {
            int run = Math.Min(connection.PeekRead().Length, limit);
            connection.Consume(now, run);
            count += run;
            limit -= run;
        }
    }

    [Theory]
    [InlineData(64 << 10)]
    [InlineData(100_000)]
    [InlineData(5_000)]
    public void A_reader_that_stops_stops_the_writer_and_starts_it_again(int receiveLimit)
    {
        ConnectionOptions options = new() { ReceiveBufferLimit = receiveLimit };
        ConnectionPair pair = ConnectionPair.Ours(options);
        ConnectionHost right = (ConnectionHost)pair.Right;
        pair.RunUntil(() => right.Connection is not null && pair.LeftConnection.State == ConnectionState.Established);
        const int total = 1_000_000;
        pair.LeftConnection.Write(pair.Now, new byte[total]);
        pair.Run(TimeSpan.FromSeconds(100)); // longer than the user timeout: a closed window is no failure
        Assert.Equal(ConnectionState.Established, pair.LeftConnection.State);
        Assert.InRange(right.Connection!.ReadableBytes, receiveLimit - 2 * 1152, receiveLimit);
        int received = 0;
        Drain(right.Connection, pair.Now, ref received, 3000);
        pair.Run(TimeSpan.FromSeconds(20));
        Assert.True(right.Connection.ReadableBytes >= receiveLimit - 2 * 1152);
        Instant start = pair.Now;
        pair.RunUntil(() => received == total, TimeSpan.FromSeconds(100), () => Drain(right.Connection, pair.Now, ref received));
        Assert.Equal(0, pair.LeftConnection.GetStatus().Retransmissions);
        Assert.True(pair.Now - start < TimeSpan.FromSeconds(8), $"{(pair.Now - start).TotalSeconds} s"); // 5,000 bytes per round trip of 10 ms at worst
    }

    [Fact]
    public void A_closed_window_is_told_and_probed_and_never_overrun()
    {
        ConnectionOptions options = new() { ReceiveBufferLimit = 32 << 10 };
        ConnectionPair pair = ConnectionPair.Ours(options);
        ConnectionHost right = (ConnectionHost)pair.Right;
        pair.RunUntil(() => right.Connection is not null && pair.LeftConnection.State == ConnectionState.Established);
        pair.LeftConnection.Write(pair.Now, new byte[100_000]);
        pair.Run(TimeSpan.FromSeconds(5));
        Assert.Contains(pair.Wire, p => !p.FromLeft && p.Header.Window == 0 && p.Flags == PacketFlags.Ack);
        pair.Wire.Clear();
        pair.Run(TimeSpan.FromSeconds(60));
        List<WirePacket> probes = [.. pair.Wire.Where(p => p.FromLeft && p.Payload.Length > 0)];
        Assert.InRange(probes.Count, 10, 20);
        Assert.All(probes, p => Assert.Single(p.Payload));
        Assert.Equal(32 << 10, right.Connection!.ReadableBytes);
    }

    [Fact]
    public void A_lost_window_update_is_found_by_the_probe()
    {
        ConnectionOptions options = new() { ReceiveBufferLimit = 32 << 10 };
        ConnectionPair pair = ConnectionPair.Ours(options);
        ConnectionHost right = (ConnectionHost)pair.Right;
        pair.RunUntil(() => right.Connection is not null && pair.LeftConnection.State == ConnectionState.Established);
        pair.LeftConnection.Write(pair.Now, new byte[60_000]);
        pair.Run(TimeSpan.FromSeconds(20));
        int received = 0;
        pair.Drop = p => !p.FromLeft;
        Drain(right.Connection!, pair.Now, ref received);
        pair.Run(TimeSpan.FromMilliseconds(100));
        pair.Drop = null;
        pair.RunUntil(() => received == 60_000, TimeSpan.FromSeconds(6), () => Drain(right.Connection!, pair.Now, ref received));
    }

    [Fact]
    public void Writes_are_taken_up_to_the_limit_and_room_is_signalled()
    {
        ConnectionOptions options = new() { SendBufferLimit = 100_000 };
        ConnectionPair pair = ConnectionPair.Ours(options);
        ConnectionHost right = (ConnectionHost)pair.Right;
        pair.RunUntil(() => right.Connection is not null && pair.LeftConnection.State == ConnectionState.Established);
        Assert.Equal(100_000, pair.LeftConnection.Write(pair.Now, new byte[100_000])); // exactly what fits
        Assert.Equal(0, pair.LeftConnection.WriteCapacity);
        pair.RunUntil(() => ((ConnectionHost)pair.Left).Signals.HasFlag(ConnectionSignals.Writable));
        Assert.True(pair.LeftConnection.WriteCapacity >= 25_000);
    }

    /// <summary>A near path's window grows without need while the hosts are what is slow; the buffer must not follow it.</summary>
    [Fact]
    public void A_near_paths_send_buffer_follows_the_flight_and_not_the_window()
    {
        ConnectionPair pair = ConnectionPair.Ours(link: new Link { Latency = TimeSpan.FromMicroseconds(50), Bandwidth = 500_000_000, Queue = 8 << 20 }, segment: 60_000);
        pair.IsRecording = false;
        ConnectionHost right = (ConnectionHost)pair.Right;
        pair.RunUntil(() => right.Connection is not null && pair.LeftConnection.State == ConnectionState.Established);
        byte[] data = new byte[256 << 10];
        int received = 0;
        long buffered = 0;
        long flight = 0;
        long window = 0;
        pair.RunUntil(() => received > 100_000_000, TimeSpan.FromSeconds(10), () =>
        {
            while (pair.LeftConnection.WriteCapacity > 0)
            {
                pair.LeftConnection.Write(pair.Now, data);
            }
            Drain(right.Connection!, pair.Now, ref received);
            buffered = Math.Max(buffered, pair.LeftConnection.GetStatus().SendBuffered);
            flight = Math.Max(flight, pair.LeftConnection.GetStatus().InFlight);
            window = Math.Max(window, pair.LeftConnection.Congestion.Window);
        });
        Assert.True(window > 4 * flight, $"window {window}, flight {flight}: the test shows nothing");
        Assert.InRange(buffered, flight, Math.Max(ConnectionOptions.Default.SendBufferNear, 2 * flight));
    }

    [Fact]
    public void A_reference_that_does_not_read_is_not_frozen_by_us()
    {
        (ConnectionPair pair, ReferencePeer reference) = ConnectionPair.WithReference(segment: 4096);
        reference.ReadsAlways = false;
        pair.RunUntil(() => pair.LeftConnection.State == ConnectionState.Established);
        pair.LeftConnection.Write(pair.Now, new byte[4 << 20]);
        for (int second = 0; second < 100; second++)
        {
            pair.Run(TimeSpan.FromSeconds(1));
            Assert.False(reference.RouterIsStopped, $"after {second} s");
        }
        Assert.Equal(512, reference.QueuedSegments);
        Assert.Equal(ConnectionState.Established, pair.LeftConnection.State);
        reference.ReadsAlways = true;
        while (reference.ReadSegment(pair.Now))
        {
        }
        pair.RunUntil(() => reference.BytesDelivered == 4 << 20, TimeSpan.FromSeconds(20));
    }

    [Fact]
    public void A_reference_survives_a_minute_in_which_we_do_not_read()
    {
        ConnectionOptions options = new() { ReceiveBufferLimit = 256 << 10 };
        (ConnectionPair pair, ReferencePeer reference) = ConnectionPair.WithReference(options: options);
        pair.RunUntil(() => pair.LeftConnection.State == ConnectionState.Established);
        reference.Write(pair.Now, new byte[2_000_000]);
        pair.Run(TimeSpan.FromSeconds(60));
        Assert.True(reference.IsEstablished);
        Assert.InRange(pair.LeftConnection.ReadableBytes, 256 << 10, (256 << 10) + (1 << 20));
        int received = 0;
        Instant start = pair.Now;
        pair.RunUntil(() => received == 2_000_000, TimeSpan.FromSeconds(30), () => Drain(pair.LeftConnection, pair.Now, ref received));
        Assert.True(pair.Now - start < TimeSpan.FromSeconds(5), $"{(pair.Now - start).TotalSeconds} s");
    }

    [Fact]
    public void Hostile_segments_cannot_fill_memory()
    {
        Single ours = Single.AcceptedFromReference(new ConnectionOptions { ReceiveBufferLimit = 1 << 20, ReceiveReserve = 0 });
        for (uint i = 0; i < 200_000; i++)
        {
            ours.Feed(PacketFlags.Ack, 2 + (i * 977), 1001, 512, "x"u8); // one byte here and there
        }
        ConnectionStatus status = ours.Connection.GetStatus();
        Assert.InRange(status.OutOfOrderRuns, 1, StreamConstants.MaxOutOfOrderRuns);
        ours.Feed(PacketFlags.Ack, 0x7000_0000, 1001, 512, "far"u8);
        Assert.Equal(status.OutOfOrderRuns, ours.Connection.GetStatus().OutOfOrderRuns);
    }
}
