using Pilot.Engine.Streams;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Streams;

public sealed class HandshakeTests
{
    [Fact]
    public void Syns_are_identical_and_follow_the_schedule()
    {
        Single ours = Single.Dialer(7, options: ConnectionOptions.Default);
        List<WirePacket> sent = ours.Advance(4_900);
        Assert.Equal([0, 250, 750, 1750, 2750, 3750, 4750], sent.Select(p => (int)(p.At - sent[0].At).TotalMilliseconds));
        Assert.All(sent, p => Assert.Equal(Single.Hex(sent[0]), Single.Hex(p)));
    }

    [Fact]
    public void A_dial_without_answer_ends_with_rst_after_fifteen_seconds()
    {
        Single ours = Single.Dialer(7, options: ConnectionOptions.Default);
        ours.Advance(14_999);
        Assert.Equal(ConnectionState.SynSent, ours.Connection.State);
        Assert.Equal(PacketFlags.Rst, ours.Advance(1)[^1].Flags);
        Assert.Equal(ConnectionError.Timeout, ours.Connection.Error);
        ConnectionSignals signals = ours.Connection.TakeSignals();
        Assert.True(signals.HasFlag(ConnectionSignals.Failed | ConnectionSignals.Closed));
        Assert.Equal(Instant.Never, ours.Connection.Deadline);
    }

    [Fact]
    public void A_dial_that_is_never_pulled_is_still_removed()
    {
        ChunkPool pool = new();
        Instant now = new(TimeSpan.TicksPerDay);
        Connection connection = Connection.Dial(
            1, PilotAddress.OfNode(1), 1, PilotAddress.OfNode(2), 2, 3, ConnectionOptions.Default, pool, now, TimeSpan.FromSeconds(2));
        now += TimeSpan.FromSeconds(2);
        connection.HandleDeadline(now);
        Assert.True(connection.TakeSignals().HasFlag(ConnectionSignals.Closed));
    }

    [Fact]
    public void What_is_written_during_the_dial_follows_the_handshake()
    {
        ConnectionPair pair = ConnectionPair.Ours();
        Assert.Equal(5, pair.LeftConnection.Write(pair.Now, "hello"u8));
        pair.LeftConnection.ShutdownWrite(pair.Now);
        ConnectionHost right = (ConnectionHost)pair.Right;
        pair.RunUntil(() => right.Connection?.ReadableBytes == 5);
        Assert.Equal("hello"u8.ToArray(), right.Connection!.PeekRead().ToArray());
        right.Connection.Consume(pair.Now, 5);
        pair.RunUntil(() => right.Connection.IsReadEnded);
    }

    [Fact]
    public void Both_sides_dialling_each_other_get_one_connection()
    {
        ConnectionHost left = new(ConnectionOptions.Default, 100);
        ConnectionHost right = new(ConnectionOptions.Default, 200);
        ConnectionPair pair = new(left, right);
        left.Dial(pair.Now, ConnectionPair.LeftAddress, 5000, ConnectionPair.RightAddress, 6000);
        right.Dial(pair.Now, ConnectionPair.RightAddress, 6000, ConnectionPair.LeftAddress, 5000);
        pair.RunUntil(() => left.Connection!.State == ConnectionState.Established && right.Connection!.State == ConnectionState.Established, TimeSpan.FromSeconds(2));
        left.Connection!.Write(pair.Now, "a"u8);
        right.Connection!.Write(pair.Now, "b"u8);
        pair.RunUntil(() => left.Connection.ReadableBytes == 1 && right.Connection.ReadableBytes == 1);
    }

    [Fact]
    public void A_restarted_dialer_with_the_same_ports_gets_a_new_connection()
    {
        ConnectionHost right = new(ConnectionOptions.Default, 700);
        ConnectionHost first = new(ConnectionOptions.Default, 100);
        ConnectionPair pair = new(first, right);
        first.Dial(pair.Now, ConnectionPair.LeftAddress, 5000, ConnectionPair.RightAddress, 1000);
        first.Connection!.Write(pair.Now, "old"u8);
        pair.RunUntil(() => right.Connection?.ReadableBytes == 3);
        Connection old = right.Connection!;
        ConnectionHost second = new(ConnectionOptions.Default, 900);
        ConnectionPair again = new(second, right);
        second.Dial(again.Now, ConnectionPair.LeftAddress, 5000, ConnectionPair.RightAddress, 1000);
        second.Connection!.Write(again.Now, "new"u8);
        again.RunUntil(() => right.Connection != old && right.Connection?.ReadableBytes == 3);
        Assert.Equal("new"u8.ToArray(), right.Connection!.PeekRead().ToArray());
        Assert.Equal(ConnectionError.Reset, old.Error);
    }

    [Fact]
    public void A_peer_without_list_gets_none_back_and_is_a_reference()
    {
        Single ours = Single.AcceptedFromReference();
        Assert.False(ours.Connection.PeerIsExtended);
        PacketHeader syn = new() { Protocol = PacketProtocol.Stream, Flags = PacketFlags.Syn, Window = 512 };
        byte[] broken = new byte[SynOptions.Size];
        SynOptions.Of(ConnectionOptions.Default).Write(broken);
        foreach (byte[] payload in new byte[][] { [], [1, 2, 3, 4], broken[..^1], [.. broken, 1] })
        {
            Single other = Single.Acceptor(syn, 1, ConnectionOptions.Default, payload);
            Assert.Empty(Assert.Single(other.Pump()).Payload);
            Assert.False(other.Connection.PeerIsExtended);
        }
        byte[] withUnknownTag = [.. broken, 200, 3, 1, 2, 3];
        Assert.True(Single.Acceptor(syn, 1, ConnectionOptions.Default, withUnknownTag).Connection.PeerIsExtended);
    }

    [Fact]
    public void A_fin_that_overtakes_the_syn_ack_is_not_forgotten()
    {
        Single ours = Single.Dialer(7, isn: 10);
        ours.Pump();
        ours.Feed(PacketFlags.Fin, 1, 0, 0);
        ours.Feed(PacketFlags.Syn | PacketFlags.Ack, 0, 11, 512);
        Assert.True(ours.Connection.IsReadEnded);
        Assert.Contains(ours.Pump(), p => p.Flags == (PacketFlags.Fin | PacketFlags.Ack));
    }

    [Fact]
    public void The_option_list_survives_every_mutation()
    {
        Random random = new(5);
        byte[] list = new byte[SynOptions.Size];
        SynOptions own = SynOptions.Of(ConnectionOptions.Default);
        Assert.Equal(SynOptions.Size, own.Write(list));
        Assert.True(SynOptions.TryParse(list, out SynOptions read));
        Assert.Equal(own, read);
        for (int i = 0; i < 200_000; i++)
        {
            byte[] mutated = [.. list, .. new byte[random.Next(0, 6)]];
            for (int change = random.Next(1, 4); change > 0; change--)
            {
                mutated[random.Next(mutated.Length)] = (byte)random.Next(256);
            }
            if (SynOptions.TryParse(mutated.AsSpan(0, random.Next(mutated.Length + 1)), out SynOptions parsed))
            {
                Assert.InRange(parsed.WindowShift, 0, SynOptions.MaxWindowShift);
                Assert.InRange(parsed.MaxSegment, StreamConstants.InitialSegmentPayload, ushort.MaxValue);
                Assert.InRange(parsed.SackBlocks, 1, 255);
            }
        }
    }
}
