using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Net;

namespace Pilot.Protocol;

/// <summary>An IP address and UDP port of the underlay. IPv4 is held IPv4-mapped, so equality does not depend on the socket's family.</summary>
/// <param name="Ip">The 128 bits of the IPv6 address; IPv4 a.b.c.d is <c>::ffff:a.b.c.d</c>.</param>
/// <param name="Port">UDP port.</param>
public readonly record struct UdpEndpoint(UInt128 Ip, ushort Port)
{
    /// <summary>Longest byte form of the address part.</summary>
    public const int MaxIpSize = 16;

    private static readonly SearchValues<char> IPv6Characters = SearchValues.Create("0123456789abcdefABCDEF:.");
    private static readonly UInt128 MappedPrefix = new(0, 0x0000_FFFF_0000_0000);

    /// <summary>True when the address is IPv4 (held IPv4-mapped).</summary>
    public bool IsIPv4 => Ip >> 32 == 0xFFFF;

    /// <summary>The IPv4 address as a number; meaningful only when <see cref="IsIPv4"/>.</summary>
    public uint IPv4 => (uint)Ip;

    /// <summary>True for 0.0.0.0 and ::.</summary>
    public bool IsUnspecified => Ip == UInt128.Zero || Ip == MappedPrefix;

    /// <summary>True for 127.0.0.0/8 and ::1.</summary>
    public bool IsLoopback => IsIPv4 ? IPv4 >> 24 == 127 : Ip == UInt128.One;

    /// <summary>True for 169.254.0.0/16 and fe80::/10.</summary>
    public bool IsLinkLocal => IsIPv4 ? IPv4 >> 16 == 0xA9FE : Ip >> 118 == 0xFE80 >> 6;

    /// <summary>True for the private ranges 10/8, 172.16/12, 192.168/16 (RFC 1918) and fc00::/7 (RFC 4193).</summary>
    public bool IsPrivate => IsIPv4
        ? IPv4 >> 24 == 10 || IPv4 >> 20 == 0xAC1 || IPv4 >> 16 == 0xC0A8
        : Ip >> 121 == 0xFC >> 1;

    /// <summary>True for 224.0.0.0/4 and ff00::/8.</summary>
    public bool IsMulticast => IsIPv4 ? IPv4 >> 28 == 0xE : Ip >> 120 == 0xFF;

    /// <summary>An endpoint from an IPv4 address given as a number (a.b.c.d = a&lt;&lt;24 | ...).</summary>
    public static UdpEndpoint FromIPv4(uint ip, ushort port) => new(MappedPrefix | ip, port);

    /// <summary>An endpoint from 4 or 16 address bytes in network order.</summary>
    /// <exception cref="ArgumentException">The span is neither 4 nor 16 bytes long.</exception>
    public static UdpEndpoint FromBytes(ReadOnlySpan<byte> ip, ushort port) => ip.Length switch
    {
        4 => FromIPv4(BinaryPrimitives.ReadUInt32BigEndian(ip), port),
        16 => new UdpEndpoint(BinaryPrimitives.ReadUInt128BigEndian(ip), port),
        _ => throw new ArgumentException("an IP address has 4 or 16 bytes", nameof(ip)),
    };

    /// <summary>Writes the address in network order: 4 bytes for IPv4 (also IPv4-mapped), else 16. Returns the count.</summary>
    public int WriteIp(Span<byte> destination)
    {
        if (IsIPv4)
        {
            BinaryPrimitives.WriteUInt32BigEndian(destination, IPv4);
            return 4;
        }

        BinaryPrimitives.WriteUInt128BigEndian(destination, Ip);
        return 16;
    }

    /// <summary>Parses <c>1.2.3.4:5</c> or <c>[::1]:5</c>. Host names, scope ids and the short IPv4 forms are refused. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out UdpEndpoint endpoint)
    {
        endpoint = default;
        int colon = text.LastIndexOf(':');
        if (colon <= 0 || !DecimalText.TryParseUInt16(text[(colon + 1)..], out ushort port))
        {
            return false;
        }

        ReadOnlySpan<char> host = text[..colon];
        if (host[0] == '[')
        {
            if (host[^1] != ']' || !TryParseIPv6(host[1..^1], out UInt128 ip))
            {
                return false;
            }

            endpoint = new UdpEndpoint(ip, port);
            return true;
        }

        if (!TryParseIPv4(host, out uint ip4))
        {
            return false;
        }

        endpoint = FromIPv4(ip4, port);
        return true;
    }

    /// <summary>Parses an address without port: <c>1.2.3.4</c> or <c>::1</c> (no brackets). Never throws.</summary>
    public static bool TryParseIp(ReadOnlySpan<char> text, ushort port, out UdpEndpoint endpoint)
    {
        endpoint = default;
        if (TryParseIPv4(text, out uint ip4))
        {
            endpoint = FromIPv4(ip4, port);
            return true;
        }

        if (!TryParseIPv6(text, out UInt128 ip))
        {
            return false;
        }

        endpoint = new UdpEndpoint(ip, port);
        return true;
    }

    /// <summary>The address without port, IPv6 without brackets.</summary>
    public string IpText()
    {
        Span<byte> bytes = stackalloc byte[MaxIpSize];
        return new IPAddress(bytes[..WriteIp(bytes)]).ToString();
    }

    /// <summary><c>1.2.3.4:5</c> or <c>[::1]:5</c>.</summary>
    public override string ToString() => IsIPv4
        ? string.Create(CultureInfo.InvariantCulture, $"{IpText()}:{Port}")
        : string.Create(CultureInfo.InvariantCulture, $"[{IpText()}]:{Port}");

    private static bool TryParseIPv4(ReadOnlySpan<char> text, out uint ip)
    {
        ip = 0;
        for (int part = 0; part < 4; part++)
        {
            int dot = part == 3 ? text.Length : text.IndexOf('.');
            if (dot is < 1 or > 3 || (dot > 1 && text[0] == '0')
                || !DecimalText.TryParseUInt16(text[..dot], out ushort value) || value > 255)
            {
                return false;
            }

            ip = ip << 8 | value;
            text = part == 3 ? default : text[(dot + 1)..];
        }

        return true;
    }

    private static bool TryParseIPv6(ReadOnlySpan<char> text, out UInt128 ip)
    {
        ip = default;
        // IPAddress also takes scope ids, brackets and ports; only plain address characters may reach it.
        if (!text.Contains(':') || text.ContainsAnyExcept(IPv6Characters) || !IPAddress.TryParse(text, out IPAddress? parsed))
        {
            return false;
        }

        Span<byte> bytes = stackalloc byte[MaxIpSize];
        if (!parsed.TryWriteBytes(bytes, out int written) || written != MaxIpSize)
        {
            return false;
        }

        ip = BinaryPrimitives.ReadUInt128BigEndian(bytes);
        return true;
    }
}
