using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;

namespace Pilot.Protocol;

/// <summary>
/// The escapes that the reference writes in JSON strings: what JSON demands, and <c>&lt;</c>, <c>&gt;</c>, <c>&amp;</c>, U+2028, U+2029 as
/// <c>\u003c</c> and so on; everything else raw (spec 03 section 3, 05 section 3). Decoders must not care; equal bytes make golden vectors comparable.
/// </summary>
public sealed class ReferenceJsonEncoder : JavaScriptEncoder
{
    private static readonly SearchValues<char> Special = SearchValues.Create(
        "\"\\<>&\u2028\u2029" + string.Concat(Enumerable.Range(0, 0x20).Select(i => (char)i)) + string.Concat(Enumerable.Range(0xD800, 0x800).Select(i => (char)i)));

    private ReferenceJsonEncoder()
    {
    }

    /// <summary>The one instance.</summary>
    public static ReferenceJsonEncoder Instance { get; } = new();

    /// <inheritdoc/>
    public override int MaxOutputCharactersPerInputCharacter => 6; // \u003c

    /// <inheritdoc/>
    public override bool WillEncode(int unicodeScalar) =>
        unicodeScalar is < 0x20 or '"' or '\\' or '<' or '>' or '&' or 0x2028 or 0x2029;

    /// <inheritdoc/>
    public override unsafe int FindFirstCharacterToEncode(char* text, int textLength)
    {
        var all = new ReadOnlySpan<char>(text, textLength);
        int at = 0;
        while (true)
        {
            int next = all[at..].IndexOfAny(Special);
            if (next < 0)
            {
                return -1;
            }

            at += next;
            // A complete surrogate pair needs no escape; a lone half must be replaced, which the base class does.
            if (char.IsHighSurrogate(all[at]) && at + 1 < all.Length && char.IsLowSurrogate(all[at + 1]))
            {
                at += 2;
                continue;
            }

            return at;
        }
    }

    /// <inheritdoc/>
    public override unsafe bool TryEncodeUnicodeScalar(int unicodeScalar, char* buffer, int bufferLength, out int numberOfCharactersWritten)
    {
        var to = new Span<char>(buffer, bufferLength);
        string? brief = unicodeScalar switch
        {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\b' => "\\b",
            '\f' => "\\f",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            _ => null,
        };
        if (brief is not null)
        {
            numberOfCharactersWritten = brief.Length;
            return brief.TryCopyTo(to);
        }

        if (WillEncode(unicodeScalar))
        {
            return to.TryWrite($"\\u{unicodeScalar:x4}", out numberOfCharactersWritten);
        }

        return new Rune(unicodeScalar).TryEncodeToUtf16(to, out numberOfCharactersWritten);
    }
}
