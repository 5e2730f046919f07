using Pilot.Engine.Tests.Simulation;

namespace Pilot.Engine.Tests.Interop;

/// <summary>The first frames between a node of ours and a reference, in every order and with every accident.</summary>
public sealed class FirstContactTests
{
    [Fact]
    public void We_dial_a_reference() => InteropWorld.Run(1000, 20, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        OurStream stream = ours.Dial(reference, 7);
        stream.Source = new Flow(1, 1000);
        stream.Sink = new Flow(1, 1000);
        TimeSpan open = world.Expect(() => stream.IsOpen, 1, "open");
        world.Expect(() => stream.Sink.IsDone, 1, "echo");
        Assert.True(open < TimeSpan.FromMilliseconds(200), $"open after {open}");
        AssertQuiet(world, ours, reference);
    });

    [Fact]
    public void A_reference_dials_us() => InteropWorld.Run(1100, 20, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        TimeSpan taken = world.Echo(reference, ours, 1);
        Assert.True(taken < TimeSpan.FromMilliseconds(200), $"echo after {taken}");
        AssertQuiet(world, ours, reference);
    });

    [Fact]
    public void Both_dial_in_the_same_moment() => InteropWorld.Run(1200, 20, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair(profile: InteropWorld.Line with { Jitter = TimeSpan.FromMilliseconds(20) });
        OurStream stream = ours.Dial(reference, 7);
        ReferenceConnection connection = reference.Dial(ours, 7);
        stream.Source = new Flow(1, 1000);
        stream.Sink = new Flow(1, 1000);
        connection.Source = new Flow(2, 1000);
        connection.Sink = new Flow(2, 1000);
        world.Expect(() => stream.Sink.IsDone && connection.Sink.IsDone, 1.5, "both echoes");
        AssertQuiet(world, ours, reference);
    });

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Lost_exchange_frames_delay_but_never_part_us(bool weDial) => InteropWorld.Run(1300, 60, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        SimRandom random = world.Network.Random.Child("lost");
        Instant end = world.Now + TimeSpan.FromSeconds(1.5);
        world.Filter = frame => frame.IsExchange && world.Now < end && random.Chance(0.6) ? Fate.Drop : null;
        if (weDial)
        {
            world.Echo(ours, reference, 5);
        }
        else
        {
            world.Echo(reference, ours, 12); // its SYNs come after 1, 3 and 7 s
        }

        world.Filter = null;
        world.Echo(ours, reference, 1);
        world.Echo(reference, ours, 1.5);
    });

    [Fact]
    public void A_lost_answer_of_the_reference_is_forced_out_of_it_again() => InteropWorld.Run(1400, 20, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        int lost = 0;
        world.Filter = frame => frame.IsExchange && frame.From == reference.Host && lost++ == 0 ? Fate.Drop : null;
        TimeSpan taken = world.Echo(ours, reference, 3);
        Assert.True(taken > TimeSpan.FromSeconds(1), "the answer was not needed");
        Assert.Equal(2, world.KeysOf(ours)); // nothing else than a new key makes a reference answer (01 §5.8)
    });

    [Fact]
    public void Our_lost_answer_is_repeated_when_the_reference_asks_again() => InteropWorld.Run(1500, 20, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        int lost = 0;
        world.Filter = frame => frame.IsExchange && frame.From == ours.Host && lost++ < 2 ? Fate.Drop : null;
        world.Echo(reference, ours, 1.5);
    });

    [Fact]
    public void Doubled_and_overtaking_exchange_frames_lose_nothing() => InteropWorld.Run(1600, 60, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        SimRandom random = world.Network.Random.Child("accidents");
        world.Filter = frame => !frame.IsExchange ? null
            : random.Chance(0.5) ? new Fate(2, random.Between(TimeSpan.Zero, TimeSpan.FromMilliseconds(60)))
            : Fate.Late(random.Between(TimeSpan.Zero, TimeSpan.FromMilliseconds(60)));
        OurStream stream = ours.Dial(reference, 7);
        stream.Source = new Flow(1, 20_000);
        stream.Sink = new Flow(1, 20_000);
        ReferenceConnection connection = reference.Dial(ours, 7);
        connection.Source = new Flow(2, 20_000);
        connection.Sink = new Flow(2, 20_000);
        world.Expect(() => stream.Sink.IsDone && connection.Sink.IsDone, 4, "both echoes");
        Assert.Equal(0UL, ours.Node!.Statistics.Replays);
        Assert.Equal(0, reference.Node!.ReplayDrops);
    });

    [Fact]
    public void Replayed_exchange_frames_of_both_sides_change_nothing() => InteropWorld.Run(1700, 20, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        List<(Pilot.Protocol.UdpEndpoint From, SentFrame Frame)> recorded = [];
        world.Filter = frame =>
        {
            if (frame.IsExchange && frame.To != world.Rendezvous.Beacon)
            {
                recorded.Add((frame.From.Local, frame));
            }

            return null;
        };
        world.Echo(ours, reference, 1);
        SimRandom random = world.Network.Random.Child("replay");
        OurStream stream = ours.Dial(reference, 7);
        stream.Source = new Flow(3, 300_000);
        stream.Sink = new Flow(3, 300_000);
        for (int i = 0; i < 30; i++)
        {
            // The sender's address is spoofed: references move the endpoint to wherever a frame comes from.
            (Pilot.Protocol.UdpEndpoint from, SentFrame frame) = recorded[random.Next(recorded.Count)];
            world.Network.Inject(from, frame.To, frame.Frame);
            world.RunFor(0.03);
        }

        world.Expect(() => stream.Sink.IsDone, 10, "echo");
        Assert.Equal(0UL, ours.Node!.Statistics.Replays);
        Assert.True(reference.Node!.ReplayDrops == 0, $"the reference dropped {reference.Node.ReplayDrops}");
    });

    [Fact]
    public void A_registry_outage_during_the_first_contact_is_waited_for() => InteropWorld.Run(1800, 10, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        world.Rendezvous.IsDown = true;
        world.Network.After(TimeSpan.FromSeconds(2), () => world.Rendezvous.IsDown = false);
        world.Echo(ours, reference, 14);
    });

    private static void AssertQuiet(InteropWorld world, OurHost ours, ReferenceHost reference)
    {
        Assert.False(reference.Node!.IsRelayed(ours.NodeId));
        Assert.Equal(1, world.KeysOf(ours));
        Assert.Equal(0, reference.Node.ReplayDrops);
        Assert.Equal(0, reference.Node.DecryptionFailures);
        Assert.Equal(0UL, ours.Node!.Statistics.Replays);
        Assert.True(reference.Node.ExchangesAccepted <= 6, $"{reference.Node.ExchangesAccepted} exchange frames");
    }
}
