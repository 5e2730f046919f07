using Pilot.Engine.Streams;

namespace Pilot.Engine.Tests.Streams;

/// <summary>The parts of congestion control one by one.</summary>
public sealed class CongestionTests
{
    private const int Segment = 1000;
    private static readonly Instant Start = new(TimeSpan.TicksPerDay);

    [Fact]
    public void Delivery_rate_is_what_arrived_over_the_round_trip()
    {
        DeliveryRate rate = default;
        SegmentRecord[] segments = new SegmentRecord[20];
        for (int i = 0; i < segments.Length; i++)
        {
            segments[i] = new SegmentRecord { Start = i * Segment, Length = Segment, SentAt = Start + Ms(i), Transmissions = 1 };
            rate.OnSent(Start + Ms(i), ref segments[i], wasEmpty: i == 0);
        }
        RateSample sample = default;
        for (int i = 0; i < segments.Length; i++)
        {
            rate.OnDelivered(Start + Ms(50 + (2 * i)), segments[i]); // the path passes one per two milliseconds
            sample = rate.Take(Start + Ms(50 + (2 * i)), Ms(50));
        }
        Assert.Equal(20 * Segment, sample.Delivered);
        Assert.Equal(0, sample.PriorDelivered);
        Assert.InRange(sample.BytesPerSecond, 20 * Segment / 0.089, 20 * Segment / 0.087);
        Assert.False(sample.IsAppLimited);
    }

    [Fact]
    public void Delivery_rate_knows_when_the_application_was_the_limit()
    {
        DeliveryRate rate = default;
        SegmentRecord first = new() { Length = Segment, SentAt = Start };
        rate.OnSent(Start, ref first, wasEmpty: true);
        rate.MarkAppLimited(Segment);
        SegmentRecord second = new() { Start = Segment, Length = Segment, SentAt = Start + Ms(1) };
        rate.OnSent(Start + Ms(1), ref second, wasEmpty: false);
        rate.OnDelivered(Start + Ms(10), first);
        Assert.False(rate.Take(Start + Ms(10), Ms(10)).IsAppLimited);
        rate.OnDelivered(Start + Ms(11), second);
        Assert.True(rate.Take(Start + Ms(11), Ms(10)).IsAppLimited);
        SegmentRecord third = new() { Start = 2 * Segment, Length = Segment, SentAt = Start + Ms(12) };
        rate.OnSent(Start + Ms(12), ref third, wasEmpty: true);
        rate.OnDelivered(Start + Ms(22), third);
        Assert.False(rate.Take(Start + Ms(22), Ms(10)).IsAppLimited);
    }

    [Fact]
    public void Acknowledgements_in_one_lump_give_no_rate_above_that_of_sending()
    {
        DeliveryRate rate = default;
        SegmentRecord[] segments = new SegmentRecord[10];
        for (int i = 0; i < segments.Length; i++)
        {
            segments[i] = new SegmentRecord { Start = i * Segment, Length = Segment, SentAt = Start + Ms(10 * i) };
            rate.OnSent(Start + Ms(10 * i), ref segments[i], wasEmpty: i == 0);
        }
        foreach (SegmentRecord segment in segments)
        {
            rate.OnDelivered(Start + Ms(120), segment);
        }
        Assert.InRange(rate.Take(Start + Ms(120), Ms(20)).BytesPerSecond, 1, 10 * Segment / 0.09);
    }

    [Fact]
    public void Rate_reduction_reaches_the_threshold_in_step_with_deliveries()
    {
        RateReduction reduction = default;
        reduction.Begin(flight: 20 * Segment, threshold: 14 * Segment);
        long inFlight = 19 * Segment; // one was lost
        long sent = 0;
        for (int i = 0; i < 19; i++)
        {
            inFlight -= Segment;
            long window = reduction.OnAcknowledged(new AckSample(Start, Segment, inFlight + Segment, true, true, Ms(10)) { InFlight = inFlight }, Segment);
            Assert.True(window - inFlight <= 2 * Segment, "no burst");
            while (inFlight + Segment <= window)
            {
                reduction.OnSent(Segment);
                inFlight += Segment;
                sent += Segment;
            }
        }
        Assert.InRange(sent, 12 * Segment, 14 * Segment); // 0.7 per delivery
        Assert.InRange(inFlight, 12 * Segment, 14 * Segment);
    }

    [Fact]
    public void Cubic_steps_back_to_seven_tenths_and_returns_to_the_plateau_in_k()
    {
        Cubic cubic = new(Segment);
        Instant now = Start;
        Acknowledge(cubic, ref now, Ms(100), 100 * Segment, rounds: 1);
        long before = cubic.Window;
        Assert.Equal(110 * Segment, before);
        cubic.OnLoss(now, before);
        Assert.InRange(cubic.Window, 76 * Segment, 78 * Segment);
        Assert.InRange(cubic.SlowStartThreshold, 76 * Segment, 78 * Segment);
        double k = Math.Cbrt(before * 0.3 / Segment / 0.4);
        int rounds = (int)(k / 0.1);
        Acknowledge(cubic, ref now, Ms(100), cubic.Window, rounds);
        Assert.InRange(cubic.Window, 0.97 * before, 1.03 * before);
        Acknowledge(cubic, ref now, Ms(100), cubic.Window, rounds);
        Assert.InRange(cubic.Window, 1.2 * before, 1.5 * before); // as far above the plateau as it began below
    }

