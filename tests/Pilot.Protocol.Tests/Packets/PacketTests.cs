namespace Pilot.Protocol.Tests.Packets;

public sealed class PacketTests
{
    [Fact]
    public void Random_packets_survive_the_round_trip_with_bytes_behind_them()
    {
        var random = new Random(3);
        byte[] buffer = new byte[Packet.HeaderSize + Packet.MaxPayload + 100];
        for (int round = 0; round < 5_000; round++)
        {
            PacketHeader header = RandomHeader(random);
            byte[] payload = new byte[round % 500 == 0 ? Packet.MaxPayload : random.Next(0, 1500)];
            random.NextBytes(payload);
            random.NextBytes(buffer);
            int length = Packet.Write(buffer, header, payload);
            Assert.Equal(Packet.HeaderSize + payload.Length, length);

            Assert.True(Packet.TryParse(buffer.AsSpan(0, length + random.Next(0, 100)), out PacketHeader read, out ReadOnlySpan<byte> readPayload));
            Assert.Equal(header, read);
            Assert.True(readPayload.SequenceEqual(payload));
            Assert.False(Packet.TryParse(buffer.AsSpan(0, length - 1), out _, out _, out PacketError error));
            Assert.Equal(payload.Length == 0 ? PacketError.TooShort : PacketError.Truncated, error);
        }
    }

    [Fact]
    public void A_packet_without_checksum_is_taken_only_out_of_an_authenticated_frame()
    {
        var random = new Random(5);
        byte[] packet = new byte[Packet.HeaderSize + 50];
        random.NextBytes(packet);
        PacketHeader header = RandomHeader(random);
        Assert.Equal(packet.Length, Packet.WriteHeader(packet, header, 50, withChecksum: false));
        Assert.Equal([0, 0, 0, 0], packet[30..34]);
        Assert.False(Packet.TryParse(packet, out _, out _, out PacketError error));
        Assert.Equal(PacketError.ChecksumMismatch, error);
        Assert.True(Packet.TryParseAuthenticated(packet, out PacketHeader read, out ReadOnlySpan<byte> payload));
        Assert.Equal(header, read);
        Assert.Equal(50, payload.Length);

        // A wrong checksum stays wrong.
        packet[33] = 1;
        Assert.False(Packet.TryParseAuthenticated(packet, out _, out _));
    }

    [Fact]
    public void Every_single_bit_error_is_detected()
    {
        var random = new Random(4);
        byte[] payload = new byte[120];
        random.NextBytes(payload);
        byte[] packet = new byte[Packet.HeaderSize + payload.Length];
        Packet.Write(packet, RandomHeader(random), payload);
        for (int bit = 0; bit < packet.Length * 8; bit++)
        {
            packet[bit / 8] ^= (byte)(1 << bit % 8);
            Assert.False(Packet.TryParse(packet, out _, out _));
            packet[bit / 8] ^= (byte)(1 << bit % 8);
        }

        Assert.True(Packet.TryParse(packet, out _, out _));
    }

    [Fact]
    public void Flags_are_masked_to_four_bits()
    {
        byte[] packet = new byte[Packet.HeaderSize];
        Packet.Write(packet, new PacketHeader { Protocol = PacketProtocol.Stream, Flags = (PacketFlags)0xF2 }, default);
        Assert.Equal(0x12, packet[0]);
    }

    [Fact]
    public void Too_little_room_is_an_error_of_the_caller()
    {
        Assert.Throws<ArgumentException>(() => Packet.Write(new byte[33], default, default));
        Assert.Throws<ArgumentException>(() => Packet.WriteHeader(new byte[40], default, 7));
        Assert.Throws<ArgumentException>(() => Packet.WriteHeader(new byte[40], default, -1));
    }

    internal static PacketHeader RandomHeader(Random random) => new()
    {
        Protocol = (PacketProtocol)random.Next(256),
        Flags = (PacketFlags)random.Next(16),
        Source = new PilotAddress((ushort)random.Next(65536), (uint)random.NextInt64(1L << 32)),
        Destination = new PilotAddress((ushort)random.Next(65536), (uint)random.NextInt64(1L << 32)),
        SourcePort = (ushort)random.Next(65536),
        DestinationPort = (ushort)random.Next(65536),
        Sequence = (uint)random.NextInt64(1L << 32),
        Acknowledgement = (uint)random.NextInt64(1L << 32),
        Window = (ushort)random.Next(65536),
    };
}
