namespace Pilot.Protocol;

/// <summary>Strict unsigned decimal text: ASCII digits only, any number of leading zeros, no sign, no white space.</summary>
internal static class DecimalText
{
    public static bool TryParseUInt16(ReadOnlySpan<char> text, out ushort value)
    {
        bool ok = TryParse(text, ushort.MaxValue, out uint wide);
        value = (ushort)wide;
        return ok;
    }

    public static bool TryParseUInt32(ReadOnlySpan<char> text, out uint value) => TryParse(text, uint.MaxValue, out value);

    private static bool TryParse(ReadOnlySpan<char> text, uint max, out uint value)
    {
        value = 0;
        ulong sum = 0;
        foreach (char c in text)
        {
            if (!char.IsAsciiDigit(c))
            {
                return false;
            }

            sum = sum * 10 + (uint)(c - '0');
            if (sum > max)
            {
                return false;
            }
        }

        value = (uint)sum;
        return !text.IsEmpty;
    }
}
