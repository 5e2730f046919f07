using System.Buffers.Binary;
using Pilot.Protocol;

namespace Pilot.Daemon.PortMapping;

/// <summary>An answer or announcement of a PCP server.</summary>
/// <param name="IsMapping">True: MAP; false: ANNOUNCE, or an error without a known opcode.</param>
/// <param name="Result">0 = success (RFC 6887 section 7.4).</param>
/// <param name="LifetimeSeconds">Of the mapping, or of the error.</param>
/// <param name="Epoch">Seconds since the server's tables began.</param>
/// <param name="Nonce">The 96 bits of the request; only in MAP.</param>
/// <param name="Protocol">IP protocol; only in MAP.</param>
/// <param name="InternalPort">Only in MAP.</param>
/// <param name="External">Assigned endpoint; only in MAP.</param>
internal readonly record struct PcpAnswer(
    bool IsMapping, byte Result, uint LifetimeSeconds, uint Epoch, UInt128 Nonce, byte Protocol, ushort InternalPort, UdpEndpoint External);

/// <summary>The bytes of PCP (RFC 6887 sections 7, 11.1, 14.1).</summary>
internal static class PcpMessages
{
    public const int AnnounceRequestSize = HeaderSize;
    public const int MapRequestSize = HeaderSize + MapSize;
    public const int NonceSize = 12;
    public const byte Udp = 17; // IANA protocol number

    /// <summary>The server speaks another version.</summary>
    public const byte UnsupportedVersion = 1;

    public const byte NotAuthorized = 2;

    private const int HeaderSize = 24;
    private const int MapSize = 36;
    private const int MaxSize = 1100; // RFC 6887 section 7
    private const byte Version = 2;
    private const byte AnnounceOpcode = 0;
    private const byte MapOpcode = 1;
    private const byte AnswerBit = 0x80;

    /// <summary>ANNOUNCE as a question: who answers it speaks PCP.</summary>
    public static void WriteAnnounceRequest(Span<byte> destination, UdpEndpoint client) => WriteHeader(destination, AnnounceOpcode, client, 0);

    /// <param name="destination">At least <see cref="MapRequestSize"/> bytes.</param>
    /// <param name="client">Our address as the gateway sees it.</param>
    /// <param name="nonce">12 random bytes that stay the same for a mapping's life.</param>
    /// <param name="internalPort">Our port.</param>
    /// <param name="suggested">The endpoint that we like; its port 0 for any.</param>
    /// <param name="lifetimeSeconds">0 deletes.</param>
    public static void WriteMapRequest(Span<byte> destination, UdpEndpoint client, UInt128 nonce, ushort internalPort, UdpEndpoint suggested, uint lifetimeSeconds)
    {
        WriteHeader(destination, MapOpcode, client, lifetimeSeconds);
        var map = destination.Slice(HeaderSize, MapSize);
        map.Clear();
        WriteNonce(map, nonce);
        map[12] = Udp;
        BinaryPrimitives.WriteUInt16BigEndian(map[16..], internalPort);
        BinaryPrimitives.WriteUInt16BigEndian(map[18..], suggested.Port);
        BinaryPrimitives.WriteUInt128BigEndian(map[20..], suggested.Ip);
    }

    /// <summary>Reads an answer of version 2. False for everything else, also for opcodes that we never ask.</summary>
    public static bool TryParse(ReadOnlySpan<byte> data, out PcpAnswer answer)
    {
        answer = default;
        if (data.Length is < HeaderSize or > MaxSize || data.Length % 4 != 0 || data[0] != Version
            || data[1] is not (AnswerBit | AnnounceOpcode or AnswerBit | MapOpcode))
        {
            return false;
        }

        var result = data[3];
        var lifetime = BinaryPrimitives.ReadUInt32BigEndian(data[4..]);
        var epoch = BinaryPrimitives.ReadUInt32BigEndian(data[8..]);
        if (data[1] == (AnswerBit | AnnounceOpcode))
        {
            answer = new PcpAnswer(false, result, lifetime, epoch, 0, 0, 0, default);
            return true;
        }

        if (data.Length < HeaderSize + MapSize)
        {
            return false;
        }

        var map = data[HeaderSize..];
        answer = new PcpAnswer(
            true,
            result,
            lifetime,
            epoch,
            ReadNonce(map),
            map[12],
            BinaryPrimitives.ReadUInt16BigEndian(map[16..]),
            new UdpEndpoint(BinaryPrimitives.ReadUInt128BigEndian(map[20..]), BinaryPrimitives.ReadUInt16BigEndian(map[18..])));
        return true;
    }

    public static string ErrorText(byte result) => result switch
    {
        UnsupportedVersion => "unsupported version",
        NotAuthorized => "not authorized",
        3 => "malformed request",
        4 => "unsupported opcode",
        7 => "network failure",
        8 => "no resources",
        9 => "unsupported protocol",
        10 => "user exceeds quota",
        11 => "cannot provide the external port",
        12 => "address mismatch: another NAT is between",
        _ => $"result {result}",
    };

    private static void WriteHeader(Span<byte> destination, byte opcode, UdpEndpoint client, uint lifetimeSeconds)
    {
        destination[..HeaderSize].Clear();
        destination[0] = Version;
        destination[1] = opcode;
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], lifetimeSeconds);
        BinaryPrimitives.WriteUInt128BigEndian(destination[8..], client.Ip);
    }

    private static void WriteNonce(Span<byte> destination, UInt128 nonce)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination, (uint)(nonce >> 64));
        BinaryPrimitives.WriteUInt64BigEndian(destination[4..], (ulong)nonce);
    }

    private static UInt128 ReadNonce(ReadOnlySpan<byte> source) =>
        new(BinaryPrimitives.ReadUInt32BigEndian(source), BinaryPrimitives.ReadUInt64BigEndian(source[4..]));
}
