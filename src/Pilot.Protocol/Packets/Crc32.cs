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

    private const int WideThreshold = 256;

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
    [MethodImpl(MethodImplOptions.AggressiveOptimization)] // full speed from the first packet on, no slow first tier
    private static uint Fold(uint state, ReadOnlySpan<byte> data)
    {
        ref byte at = ref MemoryMarshal.GetReference(data);
        nuint length = (nuint)data.Length;
        nuint offset;
        Vector128<ulong> x1, x2, x3, x4;
        Vector128<ulong> by64 = Vector128.Create(0x01_5444_2BD4UL, 0x01_C6E4_1596UL);
        if (data.Length >= WideThreshold && Pclmulqdq.V256.IsSupported && Vector256.IsHardwareAccelerated)
        {
            FoldWide(state, ref at, length, out offset, out Vector256<ulong> w1, out Vector256<ulong> w2, out Vector256<ulong> w3, out Vector256<ulong> w4);
            x1 = FoldOnce(w1.GetLower(), by64) ^ w3.GetLower();
            x2 = FoldOnce(w1.GetUpper(), by64) ^ w3.GetUpper();
            x3 = FoldOnce(w2.GetLower(), by64) ^ w4.GetLower();
            x4 = FoldOnce(w2.GetUpper(), by64) ^ w4.GetUpper();
        }
        else
        {
            x1 = Load(ref at, 0) ^ Vector128.CreateScalar(state).AsUInt64();
            x2 = Load(ref at, 16);
            x3 = Load(ref at, 32);
            x4 = Load(ref at, 48);
            offset = 64;
        }

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

    /// <summary>The same with twice as wide registers: folds by 128 bytes as far as they go, and leaves the 128 bytes of state in w1..w4.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FoldWide(
        uint state,
        ref byte at,
        nuint length,
        out nuint offset,
        out Vector256<ulong> w1,
        out Vector256<ulong> w2,
        out Vector256<ulong> w3,
        out Vector256<ulong> w4)
    {
        w1 = LoadWide(ref at, 0) ^ Vector256.CreateScalar(state).AsUInt64();
        w2 = LoadWide(ref at, 32);
        w3 = LoadWide(ref at, 64);
        w4 = LoadWide(ref at, 96);

        // x^(1024+32) and x^(1024-32) modulo the polynomial, reflected like the constants of the paper.
        Vector256<ulong> by128 = Vector256.Create(0x01_E88E_F372UL, 0x01_4A7F_E880UL, 0x01_E88E_F372UL, 0x01_4A7F_E880UL);
        for (offset = 128; length - offset >= 128; offset += 128)
        {
            w1 = FoldOnceWide(w1, by128) ^ LoadWide(ref at, offset);
            w2 = FoldOnceWide(w2, by128) ^ LoadWide(ref at, offset + 32);
            w3 = FoldOnceWide(w3, by128) ^ LoadWide(ref at, offset + 64);
            w4 = FoldOnceWide(w4, by128) ^ LoadWide(ref at, offset + 96);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<ulong> LoadWide(ref byte at, nuint offset) => Vector256.LoadUnsafe(ref at, offset).AsUInt64();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<ulong> FoldOnceWide(Vector256<ulong> value, Vector256<ulong> constants) =>
        Pclmulqdq.V256.CarrylessMultiply(value, constants, 0x00) ^ Pclmulqdq.V256.CarrylessMultiply(value, constants, 0x11);

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
