using Pilot.Engine.Streams;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Streams;

/// <summary>The parts of a connection one by one.</summary>
public sealed class MechanismTests
{
    private static readonly Instant Start = new(TimeSpan.TicksPerDay);

    private static TimeSpan Ms(double milliseconds) => TimeSpan.FromMilliseconds(milliseconds);

    [Fact]
    public void Round_trip_estimation_follows_the_trace_of_the_specification()
    {
        // vector rto-trace of chapter 02; the limits of the reference are set for it
        (double Sample, long Srtt, long Variation, long Rto)[] trace =
        [
            (100, 100000, 50000, 300000), (100, 100000, 37500, 250000), (200, 112500, 53125, 325000), (50, 104687, 55468, 326562),
            (50, 97851, 55273, 318945), (3000, 460620, 766992, 3528588), (12000, 1903042, 3460089, 10000000),
            (1, 1665287, 3070577, 10000000), (1, 1457251, 2719004, 10000000),
        ];
        RttEstimator rtt = new(new ConnectionOptions { MaxRto = TimeSpan.FromSeconds(10) });
        Assert.Equal(TimeSpan.FromSeconds(1), rtt.Rto);
        foreach ((double sample, long srtt, long variation, long rto) in trace)
        {
            rtt.Add(Start, Ms(sample));
            Assert.Equal(srtt, rtt.Smoothed.TotalMicroseconds, 2.0);
            Assert.Equal(variation, rtt.Variation.TotalMicroseconds, 2.0);
            Assert.Equal(rto, rtt.Rto.TotalMicroseconds, 8.0);
        }
        Assert.Equal(Ms(1), rtt.Minimum);
    }

    [Fact]
    public void Minimum_round_trip_forgets_after_two_minutes()
    {
        RttEstimator rtt = new(ConnectionOptions.Default);
        rtt.Add(Start, Ms(5));
        for (int second = 1; second < 200; second++)
        {
            rtt.Add(Start + TimeSpan.FromSeconds(second), Ms(50));
        }
        Assert.Equal(Ms(50), rtt.Minimum);
    }

    [Fact]
    public void New_reno_doubles_then_adds_then_halves()
    {
        NewReno control = new(1152);
        Assert.Equal(11520, control.Window);
        control.OnAcknowledged(new AckSample(Start, 11520, 11520, true, false, Ms(10)));
        Assert.Equal(23040, control.Window);
        control.OnAcknowledged(new AckSample(Start, 11520, 11520, false, false, Ms(10))); // the application was the limit
        Assert.Equal(23040, control.Window);
        control.OnLoss(Start, 23040);
        Assert.Equal(11520, control.Window);
        Assert.Equal(11520, control.SlowStartThreshold);
        control.OnAcknowledged(new AckSample(Start, 5000, 16520, true, true, Ms(10)) { InFlight = 11520 }); // recovery: no growth
        Assert.Equal(11520, control.Window);
        control.OnAcknowledged(new AckSample(Start, 11520, 11520, true, false, Ms(10)));
        Assert.Equal(11520 + 4096, control.Window);
        control.OnTimeout(Start, 11520, false);
        Assert.Equal(1152, control.Window);
        Assert.Equal(8192, control.SlowStartThreshold);
        control.OnTimeout(Start, 1152, true);
        Assert.Equal(8192, control.SlowStartThreshold);
    }

    [Fact]
    public void Pacer_releases_a_burst_and_then_the_rate()
    {
        Pacer pacer = default;
        const long rate = 1_000_000;
        const long burst = 16_000;
        Instant now = Start;
        long sent = 0;
        while (pacer.CanSend(now, rate, burst))
        {
            pacer.OnSent(1000);
            sent += 1000;
        }
        Assert.Equal(burst, sent);
        for (int i = 0; i < 1000; i++)
        {
            Instant next = pacer.NextRelease(now, rate, 1000);
            Assert.True(next > now);
            now = next;
            while (pacer.CanSend(now, rate, burst))
            {
                pacer.OnSent(1000);
                sent += 1000;
            }
        }
        double expected = burst + (rate * (now - Start).TotalSeconds);
        Assert.InRange(sent, expected * 0.98, expected + 2000);
    }

