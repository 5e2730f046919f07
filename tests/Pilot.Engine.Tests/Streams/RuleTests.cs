using Pilot.Engine.Streams;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Streams;

/// <summary>The rule list of chapter 02 section 18, one test or more per rule. Rule 20 (silence toward the untrusted) belongs to the node and is tested there.</summary>
public sealed class RuleTests
{
    private static byte[] Bytes(int length, int seed = 1) => [.. Enumerable.Range(0, length).Select(i => Transfer.ByteAt(seed, i))];

    [Theory]
    [InlineData(0u)]
    [InlineData(0x1122_3344u)]
    [InlineData(0xFFFF_FFF0u)]
    [InlineData(0xFFFF_FFFFu)]
    public void Rule_01_any_isn_and_any_segment_size(uint isn)
    {
        Single ours = Single.AcceptedFromReference(remoteIsn: isn);
        int[] sizes = [1, 4096, 8192, 60000, 65535];
        uint sequence = isn + 1;
        foreach (int size in sizes)
        {
            ours.Feed(PacketFlags.Ack, sequence, 1001, 512, Bytes(size));
            sequence += (uint)size;
        }
        Assert.Equal(sizes.Sum(), ours.Connection.ReadableBytes);
        Assert.Equal(sequence, ours.Advance(30)[^1].Header.Acknowledgement);
    }

    [Fact]
    public void Rule_01_any_source_port()
    {
        foreach (ushort port in new ushort[] { 0, 1, 65535 })
        {
            PacketHeader syn = new() { Protocol = PacketProtocol.Stream, Flags = PacketFlags.Syn, SourcePort = port, DestinationPort = 1000, Window = 512 };
            Single ours = Single.Acceptor(syn);
            Assert.Equal(port, Assert.Single(ours.Pump()).Header.DestinationPort);
        }
    }

    [Fact]
    public void Rule_02_first_byte_follows_the_isn_and_syn_payload_is_no_data()
    {
        Single ours = Single.Dialer(7, isn: 500);
        ours.Pump();
        ours.Feed(PacketFlags.Syn | PacketFlags.Ack, 700, 501, 512, "not data"u8);
        Assert.Equal(701u, Assert.Single(ours.Pump()).Header.Acknowledgement);
        Assert.Equal(0, ours.Connection.ReadableBytes);
        ours.Connection.Write(ours.Now, "x"u8);
        Assert.Equal(501u, Assert.Single(ours.Pump()).Header.Sequence);
        ours.Feed(PacketFlags.Ack, 701, 502, 512, "y"u8);
        Assert.Equal("y", ours.ReadAll());
        ours.Feed(PacketFlags.Fin, 702, 0, 0, "nor this"u8);
        Assert.Equal(0, ours.Connection.ReadableBytes);
        Assert.True(ours.Connection.IsReadEnded);
    }

    [Fact]
    public void Rule_03_never_advertises_zero_to_a_reference()
    {
        ConnectionOptions small = new() { ReceiveBufferLimit = 16 << 10, ReceiveReserve = 64 << 10 };
        Single ours = Single.AcceptedFromReference(small);
        uint sequence = 1;
        List<WirePacket> all = [];
        for (int i = 0; i < 12; i++)
        {
            ours.Feed(PacketFlags.Ack, sequence, 1001, 512, Bytes(4096));
            sequence += 4096;
            all.AddRange(ours.Advance(1200));
        }
        Assert.All(all.Where(p => p.Flags == PacketFlags.Ack), p => Assert.NotEqual(0, p.Header.Window));
        Assert.Contains(all, p => p.Header.Window == 1);
        Assert.Equal(sequence, all[^1].Header.Acknowledgement); // the single segments are kept, their ACKs come late
    }

    [Fact]
    public void Rule_03_zero_is_ignored_while_nothing_is_outstanding()
    {
        Single ours = Single.AcceptedFromReference();
        ours.Feed(PacketFlags.Ack, 1, 1001, 0); // keepalive
        ours.Pump();
        ours.Connection.Write(ours.Now, Bytes(5000));
        Assert.Equal(5, ours.Pump().Count);
    }

