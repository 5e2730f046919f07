using Pilot.Engine.Streams;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Streams;

/// <summary>Packets of any content, commands at any time: no exception, no endless deadline, no unbounded memory, and in the end no memory.</summary>
public sealed class FuzzTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1000)]
    [InlineData(2000)]
    public void Arbitrary_packets_and_commands_break_nothing(int firstSeed)
    {
        byte[] buffer = new byte[70000];
        byte[] list = new byte[SynOptions.Size];
        SynOptions.Of(ConnectionOptions.Default).Write(list);
        for (int seed = firstSeed; seed < firstSeed + 1000; seed++)
        {
            try
            {
                RunOne(new Random(seed), buffer, list);
            }
            catch (Exception e) when (e is not TestSeedException)
            {
                throw new TestSeedException($"seed {seed}: {e.Message}", e);
            }
        }
    }

    private static void RunOne(Random random, byte[] buffer, byte[] list)
    {
        ConnectionOptions options = new() { ReceiveBufferLimit = random.Next(5_000, 300_000), SendBufferLimit = random.Next(1_000, 300_000), ReceiveReserve = 20_000 };
        ChunkPool pool = new();
        Instant now = new(TimeSpan.TicksPerDay);
        uint isn = (uint)random.Next();
        uint remoteIsn = (uint)random.NextInt64(uint.MaxValue);
        bool extended = random.Next(2) == 0;
        Connection connection;
        if (random.Next(2) == 0)
        {
            connection = Connection.Dial(1, PilotAddress.OfNode(1), 1, PilotAddress.OfNode(2), 2, isn, options, pool, now, default);
            connection.TryTransmit(now, buffer, out _);
            if (random.Next(5) > 0)
            {
                connection.Receive(now, Header(PacketFlags.Syn | PacketFlags.Ack, remoteIsn, isn + 1, (ushort)random.Next(65536)), extended ? list : []);
            }
        }
        else
        {
            connection = Connection.Accept(1, Header(PacketFlags.Syn, remoteIsn, 0, (ushort)random.Next(65536)), extended ? list : [], isn, options, pool, now);
        }
        uint highest = isn + 1;
        for (int i = 0; i < 300; i++)
        {
            switch (random.Next(12))
            {
                case 0:
                    connection.Write(now, new byte[random.Next(1, 20_000)]);
                    break;
                case 1 when connection.ReadableBytes > 0:
                    connection.Consume(now, random.Next(1, connection.PeekRead().Length + 1));
                    break;
                case 2 when random.Next(30) == 0:
                    connection.ShutdownWrite(now);
                    break;
                case 3 when random.Next(40) == 0:
                    connection.Close(now);
                    break;
                case 4 when random.Next(60) == 0:
                    connection.Abort(now);
                    break;
                case 5 when random.Next(5) == 0:
                    connection.MaxSegmentPayload = random.Next(1, 65_000);
                    connection.OnPathChanged(now);
                    break;
                case 6 or 7:
                    now += TimeSpan.FromMilliseconds(random.NextDouble() * random.Next(1, 3000));
                    break;
                default:
                    PacketFlags flags = random.Next(4) == 0 ? (PacketFlags)random.Next(16) : random.Next(4) == 0 ? PacketFlags.None : PacketFlags.Ack;
                    if ((flags & (PacketFlags.Rst | PacketFlags.Fin)) != 0 && random.Next(10) > 0)
                    {
                        flags = PacketFlags.Ack;
                    }
                    uint sequence = remoteIsn + 1 + (uint)(random.Next(4) == 0 ? random.Next(-300_000, 600_000) : random.Next(0, 20_000));
                    uint acknowledgement = random.Next(20) == 0 ? (uint)random.Next() : isn + 1 + (uint)random.NextInt64(highest - isn);
                    byte[] payload = random.Next(3) switch
                    {
                        0 => [],
                        1 => new byte[random.Next(1, 5000)],
                        _ => Report(random, isn, highest, flags == PacketFlags.None),
                    };
                    connection.Receive(now, Header(flags, sequence, acknowledgement, (ushort)random.Next(65536)), payload);
                    break;
            }
            for (int sent = 0; connection.TryTransmit(now, buffer, out int length); sent++)
            {
                Assert.True(sent < 5000, "transmits without end");
                Assert.True(Packet.TryParseAuthenticated(buffer.AsSpan(0, length), out PacketHeader header, out ReadOnlySpan<byte> payload));
                if (header.Flags == PacketFlags.Ack && SequenceNumber.IsAfter(header.Sequence + (uint)payload.Length, highest))
                {
                    highest = header.Sequence + (uint)payload.Length;
                }
            }
            for (int turns = 0; connection.Deadline <= now; turns++)
            {
                Assert.True(turns < 20, "a deadline does not go away when it is handled");
                connection.HandleDeadline(now);
            }
            Assert.InRange(pool.Rented, 0, 60);
            Assert.True(connection.ReadableBytes <= options.ReceiveBufferLimit + options.ReceiveReserve);
            connection.GetStatus();
        }
        connection.Abort(now);
        while (connection.TryTransmit(now, buffer, out _))
        {
        }
        Assert.Equal(0, pool.Rented);
        Assert.True(connection.State is ConnectionState.Closed or ConnectionState.TimeWait);
    }

    private static byte[] Report(Random random, uint isn, uint highest, bool typed)
    {
        SackBlock[] blocks = new SackBlock[random.Next(1, 5)];
        for (int i = 0; i < blocks.Length; i++)
        {
            uint left = isn + 1 + (uint)random.NextInt64(highest - isn);
            blocks[i] = new SackBlock(left, left + (uint)random.Next(-100, 20_000));
        }
        byte[] payload = new byte[300];
        int length = typed ? AckReport.Write(payload, blocks) : Sack.Write(payload, blocks);
        return payload[..length];
    }

    private static PacketHeader Header(PacketFlags flags, uint sequence, uint acknowledgement, ushort window) => new()
    {
        Protocol = PacketProtocol.Stream,
        Flags = flags,
        Source = PilotAddress.OfNode(2),
        Destination = PilotAddress.OfNode(1),
        SourcePort = 2,
        DestinationPort = 1,
        Sequence = sequence,
        Acknowledgement = acknowledgement,
        Window = window,
    };
}