    [Fact]
    public void Cubic_grows_at_least_as_reno_on_short_paths_and_not_when_unused()
    {
        Cubic cubic = new(Segment);
        Instant now = Start;
        cubic.OnLoss(now, cubic.Window);
        long before = cubic.Window;
        for (int i = 0; i < 100; i++)
        {
            now += Ms(1);
            cubic.OnAcknowledged(new AckSample(now, Segment, cubic.Window, false, false, Ms(1)) { Rate = new RateSample(0, 0, 0, true) });
        }
        Assert.Equal(before, cubic.Window);
        Acknowledge(cubic, ref now, Ms(1), cubic.Window, rounds: 20);
        Assert.True(cubic.Window >= before + (10 * Segment), $"{cubic.Window} after {before}");
    }

    [Fact]
    public void Cubic_takes_a_needless_reduction_back()
    {
        Cubic cubic = new(Segment);
        Instant now = Start;
        Acknowledge(cubic, ref now, Ms(50), 50 * Segment, rounds: 1);
        long before = cubic.Window;
        cubic.OnLoss(now, before);
        cubic.OnSpurious(now);
        Assert.Equal(before, cubic.Window);
        Assert.Equal(int.MaxValue, cubic.SlowStartThreshold);
        cubic.OnTimeout(now, before, repeated: false);
        Assert.Equal(Segment, cubic.Window);
        cubic.OnSpurious(now);
        Assert.Equal(before, cubic.Window);
    }

    [Fact]
    public void Slow_start_ends_when_round_trips_grow_and_goes_on_when_they_fall_again()
    {
        HyStart start = default;
        start.Reset();
        long delivered = 0;
        Assert.False(Round(ref start, Ms(40), ref delivered, out long growth));
        Assert.Equal(10 * Segment, growth);
        Assert.False(Round(ref start, Ms(41), ref delivered, out growth));
        Assert.Equal(10 * Segment, growth);
        Assert.False(Round(ref start, Ms(50), ref delivered, out growth)); // conservative from the eighth sample on
        Assert.InRange(growth, 7 * Segment, 9 * Segment);
        Assert.False(Round(ref start, Ms(50), ref delivered, out growth));
        Assert.Equal(10 * Segment / 4, growth);
        Assert.False(Round(ref start, Ms(42), ref delivered, out growth)); // it was a fluctuation
        Assert.True(growth > 10 * Segment / 4);
        Round(ref start, Ms(60), ref delivered, out _);
        bool ended = false;
        for (int i = 0; i < 6; i++)
        {
            ended |= Round(ref start, Ms(60), ref delivered, out _);
        }
        Assert.True(ended);
    }

    [Fact]
    public void Bbr_paces_at_what_was_delivered_and_keeps_less_than_twice_the_product_in_flight()
    {
        Bbr bbr = new(Segment, 1);
        Instant now = Start;
        long delivered = 0;
        for (int round = 0; round < 40; round++)
        {
            for (int i = 0; i < 100; i++)
            {
                now += TimeSpan.FromMicroseconds(200);
                long prior = Math.Max(0, delivered - (100 * Segment));
                delivered += Segment;
                bbr.OnAcknowledged(new AckSample(now, Segment, 100 * Segment, true, false, Ms(20))
                {
                    InFlight = 100 * Segment, Rate = new RateSample(5_000_000, prior, delivered, false), Burst = 2 * Segment,
                });
            }
        }
        Assert.InRange(bbr.PacingRate, 5_000_000 * 0.7, 5_000_000 * 1.9);
        Assert.InRange(bbr.Window, 100 * Segment, 200 * Segment);
        bbr.OnLoss(now, bbr.Window);
        Assert.InRange(bbr.Window, 100 * Segment, 200 * Segment); // one loss is no reason
        long before = bbr.Window;
        bbr.OnTimeout(now, before, repeated: false);
        Assert.Equal(4 * Segment, bbr.Window);
        bbr.OnSpurious(now);
        Assert.Equal(before, bbr.Window);
        bbr.Reset();
        Assert.Equal(0, bbr.PacingRate);
        Assert.Equal(10 * Segment, bbr.Window);
    }

