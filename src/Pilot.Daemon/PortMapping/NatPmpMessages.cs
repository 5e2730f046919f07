using System.Buffers.Binary;
using Pilot.Protocol;

namespace Pilot.Daemon.PortMapping;

/// <summary>An answer of a NAT-PMP server.</summary>
/// <param name="IsMapping">False: the external address (opcode 128). True: a UDP mapping (opcode 129).</param>
/// <param name="Result">0 = success (RFC 6886 section 3.5).</param>
/// <param name="Epoch">Seconds since the server's tables began.</param>
/// <param name="Address">External IPv4 address; only in answers to the address question.</param>
/// <param name="InternalPort">Only in mappings.</param>
/// <param name="ExternalPort">Only in mappings.</param>
/// <param name="LifetimeSeconds">Only in mappings.</param>
internal readonly record struct NatPmpAnswer(
    bool IsMapping, ushort Result, uint Epoch, uint Address, ushort InternalPort, ushort ExternalPort, uint LifetimeSeconds);

/// <summary>The bytes of NAT-PMP (RFC 6886 section 3).</summary>
internal static class NatPmpMessages
{
    public const int AddressRequestSize = 2;
    public const int MapRequestSize = 12;
    private const int AddressAnswerSize = 12;
    private const int MapAnswerSize = 16;
    private const int ErrorSize = 8; // some servers cut an error behind the epoch
    private const byte Version = 0;
    private const byte AddressOpcode = 0;
    private const byte MapUdpOpcode = 1;
    private const byte AnswerBit = 128;

    public static void WriteAddressRequest(Span<byte> destination)
    {
        destination[0] = Version;
        destination[1] = AddressOpcode;
    }

    /// <param name="destination">At least <see cref="MapRequestSize"/> bytes.</param>
    /// <param name="internalPort">Our port.</param>
    /// <param name="suggestedPort">The external port that we like; 0 in a deletion.</param>
    /// <param name="lifetimeSeconds">0 deletes.</param>
    public static void WriteMapRequest(Span<byte> destination, ushort internalPort, ushort suggestedPort, uint lifetimeSeconds)
    {
        destination[..MapRequestSize].Clear();
        destination[0] = Version;
        destination[1] = MapUdpOpcode;
        BinaryPrimitives.WriteUInt16BigEndian(destination[4..], internalPort);
        BinaryPrimitives.WriteUInt16BigEndian(destination[6..], suggestedPort);
        BinaryPrimitives.WriteUInt32BigEndian(destination[8..], lifetimeSeconds);
    }

    /// <summary>Reads an answer of version 0. False for everything else.</summary>
    public static bool TryParse(ReadOnlySpan<byte> data, out NatPmpAnswer answer)
    {
        answer = default;
        if (data.Length < ErrorSize || data[0] != Version || data[1] is not (AnswerBit | AddressOpcode or AnswerBit | MapUdpOpcode))
        {
            return false;
        }

        var isMapping = data[1] == (AnswerBit | MapUdpOpcode);
        var result = BinaryPrimitives.ReadUInt16BigEndian(data[2..]);
        var epoch = BinaryPrimitives.ReadUInt32BigEndian(data[4..]);
        if (result != 0)
        {
            var port = isMapping && data.Length >= MapAnswerSize ? BinaryPrimitives.ReadUInt16BigEndian(data[8..]) : (ushort)0;
            answer = new NatPmpAnswer(isMapping, result, epoch, 0, port, 0, 0);
            return true;
        }

        if (data.Length < (isMapping ? MapAnswerSize : AddressAnswerSize))
        {
            return false;
        }

        answer = isMapping
            ? new NatPmpAnswer(true, 0, epoch, 0, BinaryPrimitives.ReadUInt16BigEndian(data[8..]), BinaryPrimitives.ReadUInt16BigEndian(data[10..]), BinaryPrimitives.ReadUInt32BigEndian(data[12..]))
            : new NatPmpAnswer(false, 0, epoch, BinaryPrimitives.ReadUInt32BigEndian(data[8..]), 0, 0, 0);
        return true;
    }

    /// <summary>The external address of an answer as an endpoint without port.</summary>
    public static UdpEndpoint AddressOf(in NatPmpAnswer answer) => UdpEndpoint.FromIPv4(answer.Address, 0);

    public static string ErrorText(ushort result) => result switch
    {
        1 => "unsupported version",
        2 => "not authorized",
        3 => "the gateway has no external address",
        4 => "out of resources",
        5 => "unsupported opcode",
        _ => $"result {result}",
    };
}
