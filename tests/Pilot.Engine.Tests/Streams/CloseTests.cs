using Pilot.Engine.Streams;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Streams;

public sealed class CloseTests
{
    private static ConnectionPair Open(ConnectionOptions? options = null)
    {
        ConnectionPair pair = ConnectionPair.Ours(options);
        pair.RunUntil(() => ((ConnectionHost)pair.Right).Connection is not null && pair.LeftConnection.State == ConnectionState.Established);
        return pair;
    }

    private static byte[] Read(ConnectionPair pair, Connection connection)
    {
        List<byte> all = [];
        while (connection.ReadableBytes > 0)
        {
            ReadOnlySpan<byte> run = connection.PeekRead();
            all.AddRange(run);
            connection.Consume(pair.Now, run.Length);
        }
        return [.. all];
    }

    [Fact]
    public void Half_close_leaves_the_other_direction_open()
    {
        ConnectionPair pair = Open();
        pair.LeftConnection.Write(pair.Now, "question"u8);
        pair.LeftConnection.ShutdownWrite(pair.Now);
        pair.RunUntil(() => pair.RightConnection.ReadableBytes == 8);
        pair.Run(TimeSpan.FromSeconds(300));
        Assert.Equal(ConnectionState.FinWait, pair.LeftConnection.State);
        Assert.Equal(ConnectionState.CloseWait, pair.RightConnection.State);
        Assert.False(pair.RightConnection.IsReadEnded); // not before everything is read
        Assert.Equal("question"u8.ToArray(), Read(pair, pair.RightConnection));
        Assert.True(pair.RightConnection.IsReadEnded);
        pair.RightConnection.Write(pair.Now, "answer"u8);
        pair.RightConnection.ShutdownWrite(pair.Now);
        pair.RunUntil(() => pair.LeftConnection.State == ConnectionState.TimeWait);
        Assert.Equal("answer"u8.ToArray(), Read(pair, pair.LeftConnection));
        Assert.True(pair.LeftConnection.IsReadEnded);
        pair.Run(TimeSpan.FromSeconds(30));
        Assert.Equal(ConnectionState.Closed, pair.RightConnection.State);
        Assert.Equal(ConnectionState.Closed, pair.LeftConnection.State);
    }

    [Fact]
    public void A_fin_waits_for_lost_data_between_ours()
    {
        ConnectionPair pair = Open();
        bool dropped = false;
        pair.Drop = packet => packet.Payload.Length > 0 && !dropped && (dropped = true);
        pair.LeftConnection.Write(pair.Now, "late"u8);
        pair.LeftConnection.ShutdownWrite(pair.Now);
        pair.RunUntil(() => pair.RightConnection.ReadableBytes == 4);
        Assert.Equal("late"u8.ToArray(), Read(pair, pair.RightConnection));
        Assert.True(pair.RightConnection.IsReadEnded);
        Assert.Equal(ConnectionError.None, pair.RightConnection.Error);
    }

    [Fact]
    public void Close_delivers_what_was_written_and_discards_what_arrives()
    {
        ConnectionPair pair = Open();
        pair.LeftConnection.Write(pair.Now, new byte[200_000]);
        pair.LeftConnection.Close(pair.Now);
        int received = 0;
        pair.RightConnection.Write(pair.Now, new byte[5000]);
        pair.RunUntil(
            () => received == 200_000 && pair.RightConnection.IsReadEnded,
            eachStep: () => received += Read(pair, pair.RightConnection).Length);
        Assert.Equal(0, pair.LeftConnection.ReadableBytes);
        pair.RightConnection.Close(pair.Now);
        pair.Run(TimeSpan.FromSeconds(30));
        Assert.Equal(ConnectionError.None, pair.LeftConnection.Error);
        Assert.Equal(ConnectionError.None, pair.RightConnection.Error);
        Assert.Equal(0, ((ConnectionHost)pair.Left).Pool.Rented);
    }

    [Fact]
    public void A_writer_learns_that_nobody_reads_any_more()
    {
        ConnectionPair pair = Open();
        pair.LeftConnection.Close(pair.Now);
        pair.Run(TimeSpan.FromSeconds(1));
        Assert.True(pair.RightConnection.IsReadEnded);
        pair.RightConnection.Write(pair.Now, "anyone?"u8);
        pair.Run(TimeSpan.FromSeconds(1));
        Assert.Equal(ConnectionError.Reset, pair.RightConnection.Error);
        Assert.Equal(ConnectionError.None, pair.LeftConnection.Error);
    }