    [Fact]
    public void Sent_segments_keep_count_through_random_operations()
    {
        for (int seed = 0; seed < 15; seed++)
        {
            Random random = new(seed);
            SentSegments sent = new(new ChunkPool());
            long next = 0;
            Instant now = Start;
            for (int i = 0; i < 3000; i++)
            {
                now += Ms(random.NextDouble());
                switch (random.Next(7))
                {
                    case 0 or 1 or 2:
                        int length = random.Next(1, 1500);
                        sent.Add(next, length, now);
                        next += length;
                        break;
                    case 3 when sent.Count > 0:
                        sent.MarkLost(random.NextInt64(sent.First, sent.Next));
                        break;
                    case 4 when sent.Count > 0:
                        sent.MarkSacked(random.NextInt64(sent.First, sent.Next));
                        break;
                    case 5 when sent.FirstLost() >= 0:
                        sent.Resend(sent.FirstLost(), now);
                        break;
                    case 6 when sent.Count > 0 && random.Next(3) == 0:
                        sent.RemoveFirst();
                        break;
                    default:
                        break;
                }
                if (i % 500 == 499)
                {
                    sent.Split(400);
                }
                if (i % 100 == 0)
                {
                    AssertConsistent(sent);
                }
            }
        }
    }

    [Fact]
    public void Losses_are_found_by_time_and_not_by_reordering()
    {
        RttEstimator rtt = new(ConnectionOptions.Default);
        rtt.Add(Start, Ms(40));
        SentSegments sent = new(new ChunkPool());
        LossDetector loss = new(sent, rtt);
        for (int i = 0; i < 10; i++)
        {
            sent.Add(i * 100, 100, Start + Ms(i));
        }
        // the second was delivered: the first may still be on its way for a quarter of the round trip
        Instant now = Start + Ms(41);
        loss.OnDelivered(now, sent[1]);
        sent.MarkSacked(1);
        Assert.Equal(0, loss.Detect(now, false, out Instant recheck));
        Assert.Equal(Start + Ms(50), recheck);
        Assert.Equal(1, loss.Detect(recheck, false, out _));
        Assert.Equal(0, sent.FirstLost());
        // three delivered behind it without any reordering seen: no more patience
        now = Start + Ms(45);
        foreach (int i in new[] { 3, 4, 5 })
        {
            loss.OnDelivered(now, sent[i]);
            sent.MarkSacked(i);
        }
        Assert.Equal(1, loss.Detect(now, false, out _));
        Assert.Equal(2, sent.LostCount);
    }

    [Fact]
    public void Acknowledgement_floor_delays_but_never_starves()
    {
        AckSchedule acks = new();
        Instant now = Start;
        long next = 0;
        Dictionary<long, Instant> arrivals = new() { [0] = now };
        long best = 0;
        for (int i = 0; i < 1000; i++)
        {
            now += Ms(0.1);
            next += 100;
            arrivals[next] = now;
            acks.OnData(now, next, Ms(1), Ms(25));
            if (acks.IsDue(now))
            {
                acks.OnSent();
                best = acks.Sent;
                Assert.True(now - arrivals[best] >= Ms(1));
            }
            Assert.True(next - best <= 100 * 25, "starved");
        }
    }

    [Fact]
    public void Delayed_acknowledgement_waits_for_the_second_segment_or_the_delay()
    {
        AckSchedule acks = new();
        Instant now = Start;
        long next = 0;
        for (int i = 0; i < StreamConstants.QuickAckSegments; i++)
        {
            acks.OnData(now, ++next, TimeSpan.Zero, Ms(25));
            Assert.True(acks.IsDue(now)); // the first ones at once
            acks.OnSent();
        }
        acks.OnData(now, ++next, TimeSpan.Zero, Ms(25));
        Assert.False(acks.IsDue(now));
        Assert.Equal(now + Ms(25), acks.NextCheck(now));
        Assert.True(acks.IsDue(now + Ms(25)));
        acks.OnData(now, ++next, TimeSpan.Zero, Ms(25));
        Assert.True(acks.IsDue(now));
        acks.OnSent();
        Assert.False(acks.IsDue(now + Ms(1000)));
        Assert.Equal(next, acks.Sent);
    }

