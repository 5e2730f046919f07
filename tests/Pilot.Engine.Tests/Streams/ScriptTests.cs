using Pilot.Engine.Streams;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Streams;

/// <summary>
/// The captured exchanges of chapter 02 section 21 with our connection in the place of the scripted peer. Where the
/// script's packet is forced by the protocol it must come out byte for byte.
/// </summary>
public sealed class ScriptTests
{
    [Fact]
    public void Responder_echo()
    {
        ScriptStep?[] script = ScriptVectors.Script("responder-echo");
        Single ours = Single.Dialer(7);
        Assert.Equal(script[0]!.Hex, Single.Hex(Assert.Single(ours.Pump())));
        ours.Feed(script[1]);
        Assert.Equal(script[2]!.Hex, Single.Hex(Assert.Single(ours.Pump())));
        ours.Connection.Write(ours.Now, "hello"u8);
        Assert.Equal(script[3]!.Hex, Single.Hex(Assert.Single(ours.Pump())));
        ours.Feed(script[4]);
        Assert.Equal("hello", ours.ReadAll());
        Assert.Equal(script[5]!.Hex, Single.Hex(Assert.Single(ours.Advance(50))));
        ours.Connection.Close(ours.Now);
        Assert.Equal(script[6]!.Hex, Single.Hex(Assert.Single(ours.Pump())));
        ours.Feed(script[7]);
        Assert.Empty(ours.Advance(9_000));
        Assert.Equal(ConnectionState.TimeWait, ours.Connection.State);
        Assert.Empty(ours.Advance(2_000));
        Assert.Equal(ConnectionState.Closed, ours.Connection.State);
        Assert.Equal(ConnectionError.None, ours.Connection.Error);
    }

    [Fact]
    public void Dialer()
    {
        ScriptStep?[] script = ScriptVectors.Script("dialer");
        Single ours = Single.Acceptor(script[0]!.Header, 0x1122_3344);
        Assert.Equal(script[1]!.Hex, Single.Hex(Assert.Single(ours.Pump())));
        ours.Feed(script[2]);
        ours.Feed(script[3]);
        Assert.Equal("abc", ours.ReadAll());
        WirePacket ack = Assert.Single(ours.Advance(30));
        Assert.Equal(script[4]!.Header with { Window = 0 }, ack.Header with { Window = 0 });
        ours.Connection.Write(ours.Now, "wxyz"u8);
        WirePacket data = Assert.Single(ours.Pump());
        Assert.Equal(script[5]!.Header with { Window = 0 }, data.Header with { Window = 0 });
        Assert.Equal(script[5]!.Payload, data.Payload);
        ours.Feed(script[6]);
        ours.Feed(script[7]);
        Assert.True(ours.Connection.IsReadEnded);
        Assert.Equal(script[9]!.Hex, Single.Hex(Assert.Single(ours.Pump())));
        ours.Feed(script[10]);
        Assert.Empty(ours.Advance(8_000));
    }

    [Fact]
    public void Refused()
    {
        ScriptStep?[] script = ScriptVectors.Script("refused");
        Single ours = Single.Dialer(12345);
        Assert.Equal(script[0]!.Hex, Single.Hex(Assert.Single(ours.Pump())));
        ours.Feed(script[1]);
        Assert.Equal(ConnectionError.Refused, ours.Connection.Error);
        Assert.Equal(ConnectionState.Closed, ours.Connection.State);
        Assert.Empty(ours.Pump());
    }

    [Fact]
    public void Repeated_syn_after_data_loses_nothing()
    {
        ScriptStep?[] script = ScriptVectors.Script("dup-syn-after-data");
        Single ours = Single.Dialer(3000);
        List<WirePacket> syns = ours.Advance(250); // the first SYN-ACK and the data are lost
        Assert.Equal(2, syns.Count);
        Assert.All(syns, syn => Assert.Equal(script[0]!.Hex, Single.Hex(syn)));
        ours.Feed(script[5]); // SYN-ACK with seq 100
        Assert.Equal(ConnectionState.Established, ours.Connection.State);
        ours.Feed(script[2]); // the repeated data start at 1
        Assert.Equal(new string('x', 100), ours.ReadAll());
    }

    [Fact]
    public void Stale_tuple_is_reset_and_dialled_again()
    {
        ScriptStep?[] script = ScriptVectors.Script("stale-tuple");
        Single ours = Single.Dialer(7, isn: 4096, options: Single.Plain);
        Assert.Equal(script[7]!.Hex, Single.Hex(Assert.Single(ours.Pump())));
        ours.Feed(script[8]);
        Assert.Equal(ConnectionState.SynSent, ours.Connection.State);
        List<WirePacket> answer = ours.Pump();
        Assert.Equal([script[10]!.Hex, script[11]!.Hex], answer.Select(Single.Hex));
        ours.Feed(script[12]);
        Assert.Equal(ConnectionState.Established, ours.Connection.State);
    }

    [Fact]
    public void Fin_ack_storm_is_not_joined()
    {
        ScriptStep?[] script = ScriptVectors.Script("finack-storm");
        Single ours = Single.Dialer(script[0]!.Header.DestinationPort);
        ours.Pump();
        ours.Feed(script[1]);
        ours.Pump();
        ours.Connection.Close(ours.Now);
        Assert.Equal(script[3]!.Hex, Single.Hex(Assert.Single(ours.Pump())));
        ours.Feed(script[4]);
        ours.Feed(script[7]);
        ours.Feed(script[9]);
        Assert.Empty(ours.Advance(9_000));
        Assert.Equal(ConnectionState.TimeWait, ours.Connection.State);
    }

