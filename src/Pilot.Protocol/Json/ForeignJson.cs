using System.Globalization;
using System.Text;
using System.Text.Unicode;

namespace Pilot.Protocol;

/// <summary>JSON bytes from a stranger, made safe for the framework's readers: they throw where a string holds invalid UTF-8 or half a surrogate pair.</summary>
public static class ForeignJson
{
    private const int EscapeSize = 6; // \uXXXX

    /// <summary>The same text with U+FFFD in place of what is no Unicode, as the reference reads it. Bytes that need no repair are handed back as they are. Never throws.</summary>
    public static ReadOnlyMemory<byte> Repair(ReadOnlyMemory<byte> json)
    {
        if (!Utf8.IsValid(json.Span))
        {
            json = Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(json.Span));
        }

        byte[]? repaired = null;
        for (int at = json.Span.IndexOf((byte)'\\'); at >= 0 && at < json.Length;)
        {
            ReadOnlySpan<byte> rest = json.Span[at..];
            char unit = EscapedUnit(rest);
            if (char.IsHighSurrogate(unit) && char.IsLowSurrogate(EscapedUnit(rest[EscapeSize..])))
            {
                at += 2 * EscapeSize;
            }
            else
            {
                if (char.IsSurrogate(unit))
                {
                    repaired ??= json.ToArray();
                    "FFFD"u8.CopyTo(repaired.AsSpan(at + 2));
                }

                at += 2; // what is behind an escape's letter holds no backslash
            }

            int next = at < json.Length ? json.Span[at..].IndexOf((byte)'\\') : -1;
            at = next < 0 ? json.Length : at + next;
        }

        return repaired ?? json;
    }

    /// <summary>The UTF-16 unit that the bytes begin with as <c>\uXXXX</c>; 0 when they do not.</summary>
    private static char EscapedUnit(ReadOnlySpan<byte> text) =>
        text.Length >= EscapeSize && text[0] == '\\' && text[1] == 'u'
            && ushort.TryParse(text[2..EscapeSize], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ushort unit)
            ? (char)unit
            : '\0';
}
