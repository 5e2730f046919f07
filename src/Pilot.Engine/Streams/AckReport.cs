using System.Buffers.Binary;
using Pilot.Protocol;

namespace Pilot.Engine.Streams;

/// <summary>
/// Payload of a report: a stream packet without flags that carries seq, ack and window like an ACK, and tagged entries
/// (docs/wire.md "Reports"). Without entries it is the quiet form: nothing but a sign of life and a window.
/// </summary>
internal static class AckReport
{
    private const byte SackTag = 1;
    private const int EntryHeader = 3; // tag, u16 length
    private const int BlockSize = 8;

    /// <summary>Largest payload that we write, bytes.</summary>
    public const int MaxSize = EntryHeader + StreamConstants.ExtendedSackBlocks * BlockSize;

    /// <summary>Writes the blocks; returns the payload length, zero for no blocks.</summary>
    public static int Write(Span<byte> destination, ReadOnlySpan<SackBlock> blocks)
    {
        if (blocks.IsEmpty)
        {
            return 0;
        }
        destination[0] = SackTag;
        BinaryPrimitives.WriteUInt16BigEndian(destination[1..], (ushort)(blocks.Length * BlockSize));
        Span<byte> at = destination[EntryHeader..];
        foreach (SackBlock block in blocks)
        {
            BinaryPrimitives.WriteUInt32BigEndian(at, block.Left);
            BinaryPrimitives.WriteUInt32BigEndian(at[4..], block.Right);
            at = at[BlockSize..];
        }
        return EntryHeader + blocks.Length * BlockSize;
    }

    /// <summary>Reads the blocks that fit into <paramref name="blocks"/>. Unknown tags are skipped; false for a malformed payload.</summary>
    public static bool TryParse(ReadOnlySpan<byte> payload, Span<SackBlock> blocks, out int count)
    {
        count = 0;
        while (!payload.IsEmpty)
        {
            if (payload.Length < EntryHeader)
            {
                return false;
            }
            int length = BinaryPrimitives.ReadUInt16BigEndian(payload[1..]);
            if (payload.Length < EntryHeader + length)
            {
                return false;
            }
            ReadOnlySpan<byte> value = payload.Slice(EntryHeader, length);
            if (payload[0] == SackTag)
            {
                if (length % BlockSize != 0)
                {
                    return false;
                }
                for (; !value.IsEmpty && count < blocks.Length; value = value[BlockSize..])
                {
                    blocks[count++] = new SackBlock(
                        BinaryPrimitives.ReadUInt32BigEndian(value), BinaryPrimitives.ReadUInt32BigEndian(value[4..]));
                }
            }
            payload = payload[(EntryHeader + length)..];
        }
        return true;
    }
}
