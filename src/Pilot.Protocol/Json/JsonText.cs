using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Pilot.Protocol;

/// <summary>Strings of foreign JSON: invalid UTF-8 and lone surrogates become U+FFFD, as in the reference, where the framework would throw.</summary>
internal static class JsonText
{
    /// <summary>The text of the reader's current string or property name. Never throws on input.</summary>
    public static string GetString(ref Utf8JsonReader reader)
    {
        ReadOnlySpan<byte> raw = reader.HasValueSequence ? reader.ValueSequence.ToArray() : reader.ValueSpan;
        return reader.ValueIsEscaped ? Unescape(raw) : Encoding.UTF8.GetString(raw);
    }

    // The reader has checked that every escape is complete and known.
    private static string Unescape(ReadOnlySpan<byte> raw)
    {
        var text = new StringBuilder(raw.Length);
        while (!raw.IsEmpty)
        {
            int backslash = raw.IndexOf((byte)'\\');
            if (backslash < 0)
            {
                text.Append(Encoding.UTF8.GetString(raw));
                break;
            }

            text.Append(Encoding.UTF8.GetString(raw[..backslash]));
            byte kind = raw[backslash + 1];
            int length = 2;
            switch (kind)
            {
                case (byte)'u':
                    text.Append((char)ushort.Parse(raw.Slice(backslash + 2, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture));
                    length = 6;
                    break;
                case (byte)'b':
                    text.Append('\b');
                    break;
                case (byte)'f':
                    text.Append('\f');
                    break;
                case (byte)'n':
                    text.Append('\n');
                    break;
                case (byte)'r':
                    text.Append('\r');
                    break;
                case (byte)'t':
                    text.Append('\t');
                    break;
                default: // quote, backslash, slash
                    text.Append((char)kind);
                    break;
            }

            raw = raw[(backslash + length)..];
        }

        for (int i = 0; i < text.Length; i++)
        {
            if (char.IsHighSurrogate(text[i]) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]))
            {
                i++;
            }
            else if (char.IsSurrogate(text[i]))
            {
                text[i] = '\uFFFD';
            }
        }

        return text.ToString();
    }
}