    [Fact]
    public void Rule_03_zero_for_outstanding_data_stops_and_is_probed_with_data()
    {
        Single ours = Single.AcceptedFromReference();
        ours.Connection.Write(ours.Now, Bytes(2304));
        Assert.Equal(2, ours.Pump().Count);
        ours.Feed(PacketFlags.Ack, 1, 1001 + 2304, 0);
        ours.Connection.Write(ours.Now, Bytes(2304));
        Assert.Empty(ours.Advance(199));
        WirePacket probe = Assert.Single(ours.Advance(1));
        Assert.Single(probe.Payload); // one byte it has already: it must answer, and its queue gets nothing more
        Assert.Equal(1000u + 2304, probe.Header.Sequence);
        Assert.Single(ours.Advance(400));
        WirePacket real = Assert.Single(ours.Advance(800)); // two unanswered: the next real segment
        Assert.Equal(1152, real.Payload.Length);
        Assert.Equal(1001u + 2304, real.Header.Sequence);
        ours.Feed(PacketFlags.Ack, 1, 1001 + 3456, 400);
        Assert.Equal(1152, Assert.Single(ours.Pump()).Payload.Length);
    }

    [Fact]
    public void Rule_04_segments_in_flight_never_exceed_the_window()
    {
        Single ours = Single.AcceptedFromReference(window: 20);
        ours.Connection.Write(ours.Now, Bytes(100_000));
        HashSet<uint> inFlight = [];
        uint next = 1001;
        for (int round = 0; round < 20; round++)
        {
            List<WirePacket> sent = ours.Advance(20);
            inFlight.UnionWith(sent.Where(p => p.Payload.Length > 0).Select(p => p.Header.Sequence));
            Assert.True(inFlight.Count <= 20, $"{inFlight.Count} segments in flight");
            if (sent.Count == 0)
            {
                break;
            }
            next = sent.Max(p => p.Header.Sequence + (uint)p.Payload.Length);
            ours.Feed(PacketFlags.Ack, 1, next, 20);
            inFlight.Clear();
        }
        Assert.Equal(1001u + 100_000, next);
    }

    [Fact]
    public void Rule_04_a_nearly_full_window_takes_one_segment_at_a_time()
    {
        Single ours = Single.AcceptedFromReference(window: 8);
        ours.Connection.Write(ours.Now, Bytes(10_000));
        WirePacket first = Assert.Single(ours.Pump());
        ours.Feed(PacketFlags.Ack, 1, first.Header.Sequence + 1152, 8);
        Assert.Single(ours.Pump());
    }

    [Fact]
    public void Rule_05_repeats_have_the_original_boundaries()
    {
        Single ours = Single.AcceptedFromReference();
        int[] writes = [10, 700, 1152, 3, 2000];
        Dictionary<uint, int> original = [];
        foreach (int size in writes)
        {
            ours.Connection.Write(ours.Now, Bytes(size));
            foreach (WirePacket packet in ours.Pump())
            {
                original[packet.Header.Sequence] = packet.Payload.Length;
            }
        }
        ours.Connection.MaxSegmentPayload = 500; // the path shrank: toward a reference the boundaries stay nevertheless
        List<WirePacket> repeats = ours.Advance(10_000);
        Assert.True(repeats.Count > 3);
        Assert.All(repeats, repeat => Assert.Equal(original[repeat.Header.Sequence], repeat.Payload.Length));
    }

    [Fact]
    public void Rule_06_sack_has_at_most_four_blocks_and_an_exact_length()
    {
        Single ours = Single.AcceptedFromReference();
        for (uint i = 0; i < 7; i++)
        {
            ours.Feed(PacketFlags.Ack, 101 + (i * 200), 1001, 512, Bytes(100));
        }
        WirePacket report = ours.Advance(1)[0];
        Assert.Equal(5 + (8 * 4), report.Payload.Length);
        Assert.Equal(PacketFlags.Ack, report.Flags);
        Assert.Equal(1001u, report.Header.Sequence);
        Span<SackBlock> blocks = stackalloc SackBlock[4];
        Assert.True(Sack.TryParse(report.Payload, blocks, out int count));
        Assert.Equal([new(101, 201), new(301, 401), new(501, 601), new SackBlock(701, 801)], blocks[..count].ToArray());
    }