    [Fact]
    public void Linger_ends_a_close_that_cannot_be_delivered()
    {
        ConnectionPair pair = Open();
        pair.Drop = _ => true;
        pair.LeftConnection.Write(pair.Now, "lost"u8);
        pair.LeftConnection.Close(pair.Now);
        pair.Run(TimeSpan.FromSeconds(29));
        Assert.NotEqual(ConnectionState.Closed, pair.LeftConnection.State);
        pair.Run(TimeSpan.FromSeconds(2));
        Assert.Equal(ConnectionState.Closed, pair.LeftConnection.State);
        Assert.Equal(ConnectionError.Timeout, pair.LeftConnection.Error);
    }

    [Fact]
    public void A_close_delivers_over_a_slow_path_for_as_long_as_it_takes()
    {
        const int size = 4_000_000;
        Link link = new() { Bandwidth = 100_000, Latency = TimeSpan.FromMilliseconds(225) }; // 40 s for what the send buffer holds
        ConnectionPair pair = ConnectionPair.Ours(link: link);
        pair.IsRecording = false;
        pair.RunUntil(() => pair.LeftConnection.State == ConnectionState.Established);
        Assert.Equal(size, pair.LeftConnection.Write(pair.Now, new byte[size]));
        pair.LeftConnection.Close(pair.Now);
        int received = 0;
        pair.RunUntil(
            () => pair.RightConnection.IsReadEnded, TimeSpan.FromSeconds(90),
            () => received += Read(pair, pair.RightConnection).Length);
        Assert.Equal(size, received);
        Assert.Equal(ConnectionError.None, pair.LeftConnection.Error);
    }

    [Theory]
    [InlineData(60, true)]
    [InlineData(900, false)]
    public void A_close_waits_for_a_reader_that_pauses_but_not_for_ever(int pause, bool isDelivered)
    {
        ConnectionPair pair = Open(new ConnectionOptions { ReceiveBufferNear = 65_536, ReceiveBufferStart = 65_536, ReceiveBufferLimit = 65_536 });
        pair.IsRecording = false;
        pair.LeftConnection.Write(pair.Now, new byte[200_000]);
        pair.LeftConnection.Close(pair.Now);
        pair.Run(TimeSpan.FromSeconds(pause));
        int received = Read(pair, pair.RightConnection).Length;
        pair.RunUntil(
            () => pair.RightConnection.IsReadEnded || (pair.RightConnection.Error != ConnectionError.None && pair.RightConnection.ReadableBytes == 0),
            TimeSpan.FromSeconds(30), () => received += Read(pair, pair.RightConnection).Length);
        Assert.Equal(isDelivered, received == 200_000);
        Assert.Equal(isDelivered ? ConnectionError.None : ConnectionError.Reset, pair.RightConnection.Error);
        Assert.Equal(isDelivered ? ConnectionError.None : ConnectionError.Timeout, pair.LeftConnection.Error);
    }

    [Fact]
    public void A_fin_outlives_blackouts_that_outlive_the_linger_time()
    {
        ConnectionPair pair = Open();
        pair.LeftConnection.Write(pair.Now, "all of it"u8);
        pair.Run(TimeSpan.FromSeconds(1));
        Assert.Equal("all of it"u8.ToArray(), Read(pair, pair.RightConnection));
        pair.Drop = _ => true;
        pair.LeftConnection.Close(pair.Now);
        pair.Run(TimeSpan.FromSeconds(35));
        pair.Drop = null;
        pair.Run(TimeSpan.FromSeconds(3));
        Assert.True(pair.RightConnection.IsReadEnded);
        Assert.Equal(ConnectionError.None, pair.RightConnection.Error);
        Assert.Equal(ConnectionError.None, pair.LeftConnection.Error);
    }

