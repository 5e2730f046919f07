using Pilot.Protocol;

namespace Pilot.Engine.Tests.Interop;

/// <summary>Datagrams, control pings, and packets that a reference would fall for.</summary>
public sealed class PacketTests
{
    [Fact]
    public void Datagrams_pass_in_both_directions_from_the_first_one_on() => InteropWorld.Run(9000, 20, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        int[] sizes = [1, 100, 1152, 4096, 20_000, 60_000];
        bool weBegin = world.Network.Seed % 2 == 0;
        for (int turn = 0; turn < 2; turn++)
        {
            if (turn == 0 == weBegin)
            {
                ours.Use(node => Assert.All(sizes, size => Assert.True(node.SendDatagram(world.Now, reference.NodeId, 0, 77, new byte[size], out _))));
            }
            else
            {
                reference.Use(node => Assert.All(sizes, size => Assert.Null(node.SendDatagram(ours.NodeId, 77, new byte[size]))));
            }

            world.RunFor(0.5);
        }

        Assert.Equal(sizes, ours.Datagrams.Select(datagram => datagram.Data.Length));
        Assert.All(ours.Datagrams, datagram => Assert.Equal((reference.NodeId, (ushort)77), (datagram.Source.Node, datagram.DestinationPort)));
        Assert.Equal(sizes, reference.Node!.Datagrams.Select(datagram => datagram.Data.Length));
        Assert.All(reference.Node.Datagrams, datagram => Assert.Equal(ours.NodeId, datagram.Header.Source.Node));
    });

    [Fact]
    public void An_empty_datagram_is_not_delivered() => InteropWorld.Run(9100, 2, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        reference.Use(node => node.SendDatagram(ours.NodeId, 77, []));
        world.RunFor(1);
        Assert.Empty(ours.Datagrams);
    });

    [Theory]
    [InlineData(PacketFlags.None, 500, 0, true)]
    [InlineData(PacketFlags.Syn | PacketFlags.Rst, 500, 0, true)]
    [InlineData(PacketFlags.Ack, 500, 0, false)]
    [InlineData(PacketFlags.None, 0, 0, false)]
    [InlineData(PacketFlags.Ack, 0, 0, false)]
    [InlineData(PacketFlags.None, 500, 9, false)]
    public void Only_a_control_ping_that_cannot_echo_for_ever_is_answered(PacketFlags flags, int sourcePort, int destinationPort, bool isAnswered) =>
        InteropWorld.Run(9200, 2, world =>
        {
            (OurHost ours, ReferenceHost reference) = world.Pair();
            world.Echo(ours, reference, 1);
            world.RunFor(3); // size probes are over
            List<(PacketHeader Header, byte[] Payload)> answers = [];
            reference.Node!.Routed = (header, payload) =>
            {
                if (header.Protocol == PacketProtocol.Control)
                {
                    answers.Add((header, payload));
                }
            };
            byte[] payload = [1, 2, 3, 4];
            reference.Use(node => node.SendRaw(ours.NodeId, new PacketHeader
            {
                Protocol = PacketProtocol.Control,
                Flags = flags,
                Source = node.Address,
                Destination = PilotAddress.OfNode(ours.NodeId),
                SourcePort = (ushort)sourcePort,
                DestinationPort = (ushort)destinationPort,
                Sequence = 77,
            }, payload));
            world.RunFor(0.5);
            if (isAnswered)
            {
                (PacketHeader header, byte[] copy) = Assert.Single(answers);
                Assert.Equal((PacketFlags.Ack, (ushort)0, (ushort)sourcePort, 77u, 78u, (ushort)0), (header.Flags, header.SourcePort, header.DestinationPort, header.Sequence, header.Acknowledgement, header.Window));
                Assert.Equal(payload, copy);
            }
            else
            {
                Assert.Empty(answers);
            }
        });

    [Fact]
    public void Our_own_pings_cannot_echo_for_ever() => InteropWorld.Run(9300, 5, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        int pings = 0;
        OurStream stream = ours.Dial(reference, 7);
        reference.Node!.Routed = (header, _) =>
        {
            if (header.Protocol == PacketProtocol.Control)
            {
                pings++;
                Assert.NotEqual(0, header.SourcePort);
                Assert.Equal(PacketFlags.None, header.Flags);
            }
        };
        world.RunFor(300);
        Assert.InRange(pings, 5, 60);
        Assert.True(stream.IsOpen);
    });

    [Fact]
    public void A_flood_of_pings_is_answered_up_to_the_limit() => InteropWorld.Run(9400, 2, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        world.Echo(ours, reference, 1);
        int answers = 0;
        reference.Node!.Routed = (header, _) => answers += header.Protocol == PacketProtocol.Control && (header.Flags & PacketFlags.Ack) != 0 ? 1 : 0;
        for (int i = 0; i < 50; i++)
        {
            reference.Use(node =>
            {
                for (uint n = 0; n < 100; n++)
                {
                    node.SendRaw(ours.NodeId, new PacketHeader
                    {
                        Protocol = PacketProtocol.Control, Source = node.Address, Destination = PilotAddress.OfNode(ours.NodeId), SourcePort = 5, Sequence = n,
                    }, []);
                }
            });
            world.RunFor(0.02);
        }

        Assert.InRange(answers, 50, 450);
        world.Echo(reference, ours, 1);
    });

    [Fact]
    public void A_packet_for_another_node_or_of_another_source_is_dropped() => InteropWorld.Run(9500, 2, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair();
        world.Echo(ours, reference, 1);
        reference.Use(node =>
        {
            Assert.Null(Datagram(node, source: 99, destination: ours.NodeId));
            Assert.Null(Datagram(node, source: reference.NodeId, destination: 999_999));
        });
        world.RunFor(0.5);
        Assert.Empty(ours.Datagrams);

        string? Datagram(ReferenceNode node, uint source, uint destination) => node.SendRaw(ours.NodeId, new PacketHeader
        {
            Protocol = PacketProtocol.Datagram, Source = PilotAddress.OfNode(source), Destination = PilotAddress.OfNode(destination), SourcePort = 1, DestinationPort = 2,
        }, "x"u8);
    });

    [Fact]
    public void A_burst_of_dials_stays_within_what_a_reference_admits() => InteropWorld.Run(9600, 3, world =>
    {
        // It takes 10 SYN per second and source, and drops the others without a word (02 §4.2).
        (OurHost ours, ReferenceHost reference) = world.Pair();
        world.Echo(ours, reference, 1);
        List<OurStream> streams = [.. Enumerable.Range(0, 25).Select(_ => ours.Dial(reference, 7))];
        world.Expect(() => streams.TrueForAll(stream => stream.IsOpen), 15, "all open");
    });

    [Fact]
    public void A_later_release_that_compares_keys_rightly_is_met_as_well() => InteropWorld.Run(9700, 10, world =>
    {
        (OurHost ours, ReferenceHost reference) = world.Pair(new ReferenceSwitches { HasAliasDefect = false, HasNagle = false });
        world.BlockDirect();
        world.Echo(ours, reference, 2);
        world.Filter = null;
        reference.Crash();
        reference.Start();
        world.RunFor(1);
        world.Echo(ours, reference, 3);
        world.Echo(reference, ours, 2);
    });
}