    [Fact]
    public void Rule_07_no_segment_to_a_reference_parses_as_sack()
    {
        byte[] lookalike = [.. "SACK\u0001"u8, .. Bytes(40)];
        Single ours = Single.AcceptedFromReference();
        for (int i = 0; i < 20; i++)
        {
            ours.Connection.Write(ours.Now, lookalike);
            foreach (WirePacket packet in ours.Pump())
            {
                Assert.False(Sack.LooksLikeSack(packet.Payload));
                ours.Feed(PacketFlags.Ack, 1, packet.Header.Sequence + (uint)packet.Payload.Length, 512);
            }
        }
        Assert.Equal(0, ours.Connection.UnacknowledgedBytes);
    }

    [Fact]
    public void Rule_07_data_that_only_looks_like_sack_is_data()
    {
        Single ours = Single.AcceptedFromReference();
        byte[] payload = [.. "SACK\u0001--------and more"u8];
        ours.Feed(PacketFlags.Ack, 1, 1001, 512, payload);            // wrong length
        ours.Feed(PacketFlags.Ack, 1 + (uint)payload.Length, 1001, 512, payload.AsSpan(0, 13)); // right length, names nothing of ours
        Assert.Equal("SACK\u0001--------and moreSACK\u0001--------", ours.ReadAll());
        Span<byte> real = stackalloc byte[13];
        Sack.Write(real, [new SackBlock(1001, 1001)]);
        ours.Feed(PacketFlags.Ack, 36, 1001, 512, real);
        Assert.Equal(0, ours.Connection.ReadableBytes);
    }

    [Fact]
    public void Rule_08_the_responder_sends_before_the_handshake_ack()
    {
        PacketHeader syn = new() { Protocol = PacketProtocol.Stream, Flags = PacketFlags.Syn, SourcePort = 1, DestinationPort = 2, Window = 512 };
        Single ours = Single.Acceptor(syn, 1000);
        ours.Connection.Write(ours.Now, "early"u8);
        List<WirePacket> sent = ours.Pump();
        Assert.Equal(PacketFlags.Syn | PacketFlags.Ack, sent[0].Flags);
        Assert.Equal("early"u8.ToArray(), sent[1].Payload);
        ours.Feed(PacketFlags.Ack, 1, 1001, 512, "data"u8); // the handshake ACK was lost
        Assert.Equal("data", ours.ReadAll());
    }

    [Fact]
    public void Rule_09_a_stale_syn_ack_is_reset_and_the_syn_repeated()
    {
        Single ours = Single.Dialer(7, isn: 5000, options: ConnectionOptions.Default);
        WirePacket syn = Assert.Single(ours.Pump());
        ours.Feed(PacketFlags.Syn | PacketFlags.Ack, 77, 999_999, 512);
        List<WirePacket> answer = ours.Pump();
        Assert.Equal(PacketFlags.Rst, answer[0].Flags);
        Assert.Equal(Single.Hex(syn), Single.Hex(answer[1]));
        Assert.Equal(ConnectionState.SynSent, ours.Connection.State);
    }

    [Fact]
    public void Rule_10_a_repeated_syn_gets_the_identical_syn_ack()
    {
        Single dialer = Single.Dialer(7, isn: 5000, options: ConnectionOptions.Default);
        WirePacket syn = Assert.Single(dialer.Pump());
        Single ours = Single.Acceptor(syn.Header, 3000, ConnectionOptions.Default, syn.Payload);
        WirePacket first = Assert.Single(ours.Pump());
        ours.Connection.Write(ours.Now, Bytes(3000));
        ours.Pump();
        ours.Feed(PacketFlags.Ack, 5001, 3001, 512, Bytes(500));
        ours.Advance(50);
        ours.Feed(syn.Header, syn.Payload);
        Assert.Equal(Single.Hex(first), Single.Hex(ours.Pump()[0]));
        Assert.False(ours.Connection.IsNewIncarnation(syn.Header));
        Assert.True(ours.Connection.IsNewIncarnation(syn.Header with { Sequence = 5001 }));
    }

