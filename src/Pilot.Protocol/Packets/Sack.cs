using System.Buffers.Binary;

namespace Pilot.Protocol;

/// <summary>A run of received bytes: <paramref name="Left"/> is its first byte, <paramref name="Right"/> the first byte behind it.</summary>
/// <param name="Left">First sequence number of the run.</param>
/// <param name="Right">First sequence number behind the run.</param>
public readonly record struct SackBlock(uint Left, uint Right);

/// <summary>Selective acknowledgements, the payload of an ACK packet (spec 02 section 6.3).</summary>
public static class Sack
{
    /// <summary>Most blocks in one acknowledgement.</summary>
    public const int MaxBlocks = 4;

    /// <summary>Longest encoding in bytes.</summary>
    public const int MaxSize = PrefixSize + MaxBlocks * BlockSize;

    private const int PrefixSize = 5;
    private const int BlockSize = 8;

    private static ReadOnlySpan<byte> Magic => "SACK"u8;

    /// <summary>Bytes that <paramref name="blocks"/> blocks take: 5 + 8n.</summary>
    public static int SizeOf(int blocks) => PrefixSize + BlockSize * blocks;

    /// <summary>Writes the first 4 blocks as given; returns 5 + 8n, or 0 when there is no block. The destination needs <see cref="MaxSize"/> bytes at most.</summary>
    public static int Write(Span<byte> destination, ReadOnlySpan<SackBlock> blocks)
    {
        if (blocks.IsEmpty)
        {
            return 0;
        }

        if (blocks.Length > MaxBlocks)
        {
            blocks = blocks[..MaxBlocks];
        }

        Magic.CopyTo(destination);
        destination[4] = (byte)blocks.Length;
        for (int i = 0; i < blocks.Length; i++)
        {
            Span<byte> at = destination.Slice(SizeOf(i), BlockSize);
            BinaryPrimitives.WriteUInt32BigEndian(at, blocks[i].Left);
            BinaryPrimitives.WriteUInt32BigEndian(at[4..], blocks[i].Right);
        }

        return SizeOf(blocks.Length);
    }

    /// <summary>Reads the blocks as a reference does: bytes behind them are ignored, left and right are not checked. Never throws.</summary>
    /// <param name="payload">Payload of an ACK packet.</param>
    /// <param name="blocks">Room for <see cref="MaxBlocks"/> blocks; a smaller span makes longer lists fail.</param>
    /// <param name="count">Blocks read.</param>
    public static bool TryParse(ReadOnlySpan<byte> payload, Span<SackBlock> blocks, out int count)
    {
        count = 0;
        if (!LooksLikeSack(payload) || blocks.Length < payload[4])
        {
            return false;
        }

        count = payload[4];
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<byte> at = payload.Slice(SizeOf(i), BlockSize);
            blocks[i] = new SackBlock(BinaryPrimitives.ReadUInt32BigEndian(at), BinaryPrimitives.ReadUInt32BigEndian(at[4..]));
        }

        return true;
    }

    /// <summary>True when a reference receiver takes this payload for SACK information instead of data (spec 02 section 5.6). A sender must not send such data in one segment.</summary>
    public static bool LooksLikeSack(ReadOnlySpan<byte> payload) =>
        payload.Length >= PrefixSize && payload.StartsWith(Magic) && payload[4] is >= 1 and <= MaxBlocks && payload.Length >= SizeOf(payload[4]);
}