    [Fact]
    public void Reports_carry_the_newest_run_first_and_survive_mutation()
    {
        ConnectionPair pair = ConnectionPair.Ours();
        ConnectionHost right = (ConnectionHost)pair.Right;
        pair.RunUntil(() => right.Connection is not null && pair.LeftConnection.State == ConnectionState.Established);
        int number = 0;
        pair.Drop = p => p.FromLeft && p.Payload.Length == 1152 && number++ % 2 == 0;
        pair.LeftConnection.Write(pair.Now, new byte[1152 * 10]);
        pair.Run(Ms(12));
        WirePacket report = pair.Wire.Last(p => !p.FromLeft && p.Flags == PacketFlags.None);
        Span<SackBlock> blocks = stackalloc SackBlock[StreamConstants.ExtendedSackBlocks];
        Assert.True(AckReport.TryParse(report.Payload, blocks, out int count));
        Assert.Equal(5, count);
        Assert.Equal(blocks[0].Left, blocks[..count].ToArray().Max(b => b.Left));
        Random random = new(1);
        for (int i = 0; i < 200_000; i++)
        {
            byte[] mutated = [.. report.Payload];
            mutated[random.Next(mutated.Length)] = (byte)random.Next(256);
            AckReport.TryParse(mutated.AsSpan(0, random.Next(mutated.Length + 1)), blocks, out count);
            Assert.InRange(count, 0, blocks.Length);
        }
    }

    [Fact]
    public void A_shrinking_path_cuts_waiting_segments_anew_between_ours()
    {
        ConnectionPair pair = ConnectionPair.Ours(segment: 8000);
        ConnectionHost right = (ConnectionHost)pair.Right;
        pair.RunUntil(() => right.Connection is not null && pair.LeftConnection.State == ConnectionState.Established);
        pair.Drop = p => p.Payload.Length > 1200;
        byte[] data = [.. Enumerable.Range(0, 60_000).Select(i => Transfer.ByteAt(4, i))];
        pair.LeftConnection.Write(pair.Now, data);
        pair.Run(TimeSpan.FromSeconds(3));
        Assert.Equal(0, right.Connection!.ReadableBytes);
        pair.LeftConnection.MaxSegmentPayload = 1152;
        pair.LeftConnection.OnPathChanged(pair.Now);
        List<byte> received = [];
        pair.RunUntil(() => received.Count == data.Length, TimeSpan.FromSeconds(5), () =>
        {
            while (right.Connection.ReadableBytes > 0)
            {
                ReadOnlySpan<byte> run = right.Connection.PeekRead();
                received.AddRange(run);
                right.Connection.Consume(pair.Now, run.Length);
            }
        });
        Assert.Equal(data, received);
    }

    [Fact]
    public void A_lost_tail_is_repaired_by_the_probe_before_the_timeout()
    {
        ConnectionPair pair = ConnectionPair.Ours();
        ConnectionHost right = (ConnectionHost)pair.Right;
        pair.RunUntil(() => right.Connection is not null && pair.LeftConnection.State == ConnectionState.Established);
        bool dropped = false;
        pair.Drop = p => p.FromLeft && p.Payload.Length == 500 && !dropped && (dropped = true);
        Instant start = pair.Now;
        pair.LeftConnection.Write(pair.Now, new byte[500]);
        pair.RunUntil(() => right.Connection!.ReadableBytes == 500);
        Assert.True(pair.Now - start < Ms(100), $"{(pair.Now - start).TotalMilliseconds} ms"); // the timeout is 200 ms
    }

    [Fact]
    public void Connections_that_lost_the_same_path_do_not_repeat_in_step()
    {
        TimeSpan[][] waits = [.. Enumerable.Range(0, 8).Select(i => RepeatsOnADeadPath((uint)new Random(i).Next()))];
        for (int step = 0; step < 3; step++)
        {
            TimeSpan[] same = [.. waits.Select(each => each[step])];
            TimeSpan rto = Ms(200 << step);
            Assert.All(same, wait => Assert.InRange(wait, rto, rto * 1.125)); // up to an eighth
            Assert.Equal(same.Length, same.Distinct().Count());
            Assert.True(same.Max() - same.Min() > rto / 32, $"all within {same.Max() - same.Min()}");
        }
    }