    [Fact]
    public void Rule_11_each_fin_gets_one_fin_ack_and_a_fin_ack_none()
    {
        Single ours = Single.AcceptedFromReference();
        for (int i = 0; i < 3; i++)
        {
            ours.Feed(PacketFlags.Fin, 1, 0, 0);
            WirePacket answer = Assert.Single(ours.Pump());
            Assert.Equal(PacketFlags.Fin | PacketFlags.Ack, answer.Flags);
            Assert.Equal(2u, answer.Header.Acknowledgement);
            Assert.Equal(0, answer.Header.Window);
            ours.Feed(PacketFlags.Fin | PacketFlags.Ack, 1, 1002, 0);
            Assert.Empty(ours.Pump());
        }
        Assert.Empty(ours.Advance(11_000));
        Assert.Equal(ConnectionState.Closed, ours.Connection.State); // TIME_WAIT was not restarted
    }

    [Fact]
    public void Rule_11_a_fin_ack_without_own_fin_is_the_end_of_the_peer()
    {
        Single ours = Single.AcceptedFromReference();
        ours.Feed(PacketFlags.Fin | PacketFlags.Ack, 1, 1002, 0);
        Assert.Empty(ours.Pump());
        Assert.True(ours.Connection.IsReadEnded);
    }

    [Fact]
    public void Rule_12_the_fin_to_a_reference_is_held_while_its_answer_is_wanted()
    {
        Single ours = Single.AcceptedFromReference();
        ours.Connection.Write(ours.Now, "request"u8);
        ours.Connection.ShutdownWrite(ours.Now);
        Assert.Equal("request"u8.ToArray(), Assert.Single(ours.Pump()).Payload);
        ours.Feed(PacketFlags.Ack, 1, 1008, 512);
        Assert.DoesNotContain(ours.Advance(20_000), p => (p.Flags & PacketFlags.Fin) != 0);
        ours.Feed(PacketFlags.Ack, 1, 1008, 512, "answer"u8);
        Assert.Equal("answer", ours.ReadAll());
        Assert.DoesNotContain(ours.Advance(20_000), p => (p.Flags & PacketFlags.Fin) != 0);
        Assert.Contains(ours.Advance(12_000), p => p.Flags == PacketFlags.Fin); // nothing came for 30 s
    }

    [Fact]
    public void Rule_12_a_full_close_sends_the_fin_after_all_data_are_acknowledged()
    {
        Single ours = Single.AcceptedFromReference();
        ours.Connection.Write(ours.Now, "last words"u8);
        ours.Connection.Close(ours.Now);
        Assert.Equal(PacketFlags.Ack, Assert.Single(ours.Pump()).Flags);
        Assert.DoesNotContain(ours.Advance(150), p => (p.Flags & PacketFlags.Fin) != 0);
        ours.Feed(PacketFlags.Ack, 1, 1011, 512);
        Assert.Equal(PacketFlags.Fin, Assert.Single(ours.Pump()).Flags);
        List<WirePacket> repeats = ours.Advance(60_000);
        Assert.Equal(4, repeats.Count(p => p.Flags == PacketFlags.Fin)); // 5 in all, then its silence is an answer
        Assert.Equal(ConnectionState.Closed, ours.Connection.State);
        Assert.Equal(ConnectionError.None, ours.Connection.Error);
    }

    [Fact]
    public void Rule_12_the_fin_of_a_reference_ends_both_directions()
    {
        Single ours = Single.AcceptedFromReference(window: 1);
        ours.Connection.Write(ours.Now, Bytes(5000));
        ours.Pump();
        ours.Feed(PacketFlags.Fin, 1, 0, 0);
        Assert.True(ours.Connection.IsReadEnded);
        Assert.True(ours.Connection.IsWriteClosed);
        Assert.Equal(0, ours.Connection.Write(ours.Now, "more"u8));
        Assert.Equal(ConnectionError.BrokenPipe, ours.Connection.Error); // part of it was never sent
    }

