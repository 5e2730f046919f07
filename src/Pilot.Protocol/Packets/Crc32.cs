using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Pilot.Protocol;

/// <summary>
/// CRC-32 of IEEE 802.3 (reflected polynomial 0xEDB88320, initial value and final XOR 0xFFFFFFFF; spec 01 section 3.5).
/// Carry-less multiplication where the processor has it, slicing-by-16 tables elsewhere.
/// </summary>
public static class Crc32
{
    private const uint Polynomial = 0xEDB8_8320;
    private const int SliceCount = 16;

    // Below this the set-up and reduction of the folding cost more than the tables do.
    private const int FoldingThreshold = 64;

    private static readonly uint[] Table = BuildTable();

    /// <summary>The checksum of the bytes; 0 for none.</summary>
    public static uint Compute(ReadOnlySpan<byte> data) => Append(0, data);

    /// <summary>The checksum of the bytes already summed in <paramref name="crc"/> followed by <paramref name="data"/>.</summary>
    public static uint Append(uint crc, ReadOnlySpan<byte> data)
    {
        uint state = ~crc;
        if (data.Length >= FoldingThreshold && Pclmulqdq.IsSupported)
        {
            int whole = data.Length & ~15;
            state = Fold(state, data[..whole]);
            data = data[whole..];
        }

        return ~AppendTables(state, data);
    }

    /// <summary>The table algorithm alone, for machines without carry-less multiplication and for the test that compares both.</summary>
    internal static uint AppendPortable(uint crc, ReadOnlySpan<byte> data) => ~AppendTables(~crc, data);

    private static uint AppendTables(uint state, ReadOnlySpan<byte> data)
    {
        ref uint table = ref MemoryMarshal.GetArrayDataReference(Table);
        while (data.Length >= SliceCount)
        {
            uint a = state ^ BinaryPrimitives.ReadUInt32LittleEndian(data);
            uint b = BinaryPrimitives.ReadUInt32LittleEndian(data[4..]);
            uint c = BinaryPrimitives.ReadUInt32LittleEndian(data[8..]);
            uint d = BinaryPrimitives.ReadUInt32LittleEndian(data[12..]);
            state = FourBytes(ref table, 12, a) ^ FourBytes(ref table, 8, b) ^ FourBytes(ref table, 4, c) ^ FourBytes(ref table, 0, d);
            data = data[SliceCount..];
        }

        foreach (byte value in data)
        {
            state = state >> 8 ^ Unsafe.Add(ref table, (int)((state ^ value) & 0xFF));
        }

        return state;
    }

    // slice: distance in bytes of the word's last byte from the end of the 16-byte block.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint FourBytes(ref uint table, int slice, uint word) =>
        Unsafe.Add(ref table, (slice + 3) * 256 + (int)(word & 0xFF))
        ^ Unsafe.Add(ref table, (slice + 2) * 256 + (int)(word >> 8 & 0xFF))
        ^ Unsafe.Add(ref table, (slice + 1) * 256 + (int)(word >> 16 & 0xFF))
        ^ Unsafe.Add(ref table, slice * 256 + (int)(word >> 24));

    /// <summary>
    /// Folding by carry-less multiplication; the length is a multiple of 16 and at least 64.
    /// Method and constants: V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction",
    /// Intel, 2009 (bit-reflected constants of the IEEE polynomial).
    /// </summary>
    private static uint Fold(uint state, ReadOnlySpan<byte> data)
    {
        ref byte at = ref MemoryMarshal.GetReference(data);
        nuint length = (nuint)data.Length;

        Vector128<ulong> x1 = Load(ref at, 0) ^ Vector128.CreateScalar(state).AsUInt64();
        Vector128<ulong> x2 = Load(ref at, 16);
        Vector128<ulong> x3 = Load(ref at, 32);
        Vector128<ulong> x4 = Load(ref at, 48);
        nuint offset = 64;

        Vector128<ulong> by64 = Vector128.Create(0x01_5444_2BD4UL, 0x01_C6E4_1596UL);
        for (; length - offset >= 64; offset += 64)
        {
            x1 = FoldOnce(x1, by64) ^ Load(ref at, offset);
            x2 = FoldOnce(x2, by64) ^ Load(ref at, offset + 16);
            x3 = FoldOnce(x3, by64) ^ Load(ref at, offset + 32);
            x4 = FoldOnce(x4, by64) ^ Load(ref at, offset + 48);
        }

        Vector128<ulong> by16 = Vector128.Create(0x01_7519_97D0UL, 0x00_CCAA_009EUL);
        x1 = FoldOnce(x1, by16) ^ x2;
        x1 = FoldOnce(x1, by16) ^ x3;
        x1 = FoldOnce(x1, by16) ^ x4;
        for (; offset < length; offset += 16)
        {
            x1 = FoldOnce(x1, by16) ^ Load(ref at, offset);
        }

        // 128 -> 64 -> 32 bits, the last step by Barrett reduction.
        Vector128<ulong> low32 = Vector128.Create(0x0000_0000_FFFF_FFFFUL, 0x0000_0000_FFFF_FFFFUL);
        x2 = Pclmulqdq.CarrylessMultiply(x1, by16, 0x10);
        x1 = Sse2.ShiftRightLogical128BitLane(x1, 8) ^ x2;
        x2 = Sse2.ShiftRightLogical128BitLane(x1, 4);
        x1 = Pclmulqdq.CarrylessMultiply(x1 & low32, Vector128.CreateScalar(0x01_63CD_6124UL), 0x00) ^ x2;
        Vector128<ulong> barrett = Vector128.Create(0x01_DB71_0641UL, 0x01_F701_1641UL);
        x2 = Pclmulqdq.CarrylessMultiply(x1 & low32, barrett, 0x10);
        x2 = Pclmulqdq.CarrylessMultiply(x2 & low32, barrett, 0x00);
        return (x1 ^ x2).AsUInt32().GetElement(1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<ulong> Load(ref byte at, nuint offset) => Vector128.LoadUnsafe(ref at, offset).AsUInt64();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<ulong> FoldOnce(Vector128<ulong> value, Vector128<ulong> constants) =>
        Pclmulqdq.CarrylessMultiply(value, constants, 0x00) ^ Pclmulqdq.CarrylessMultiply(value, constants, 0x11);

    private static uint[] BuildTable()
    {
        uint[] table = new uint[SliceCount * 256];
        for (uint i = 0; i < 256; i++)
        {
            uint crc = i;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc & 1) != 0 ? crc >> 1 ^ Polynomial : crc >> 1;
            }

            table[i] = crc;
        }

        for (int i = 256; i < table.Length; i++)
        {
            table[i] = table[i - 256] >> 8 ^ table[table[i - 256] & 0xFF];
        }

        return table;
    }
}