    [Fact]
    public void Receiver_makes_a_reference_retransmit()
    {
        ScriptStep?[] script = ScriptVectors.Script("receiver-driven-fast-retransmit");
        Single ours = Single.Acceptor(script[0]!.Header);
        Assert.Equal(script[1]!.Hex, Single.Hex(Assert.Single(ours.Pump())));
        ours.Feed(script[2]);
        for (int i = 4; i <= 7; i++) // step 3 is lost
        {
            ours.Feed(script[i]);
        }
        Assert.Empty(ours.Pump()); // not within a millisecond (6.5)
        List<WirePacket> reports = ours.Advance(1);
        Assert.Equal([script[9]!.Hex, script[10]!.Hex, script[11]!.Hex, script[12]!.Hex], reports.Select(Single.Hex));
        ours.Feed(script[13]);
        Assert.Equal(5 * 4096, ours.Connection.ReadableBytes);
        WirePacket ack = Assert.Single(ours.Advance(2));
        Assert.Equal(1u + (5 * 4096), ack.Header.Acknowledgement);
    }

    [Fact]
    public void Sack_lookalike_is_split()
    {
        ScriptStep?[] script = ScriptVectors.Script("sack-lookalike");
        Single ours = Single.Dialer(3000);
        ours.Pump();
        ours.Feed(script[1]);
        ours.Pump();
        ours.Connection.Write(ours.Now, script[4]!.Payload);
        Assert.Equal([script[6]!.Hex, script[7]!.Hex], ours.Pump().Select(Single.Hex));
        ours.Feed(script[8]);
        Assert.Equal(0, ours.Connection.UnacknowledgedBytes);
    }

    [Fact]
    public void Keepalive_is_answered_quietly_and_its_window_ignored()
    {
        ScriptStep?[] script = ScriptVectors.Script("keepalive-idle");
        Single ours = Single.Acceptor(script[0]!.Header);
        ours.Pump();
        ours.Feed(script[2]);
        ours.Feed(script[3]);
        WirePacket answer = Assert.Single(ours.Pump());
        Assert.Equal(PacketFlags.Ack, answer.Flags);
        Assert.Equal("5341434B010000000100000001", Convert.ToHexString(answer.Payload));
        ours.Connection.Write(ours.Now, "x"u8);
        Assert.Equal("x"u8.ToArray(), Assert.Single(ours.Pump()).Payload);
        ours.Feed(script[4]);
        Assert.Equal(PacketFlags.Fin | PacketFlags.Ack, Assert.Single(ours.Pump()).Flags);
        Assert.True(ours.Connection.IsReadEnded);
    }

    [Fact]
    public void Old_byte_probe_is_answered_and_repeated_fin_too()
    {
        ScriptStep?[] script = ScriptVectors.Script("probes-and-extensions");
        // roles turned round: our connection is asked what the reference was asked
        Single ours = Single.Acceptor(script[1]!.Header, options: Single.Plain, payload: script[1]!.Payload);
        Assert.Equal(script[2]!.Hex, Single.Hex(Assert.Single(ours.Pump()))); // an unknown marker is no list
        ours.Feed(script[3]);
        Assert.Equal("hello", ours.ReadAll());
        ours.Connection.Write(ours.Now, "hello"u8);
        List<WirePacket> reply = ours.Advance(5);
        Assert.Equal("hello"u8.ToArray(), reply[0].Payload);
        Assert.Equal(6u, reply[^1].Header.Acknowledgement);
        ours.Feed(script[5]);
        ours.Advance(100);
        ours.Feed(script[9]);
        Assert.Equal(6u, Assert.Single(ours.Advance(40)).Header.Acknowledgement);
        ours.Feed(script[12]);
        Assert.Equal(script[13]!.Hex, Single.Hex(Assert.Single(ours.Pump())));
        ours.Feed(script[14]);
        Assert.Equal(script[15]!.Hex, Single.Hex(Assert.Single(ours.Pump())));
        ours.Feed(script[17]); // data in TIME_WAIT
        Assert.Empty(ours.Pump());
        ours.Feed(script[18]);
        Assert.Equal(ConnectionState.Closed, ours.Connection.State);
        ours.Feed(script[19]);
        Assert.Empty(ours.Pump());
    }

    [Theory]
    [InlineData("sack-generate-1")]
    [InlineData("sack-generate-merge")]
    [InlineData("sack-generate-5holes")]
    [InlineData("sack-generate-fill")]
    [InlineData("sack-generate-dup")]
    public void Sack_generation(string name)
    {
        System.Text.Json.JsonElement vector = ScriptVectors.Get(name);
        Single ours = Single.AcceptedFromReference();
        foreach (System.Text.Json.JsonElement segment in vector.GetProperty("inputs").GetProperty("segments_seq_len_in_arrival_order").EnumerateArray())
        {
            ours.Feed(PacketFlags.Ack, segment[0].GetUInt32(), 1001, 512, new byte[segment[1].GetInt32()]);
        }
        WirePacket answer = ours.Advance(30)[0];
        Assert.Equal(vector.GetProperty("cumulative_ack").GetUInt32(), answer.Header.Acknowledgement);
        Assert.Equal(vector.GetProperty("hex").GetString(), Convert.ToHexString(answer.Payload).ToLowerInvariant());
    }
}