    [Fact]
    public void Rule_12_a_fin_before_missing_data_waits_for_reordering_and_then_is_an_error()
    {
        Single ours = Single.AcceptedFromReference();
        ours.Feed(PacketFlags.Ack, 1, 1001, 512, "abc"u8);
        ours.Feed(PacketFlags.Fin, 7, 0, 0); // d, e, f are missing
        ours.Advance(20);
        ours.Feed(PacketFlags.Ack, 4, 1001, 512, "def"u8);
        Assert.Equal("abcdef", ours.ReadAll());
        Assert.True(ours.Connection.IsReadEnded);
        Assert.Equal(ConnectionError.None, ours.Connection.Error);

        Single cut = Single.AcceptedFromReference();
        cut.Feed(PacketFlags.Ack, 1, 1001, 512, "abc"u8);
        cut.Feed(PacketFlags.Fin, 7, 0, 0);
        cut.Advance(600);
        Assert.Equal("abc", cut.ReadAll());
        Assert.False(cut.Connection.IsReadEnded);
        Assert.Equal(ConnectionError.Truncated, cut.Connection.Error);
    }

    [Fact]
    public void Rule_13_an_idle_connection_sends_an_ack_flag_at_least_every_sixty_seconds()
    {
        Single ours = Single.AcceptedFromReference();
        Instant last = ours.Now;
        for (int second = 0; second < 600; second += 10)
        {
            foreach (WirePacket packet in ours.Advance(10_000))
            {
                Assert.Equal(PacketFlags.Ack, packet.Flags);
                Assert.True(packet.At - last <= TimeSpan.FromSeconds(31));
                last = packet.At;
                if (packet.Payload.Length == 1)
                {
                    ours.Feed(PacketFlags.Ack, 1, 1001, 512); // a live reference answers old data
                }
            }
        }
        Assert.Equal(ConnectionState.Established, ours.Connection.State);
        Assert.True(ours.Now - last <= TimeSpan.FromSeconds(31));
    }

    [Fact]
    public void Rule_13_a_peer_without_sign_of_life_is_gone_after_two_minutes()
    {
        Single ours = Single.AcceptedFromReference();
        List<WirePacket> sent = ours.Advance(125_000);
        Assert.Equal(ConnectionError.PeerGone, ours.Connection.Error);
        Assert.Equal(PacketFlags.Rst, sent[^1].Flags);
        Assert.Contains(sent, p => p.Payload.Length == 1); // it was asked
    }

    [Fact]
    public void Rule_14_empty_acks_get_a_quiet_answer_five_times_a_second_and_quiet_ones_none()
    {
        Single ours = Single.AcceptedFromReference();
        int answers = 0;
        for (int i = 0; i < 50; i++)
        {
            ours.Feed(PacketFlags.Ack, 1, 1001, 512);
            foreach (WirePacket answer in ours.Advance(19))
            {
                answers++;
                Assert.Equal("5341434B010000000100000001", Convert.ToHexString(answer.Payload));
            }
        }
        Assert.Equal(5, answers);
        Span<byte> quiet = stackalloc byte[13];
        Sack.Write(quiet, [new SackBlock(1001, 1001)]);
        ours.Advance(2000);
        ours.Feed(PacketFlags.Ack, 1, 1001, 512, quiet);
        Assert.Empty(ours.Advance(100));
    }

