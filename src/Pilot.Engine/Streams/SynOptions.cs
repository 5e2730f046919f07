using System.Buffers.Binary;

namespace Pilot.Engine.Streams;

/// <summary>Abilities beyond the reference; one is in use when both sides named it (docs/wire.md).</summary>
[Flags]
internal enum StreamFeatures : uint
{
    None = 0,
    /// <summary>A FIN ends one direction only.</summary>
    HalfClose = 1,
    /// <summary>The window field counts bytes, shifted; zero closes it.</summary>
    ByteWindow = 2,
    /// <summary>SACK travels in reports (packets without flags), so a payload with the ACK flag is always data.</summary>
    Reports = 4,
    /// <summary>Data packets carry no checksum: the frame around them is authenticated.</summary>
    NoChecksum = 8,
}

/// <summary>The option list in the payload of SYN and SYN-ACK (chapter 02 section 4.7, docs/wire.md "SYN options").</summary>
internal readonly record struct SynOptions(
    StreamFeatures Features, int WindowShift, uint InitialWindow, int MaxSegment, int SackBlocks)
{
    /// <summary>ASCII PXO1.</summary>
    public const uint Marker = 0x50584F31;

    /// <summary>Bytes of the list that we send.</summary>
    public const int Size = 4 + (2 + 4) + (2 + 5) + (2 + 2) + (2 + 1);

    /// <summary>Largest window shift (RFC 7323 section 2.3).</summary>
    public const int MaxWindowShift = 14;

    private const byte FeaturesTag = 1;
    private const byte WindowTag = 2;
    private const byte SegmentTag = 3;
    private const byte SackTag = 4;

    /// <summary>The list that a node with these options offers.</summary>
    public static SynOptions Of(ConnectionOptions options)
    {
        int shift = 0;
        while (options.ReceiveBufferLimit >> shift > ushort.MaxValue)
        {
            shift++;
        }
        return new SynOptions(
            StreamFeatures.HalfClose | StreamFeatures.ByteWindow | StreamFeatures.Reports | StreamFeatures.NoChecksum,
            shift, (uint)Math.Min(options.ReceiveBufferNear, options.ReceiveBufferLimit), options.MaxReceiveSegment, StreamConstants.ExtendedSackBlocks);
    }

    /// <summary>Writes the list; returns <see cref="Size"/>.</summary>
    public int Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination, Marker);
        destination[4] = FeaturesTag;
        destination[5] = 4;
        BinaryPrimitives.WriteUInt32BigEndian(destination[6..], (uint)Features);
        destination[10] = WindowTag;
        destination[11] = 5;
        destination[12] = (byte)WindowShift;
        BinaryPrimitives.WriteUInt32BigEndian(destination[13..], InitialWindow);
        destination[17] = SegmentTag;
        destination[18] = 2;
        BinaryPrimitives.WriteUInt16BigEndian(destination[19..], (ushort)MaxSegment);
        destination[21] = SackTag;
        destination[22] = 1;
        destination[23] = (byte)SackBlocks;
        return Size;
    }

    /// <summary>Reads a list. Unknown tags are skipped; a malformed list is no list. A feature without its parameters counts as not named.</summary>
    public static bool TryParse(ReadOnlySpan<byte> payload, out SynOptions options)
    {
        options = default;
        if (payload.Length < 4 || BinaryPrimitives.ReadUInt32BigEndian(payload) != Marker)
        {
            return false;
        }
        StreamFeatures features = StreamFeatures.None;
        int shift = -1;
        uint window = 0;
        int segment = StreamConstants.InitialSegmentPayload;
        int sackBlocks = StreamConstants.ReferenceSackBlocks;
        uint seen = 0;
        for (ReadOnlySpan<byte> rest = payload[4..]; !rest.IsEmpty;)
        {
            if (rest.Length < 2 || rest.Length < 2 + rest[1])
            {
                return false;
            }
            byte tag = rest[0];
            ReadOnlySpan<byte> value = rest.Slice(2, rest[1]);
            rest = rest[(2 + value.Length)..];
            if (tag is >= FeaturesTag and <= SackTag)
            {
                uint bit = 1u << tag;
                if ((seen & bit) != 0)
                {
                    return false;
                }
                seen |= bit;
            }
            switch (tag)
            {
                case FeaturesTag when value.Length == 4:
                    features = (StreamFeatures)BinaryPrimitives.ReadUInt32BigEndian(value);
                    break;
                case WindowTag when value.Length == 5 && value[0] <= MaxWindowShift:
                    shift = value[0];
                    window = BinaryPrimitives.ReadUInt32BigEndian(value[1..]);
                    break;
                case SegmentTag when value.Length == 2:
                    segment = BinaryPrimitives.ReadUInt16BigEndian(value);
                    break;
                case SackTag when value.Length == 1 && value[0] > 0:
                    sackBlocks = value[0];
                    break;
                case FeaturesTag or WindowTag or SegmentTag or SackTag:
                    return false;
                default:
                    break;
            }
        }
        if (segment < StreamConstants.InitialSegmentPayload)
        {
            return false;
        }
        if (shift < 0)
        {
            features &= ~StreamFeatures.ByteWindow;
            shift = 0;
        }
        options = new SynOptions(features, shift, window, segment, sackBlocks);
        return true;
    }
}