    [Fact]
    public void A_recovery_is_needless_when_all_its_segments_had_arrived()
    {
        NeedlessRecovery needless = default;
        Assert.False(needless.IsProven(0));
        needless.Begin(lostBefore: 5);
        needless.OnDelivered(new SegmentRecord { Start = 1000 });
        Assert.False(needless.IsProven(7));
        needless.OnDelivered(new SegmentRecord { Start = 2000 });
        Assert.True(needless.IsProven(7));
        needless.BeginTimeout(3000);
        needless.OnDelivered(new SegmentRecord { Start = 4000 });
        Assert.False(needless.IsProven(9));
        needless.OnDelivered(new SegmentRecord { Start = 3000 });
        Assert.True(needless.IsProven(9));
        needless.BeginTimeout(6000);
        needless.BeginTimeout(6000); // again: no mere delay
        needless.OnDelivered(new SegmentRecord { Start = 6000 });
        Assert.False(needless.IsProven(9));
    }

    [Fact]
    public void What_was_deemed_lost_by_mistake_goes_back_in_order_of_time()
    {
        SentSegments segments = new(new ChunkPool());
        for (int i = 0; i < 6; i++)
        {
            segments.Add(i * Segment, Segment, Start + Ms(i));
        }
        segments.MarkLost(0);
        segments.MarkLost(3);
        segments.Resend(0, Start + Ms(10));
        segments.MarkLost(1);
        segments.RestoreLost();
        Assert.Equal(0, segments.LostCount);
        Assert.Equal(6 * Segment, segments.BytesInFlight);
        List<long> order = [];
        for (long number = segments.Earliest; number >= 0; number = segments[number].Later)
        {
            order.Add(number);
        }
        Assert.Equal([1, 2, 3, 4, 5, 0], order);
    }

    [Fact]
    public void Pacing_loses_nothing_to_frequent_calls()
    {
        Pacer pacer = default;
        Instant now = Start;
        while (pacer.CanSend(now, 100_000, 2000))
        {
            pacer.OnSent(1000);
        }
        long sent = 0;
        for (int i = 0; i < 100_000; i++) // ten seconds, every 100 µs: ten bytes each
        {
            now += TimeSpan.FromMicroseconds(100.0 - (i % 2 * 0.1)); // no whole number of bytes
            while (pacer.CanSend(now, 100_000, 2000))
            {
                pacer.OnSent(1000);
                sent += 1000;
            }
        }
        Assert.InRange(sent, 997_000, 1_002_000);
    }

    [Fact]
    public void A_late_path_is_a_needless_timeout()
    {
        ConnectionOptions options = new() { CongestionControl = CongestionControl.Cubic };
        ConnectionPair pair = ConnectionPair.Ours(options, new Link { Latency = Ms(10) });
        pair.RunUntil(() => pair.LeftConnection.State == ConnectionState.Established);
        byte[] data = new byte[100_000];
        for (int i = 0; i < 20; i++)
        {
            pair.LeftConnection.Write(pair.Now, data);
            pair.Run(Ms(100));
            pair.RightConnection.Consume(pair.Now, Math.Min(pair.RightConnection.ReadableBytes, pair.RightConnection.PeekRead().Length));
        }
        long window = pair.LeftConnection.GetStatus().CongestionWindow;
        pair.Link = pair.Link with { Latency = Ms(300) }; // the path holds everything up for once
        pair.LeftConnection.Write(pair.Now, data.AsSpan(0, 20_000));
        pair.Run(Ms(1));
        pair.Link = pair.Link with { Latency = Ms(10) };
        pair.Run(Ms(290));
        Assert.True(pair.LeftConnection.GetStatus().Retransmissions > 0);
        pair.Run(TimeSpan.FromSeconds(2));
        Assert.Equal(0, pair.LeftConnection.UnacknowledgedBytes);
        Assert.True(pair.LeftConnection.GetStatus().CongestionWindow >= window / 4, "the path works: the window comes back");
    }

    private static TimeSpan Ms(double milliseconds) => TimeSpan.FromMilliseconds(milliseconds);

    private static void Acknowledge(Cubic cubic, ref Instant now, TimeSpan roundTrip, long bytesPerRound, int rounds)
    {
        for (int round = 0; round < rounds; round++)
        {
            int count = (int)(bytesPerRound / Segment);
            for (int i = 0; i < count; i++)
            {
                now += roundTrip / count;
                cubic.OnAcknowledged(new AckSample(now, Segment, cubic.Window, true, false, roundTrip)
                {
                    InFlight = cubic.Window - Segment, Rate = new RateSample(0, -1, 0, false),
                });
            }
            bytesPerRound = cubic.Window;
        }
    }

    private static bool Round(ref HyStart start, TimeSpan roundTrip, ref long delivered, out long growth)
    {
        growth = 0;
        bool ended = false;
        long begin = delivered;
        for (int i = 0; i < 10; i++)
        {
            delivered += Segment;
            AckSample sample = new(Start, Segment, 10 * Segment, true, false, roundTrip)
            {
                Rate = new RateSample(0, i == 0 ? begin : begin - Segment, delivered, false),
            };
            growth += start.Growth(sample, out bool ends);
            ended |= ends;
        }
        return ended;
    }
}