    [Fact]
    public void A_fin_that_nobody_answers_ends_by_itself()
    {
        ConnectionPair pair = Open();
        pair.Drop = _ => true;
        pair.LeftConnection.Close(pair.Now);
        pair.Run(TimeSpan.FromSeconds(60));
        Assert.Equal(ConnectionState.Closed, pair.LeftConnection.State);
        Assert.Equal(ConnectionError.None, pair.LeftConnection.Error); // nothing that was written is lost
    }

    [Fact]
    public void Abort_resets_the_peer()
    {
        ConnectionPair pair = Open();
        pair.RightConnection.Write(pair.Now, "kept"u8);
        pair.Run(TimeSpan.FromSeconds(1));
        pair.LeftConnection.Write(pair.Now, "sent"u8);
        pair.Run(TimeSpan.FromSeconds(1));
        pair.LeftConnection.Abort(pair.Now);
        pair.Run(TimeSpan.FromSeconds(1));
        Assert.Equal(ConnectionError.Aborted, pair.LeftConnection.Error);
        Assert.Equal(ConnectionState.Closed, pair.LeftConnection.State);
        Assert.Equal(ConnectionError.Reset, pair.RightConnection.Error);
        Assert.Equal("sent"u8.ToArray(), Read(pair, pair.RightConnection)); // what had arrived can still be read
        Assert.False(pair.RightConnection.IsReadEnded);
        pair.RightConnection.Close(pair.Now);
        Assert.Equal(0, ((ConnectionHost)pair.Right).Pool.Rented);
    }

    [Fact]
    public void Unanswered_data_end_the_connection_after_the_user_timeout()
    {
        ConnectionPair pair = Open();
        pair.Run(TimeSpan.FromSeconds(5));
        pair.Drop = _ => true;
        pair.LeftConnection.Write(pair.Now, "x"u8);
        pair.Run(TimeSpan.FromSeconds(44));
        Assert.Equal(ConnectionState.Established, pair.LeftConnection.State);
        pair.Run(TimeSpan.FromSeconds(2));
        Assert.Equal(ConnectionError.Timeout, pair.LeftConnection.Error);
    }

    [Fact]
    public void Five_seconds_of_blackout_are_survived_and_left_quickly()
    {
        ConnectionPair pair = Open();
        int received = 0;
        pair.LeftConnection.Write(pair.Now, new byte[2_000_000]);
        void Act() => received += Read(pair, pair.RightConnection).Length;
        pair.RunUntil(() => received > 100_000, eachStep: Act);
        pair.Drop = _ => true;
        pair.Run(TimeSpan.FromSeconds(5));
        pair.Drop = null;
        Instant healed = pair.Now;
        pair.RunUntil(() => received == 2_000_000, eachStep: Act);
        Assert.True(pair.Now - healed < TimeSpan.FromSeconds(6), $"{(pair.Now - healed).TotalSeconds} s");
    }

    [Fact]
    public void Idle_connections_live_for_hours_and_hold_no_buffers()
    {
        ConnectionPair pair = Open();
        pair.LeftConnection.Write(pair.Now, "x"u8);
        pair.Run(TimeSpan.FromSeconds(1));
        Read(pair, pair.RightConnection);
        pair.Wire.Clear();
        pair.Run(TimeSpan.FromHours(3));
        Assert.Equal(ConnectionState.Established, pair.LeftConnection.State);
        Assert.Equal(ConnectionState.Established, pair.RightConnection.State);
        Assert.InRange(pair.Wire.Count, 600, 800); // one sign of life per side and half minute
        Assert.Equal(0, ((ConnectionHost)pair.Left).Pool.Rented);
        Assert.Equal(0, ((ConnectionHost)pair.Right).Pool.Rented);
    }

    [Fact]
    public void The_idle_limit_closes_when_it_is_set()
    {
        ConnectionPair pair = Open(new ConnectionOptions { IdleTimeout = TimeSpan.FromSeconds(100) });
        pair.LeftConnection.Write(pair.Now, "x"u8);
        pair.Run(TimeSpan.FromSeconds(90));
        Assert.Equal(ConnectionState.Established, pair.LeftConnection.State);
        pair.Run(TimeSpan.FromSeconds(50));
        Assert.Equal(ConnectionError.IdleTimeout, pair.LeftConnection.Error);
        Assert.NotEqual(ConnectionState.Established, pair.RightConnection.State);
    }
}
