using System.Buffers.Binary;
using System.Net;

namespace Pilot.EndToEnd.Tests.Nat.Wire;

/// <summary>One end of a flow.</summary>
internal readonly record struct Endpoint4(uint Address, ushort Port)
{
    public override string ToString() => $"{Ipv4.Text(Address)}:{Port}";
}

/// <summary>What a router reads of an IPv4 packet (RFC 791, 768, 9293).</summary>
/// <param name="HasPorts">A first fragment or a whole packet of TCP or UDP.</param>
/// <param name="IsFragment">Not a whole packet.</param>
internal readonly record struct Header4(byte Protocol, uint Source, uint Target, ushort SourcePort, ushort TargetPort, ushort Id, bool HasPorts, bool IsFragment)
{
    public Endpoint4 From => new(Source, SourcePort);

    public Endpoint4 To => new(Target, TargetPort);
}

/// <summary>Reading and rewriting IPv4 packets in place; checksums are adjusted, not recomputed (RFC 1624), so a packet that was damaged stays damaged.</summary>
internal static class Ipv4
{
    public const byte Tcp = 6;
    public const byte Udp = 17;
    private const int HeaderSize = 20;
    private const int UdpHeaderSize = 8;

    public static uint Number(IPAddress address) => BinaryPrimitives.ReadUInt32BigEndian(address.GetAddressBytes());

    public static IPAddress Address(uint number)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, number);
        return new IPAddress(bytes);
    }

    public static string Text(uint number) => Address(number).ToString();

    public static bool TryRead(ReadOnlySpan<byte> packet, out Header4 header)
    {
        header = default;
        if (packet.Length < HeaderSize || packet[0] >> 4 != 4)
        {
            return false;
        }

        int size = (packet[0] & 15) * 4;
        int fragment = BinaryPrimitives.ReadUInt16BigEndian(packet[6..]) & 0x3fff;
        bool ports = packet[9] is Tcp or Udp && (fragment & 0x1fff) == 0 && packet.Length >= size + UdpHeaderSize;
        header = new(
            packet[9],
            BinaryPrimitives.ReadUInt32BigEndian(packet[12..]),
            BinaryPrimitives.ReadUInt32BigEndian(packet[16..]),
            ports ? BinaryPrimitives.ReadUInt16BigEndian(packet[size..]) : (ushort)0,
            ports ? BinaryPrimitives.ReadUInt16BigEndian(packet[(size + 2)..]) : (ushort)0,
            BinaryPrimitives.ReadUInt16BigEndian(packet[4..]),
            ports,
            fragment != 0);
        return true;
    }

    public static void SetSource(Span<byte> packet, in Header4 header, Endpoint4 source) => Set(packet, header, 12, 0, source);

    public static void SetTarget(Span<byte> packet, in Header4 header, Endpoint4 target) => Set(packet, header, 16, 2, target);

    /// <summary>A UDP packet with any source: what a forger sends.</summary>
    public static byte[] NewUdp(Endpoint4 source, Endpoint4 target, ReadOnlySpan<byte> payload)
    {
        byte[] packet = new byte[HeaderSize + UdpHeaderSize + payload.Length];
        packet[0] = 0x45;
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(2), (ushort)packet.Length);
        packet[8] = 64;
        packet[9] = Udp;
        BinaryPrimitives.WriteUInt32BigEndian(packet.AsSpan(12), source.Address);
        BinaryPrimitives.WriteUInt32BigEndian(packet.AsSpan(16), target.Address);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(20), source.Port);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(22), target.Port);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(24), (ushort)(UdpHeaderSize + payload.Length));
        payload.CopyTo(packet.AsSpan(28)); // checksum 0: none (RFC 768)
        uint sum = 0;
        for (int i = 0; i < HeaderSize; i += 2)
        {
            sum += BinaryPrimitives.ReadUInt16BigEndian(packet.AsSpan(i));
        }

        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(10), (ushort)~Fold(sum));
        return packet;
    }

    private static void Set(Span<byte> packet, in Header4 header, int addressOffset, int portOffset, Endpoint4 value)
    {
        int size = (packet[0] & 15) * 4;
        uint oldAddress = BinaryPrimitives.ReadUInt32BigEndian(packet[addressOffset..]);
        uint change = Difference(oldAddress >> 16, value.Address >> 16) + Difference(oldAddress & 0xffff, value.Address & 0xffff);
        BinaryPrimitives.WriteUInt32BigEndian(packet[addressOffset..], value.Address);
        Adjust(packet[10..], change);
        if (!header.HasPorts)
        {
            return;
        }

        Span<byte> port = packet[(size + portOffset)..];
        change += Difference(BinaryPrimitives.ReadUInt16BigEndian(port), value.Port);
        BinaryPrimitives.WriteUInt16BigEndian(port, value.Port);
        Span<byte> checksum = packet[(size + (header.Protocol == Udp ? 6 : 16))..];
        if (header.Protocol == Udp && BinaryPrimitives.ReadUInt16BigEndian(checksum) == 0)
        {
            return;
        }

        Adjust(checksum, change);
        if (header.Protocol == Udp && BinaryPrimitives.ReadUInt16BigEndian(checksum) == 0)
        {
            BinaryPrimitives.WriteUInt16BigEndian(checksum, 0xffff);
        }
    }

    private static uint Difference(uint old, uint now) => (~old & 0xffff) + now;

    private static void Adjust(Span<byte> checksum, uint change) => BinaryPrimitives.WriteUInt16BigEndian(
        checksum, (ushort)~Fold((~(uint)BinaryPrimitives.ReadUInt16BigEndian(checksum) & 0xffff) + change));

    private static uint Fold(uint sum)
    {
        while (sum >> 16 != 0)
        {
            sum = (sum & 0xffff) + (sum >> 16);
        }

        return sum;
    }
}
