using System.Buffers.Binary;
using System.Globalization;

namespace Pilot.Protocol;

/// <summary>The 48-bit overlay address of a node: 16-bit network id and 32-bit node id (spec 01 section 2).</summary>
/// <param name="Network">Network id; 0 is the backbone, on which every node has its own address.</param>
/// <param name="Node">Node id, assigned by the registry. Tunnels, keys and trust are keyed by it alone.</param>
public readonly record struct PilotAddress(ushort Network, uint Node) : ISpanFormattable
{
    /// <summary>Length of the binary form in bytes (spec 01 section 2.1).</summary>
    public const int Size = 6;

    /// <summary>Node id that means "every member of the network" (spec 01 section 2.6).</summary>
    public const uint BroadcastNode = 0xFFFF_FFFF;

    private const int MaxTextLength = 20; // 65535:FFFF.FFFF.FFFF

    /// <summary>True for node id 0xFFFFFFFF, whatever the network.</summary>
    public bool IsBroadcast => Node == BroadcastNode;

    /// <summary>True for the all-zero address.</summary>
    public bool IsUnspecified => Network == 0 && Node == 0;

    /// <summary>The backbone address (network 0) of a node.</summary>
    public static PilotAddress OfNode(uint node) => new(0, node);

    /// <summary>Reads the 6-byte form. The span must hold at least 6 bytes.</summary>
    public static PilotAddress Read(ReadOnlySpan<byte> source) =>
        new(BinaryPrimitives.ReadUInt16BigEndian(source), BinaryPrimitives.ReadUInt32BigEndian(source[2..]));

    /// <summary>Writes the 6-byte form. The span must hold at least 6 bytes.</summary>
    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt16BigEndian(destination, Network);
        BinaryPrimitives.WriteUInt32BigEndian(destination[2..], Node);
    }

    /// <summary>Parses <c>N:NNNN.HHHH.LLLL</c> by the rules of spec 01 section 2.3. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out PilotAddress address)
    {
        address = default;
        int colon = text.IndexOf(':');
        if (colon < 0 || !DecimalText.TryParseUInt16(text[..colon], out ushort network))
        {
            return false;
        }

        ReadOnlySpan<char> groups = text[(colon + 1)..];
        if (groups.Length != 14 || groups[4] != '.' || groups[9] != '.'
            || !TryParseGroup(groups[..4], out ushort check)
            || !TryParseGroup(groups.Slice(5, 4), out ushort high)
            || !TryParseGroup(groups[10..], out ushort low)
            || check != network)
        {
            return false;
        }

        address = new PilotAddress(network, (uint)high << 16 | low);
        return true;
    }

    /// <summary>Parses the text form.</summary>
    /// <exception cref="FormatException">The text is not an address.</exception>
    public static PilotAddress Parse(string text) =>
        TryParse(text, out PilotAddress address) ? address : throw new FormatException($"not a Pilot address: \"{text}\"");

    /// <summary>The canonical text, for example <c>23:0017.0000.0001</c>.</summary>
    public override string ToString()
    {
        Span<char> text = stackalloc char[MaxTextLength];
        TryFormat(text, out int written, default, null);
        return new string(text[..written]);
    }

    /// <inheritdoc/>
    public string ToString(string? format, IFormatProvider? formatProvider) => ToString();

    /// <inheritdoc/>
    public bool TryFormat(Span<char> destination, out int charsWritten, ReadOnlySpan<char> format, IFormatProvider? provider) =>
        destination.TryWrite(CultureInfo.InvariantCulture, $"{Network}:{Network:X4}.{Node >> 16:X4}.{Node & 0xFFFF:X4}", out charsWritten);

    private static bool TryParseGroup(ReadOnlySpan<char> group, out ushort value)
    {
        value = 0;
        foreach (char c in group)
        {
            if (!char.IsAsciiHexDigit(c))
            {
                return false;
            }

            value = (ushort)(value << 4 | (char.IsAsciiDigit(c) ? c - '0' : (c | 0x20) - 'a' + 10));
        }

        return true;
    }
}