    [Fact]
    public void Rule_15_no_acknowledgement_within_a_millisecond_on_a_fast_path()
    {
        Single ours = Single.AcceptedFromReference();
        uint sequence = 1;
        Dictionary<uint, Instant> arrivals = [];
        List<WirePacket> sent = [];
        for (int i = 0; i < 200; i++)
        {
            ours.Feed(PacketFlags.Ack, sequence, 1001, 512, Bytes(100));
            sequence += 100;
            arrivals[sequence] = ours.Now;
            ours.Connection.Write(ours.Now, "reply"u8); // replies carry acknowledgements too
            sent.AddRange(ours.Advance(0.3));
        }
        sent.AddRange(ours.Advance(5));
        foreach (WirePacket packet in sent.Where(p => p.Header.Acknowledgement > 1))
        {
            Assert.True(packet.At - arrivals[packet.Header.Acknowledgement] >= TimeSpan.FromMilliseconds(1));
        }
        Assert.Equal(sequence, sent[^1].Header.Acknowledgement);
    }

    [Fact]
    public void Rule_16_a_hole_is_reported_again_within_two_seconds()
    {
        Single ours = Single.AcceptedFromReference();
        ours.Feed(PacketFlags.Ack, 101, 1001, 512, Bytes(100));
        Instant last = ours.Now;
        foreach (WirePacket packet in ours.Advance(10_000))
        {
            Assert.True(packet.At - last < TimeSpan.FromSeconds(2));
            last = packet.At;
        }
        Assert.True(ours.Now - last < TimeSpan.FromSeconds(2));
    }

    [Fact]
    public void Rule_17_rst_closes_in_every_state()
    {
        Single open = Single.AcceptedFromReference();
        open.Feed(PacketFlags.Ack, 1, 1001, 512, "kept"u8);
        open.Feed(PacketFlags.Rst, 0, 0, 0);
        Assert.Equal(ConnectionError.Reset, open.Connection.Error);
        Assert.Equal(ConnectionState.Closed, open.Connection.State);
        Assert.Equal("kept", open.ReadAll());
        Assert.False(open.Connection.IsReadEnded);

        Single dialing = Single.Dialer(7);
        dialing.Feed(PacketFlags.Rst | PacketFlags.Ack, 9, 9, 9);
        Assert.Equal(ConnectionError.Refused, dialing.Connection.Error);

        Single waiting = Single.AcceptedFromReference();
        waiting.Feed(PacketFlags.Fin, 1, 0, 0);
        Assert.Equal(ConnectionState.TimeWait, waiting.Connection.State);
        waiting.Feed(PacketFlags.Rst, 0, 0, 0);
        Assert.Equal(ConnectionState.Closed, waiting.Connection.State);
        Assert.Equal(ConnectionError.None, waiting.Connection.Error);
    }

    [Fact]
    public void Rule_18_answers_come_from_the_dialled_address()
    {
        PacketHeader syn = new()
        {
            Protocol = PacketProtocol.Stream,
            Flags = PacketFlags.Syn,
            Source = PilotAddress.OfNode(1),
            Destination = new PilotAddress(5, 2),
            SourcePort = 1,
            DestinationPort = 2,
            Window = 512,
        };
        Single ours = Single.Acceptor(syn);
        WirePacket answer = Assert.Single(ours.Pump());
        Assert.Equal(new PilotAddress(5, 2), answer.Header.Source);
        Assert.Equal(PilotAddress.OfNode(1), answer.Header.Destination);
    }

    [Fact]
    public void Rule_19_bursts_to_a_reference_are_short_and_the_rest_is_paced()
    {
        Single ours = Single.AcceptedFromReference();
        ours.Connection.MaxSegmentPayload = 65_000; // held to 4096 toward a reference
        ours.Connection.Write(ours.Now, Bytes(4 << 20));
        uint acknowledged = 1001;
        for (int i = 0; i < 200; i++)
        {
            List<WirePacket> sent = ours.Advance(1);
            Assert.True(sent.GroupBy(p => p.At).All(burst => burst.Count() <= 17), "a burst is too long");
            Assert.All(sent, p => Assert.True(p.Payload.Length <= 4096));
            if (sent.Count > 0)
            {
                acknowledged = sent[^1].Header.Sequence + (uint)sent[^1].Payload.Length;
            }
            if (i % 20 == 19)
            {
                ours.Feed(PacketFlags.Ack, 1, acknowledged, 512);
            }
        }
        Assert.True(ours.Connection.GetStatus().CongestionWindow > 17 * 4096);
    }
}