    // the waits between the repeats of a segment behind its tail loss probe
    private static TimeSpan[] RepeatsOnADeadPath(uint isn)
    {
        ConnectionPair pair = ConnectionPair.Ours(isn: isn);
        pair.RunUntil(() => pair.LeftConnection.State == ConnectionState.Established);
        pair.Run(Ms(50));
        pair.Drop = _ => true;
        pair.Wire.Clear();
        pair.LeftConnection.Write(pair.Now, new byte[500]);
        pair.Run(TimeSpan.FromSeconds(3));
        Instant[] sent = [.. pair.Wire.Where(p => p.FromLeft && p.Payload.Length == 500).Select(p => p.At)];
        return [.. sent.Skip(2).Zip(sent.Skip(1), (later, earlier) => later - earlier)];
    }

    [Fact]
    public void Sequence_numbers_may_wrap_in_a_transfer()
    {
        PacketHeader syn = new() { Protocol = PacketProtocol.Stream, Flags = PacketFlags.Syn, SourcePort = 1, DestinationPort = 2, Sequence = 0xFFFF_FF00, Window = 512 };
        byte[] list = new byte[SynOptions.Size];
        SynOptions.Of(ConnectionOptions.Default).Write(list);
        Single ours = Single.Acceptor(syn, 5, ConnectionOptions.Default, list);
        ours.Pump();
        ours.Feed(PacketFlags.Ack, 0x0000_0001, 6, 100, new byte[100]); // behind the wrap, before the rest
        WirePacket report = ours.Pump()[^1];
        Assert.Equal(0xFFFF_FF01, report.Header.Acknowledgement);
        Span<SackBlock> blocks = stackalloc SackBlock[4];
        Assert.True(AckReport.TryParse(report.Payload, blocks, out int count));
        Assert.Equal([new SackBlock(1, 101)], blocks[..count].ToArray());
        ours.Feed(PacketFlags.Ack, 0xFFFF_FF01, 6, 100, new byte[256]);
        Assert.Equal(101u, ours.Pump()[^1].Header.Acknowledgement);
        Assert.Equal(356, ours.Connection.ReadableBytes);
        ours.Feed(PacketFlags.Fin, 101, 0, 0);
        Assert.Equal(102u, ours.Pump()[^1].Header.Acknowledgement);
    }

    private static void AssertConsistent(SentSegments sent)
    {
        long bytes = 0;
        int lost = 0;
        int sacked = 0;
        int flying = 0;
        long expected = -1;
        for (long number = sent.First; number < sent.Next; number++)
        {
            SegmentRecord record = sent[number];
            Assert.True(expected < 0 || record.Start == expected, "a gap between segments");
            expected = record.End;
            Assert.Equal(1, (record.InFlight ? 1 : 0) + (record.Lost ? 1 : 0) + (record.Sacked ? 1 : 0));
            bytes += record.InFlight ? record.Length : 0;
            flying += record.InFlight ? 1 : 0;
            lost += record.Lost ? 1 : 0;
            sacked += record.Sacked ? 1 : 0;
            Assert.Equal(number, sent.Find(record.Start));
        }
        Assert.Equal(bytes, sent.BytesInFlight);
        Assert.Equal(lost, sent.LostCount);
        Assert.Equal(sacked, sent.SackedCount);
        long previous = -1;
        Instant at = default;
        for (long number = sent.Earliest; number >= 0; number = sent[number].Later)
        {
            Assert.Equal(previous, sent[number].Earlier);
            Assert.True(sent[number].SentAt >= at);
            at = sent[number].SentAt;
            previous = number;
            flying--;
        }
        Assert.Equal(previous, sent.Latest);
        Assert.Equal(0, flying);
        long first = sent.FirstLost();
        for (long number = sent.First; number < (first < 0 ? sent.Next : first); number++)
        {
            Assert.False(sent[number].Lost);
        }
    }
}
