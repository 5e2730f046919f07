using System.Text;

namespace Pilot.Cli.Streams;

/// <summary>Bytes from a peer as JSON text: every invalid byte becomes U+FFFD (07 §2.1), and the caller learns that it happened.</summary>
internal static class Utf8Payload
{
    public static (string Text, bool IsExact) Decode(ReadOnlySpan<byte> bytes)
    {
        if (System.Text.Unicode.Utf8.IsValid(bytes))
        {
            return (Encoding.UTF8.GetString(bytes), true);
        }

        StringBuilder text = new(bytes.Length);
        Span<char> chars = stackalloc char[2];
        while (!bytes.IsEmpty)
        {
            if (Rune.DecodeFromUtf8(bytes, out Rune rune, out int consumed) == System.Buffers.OperationStatus.Done)
            {
                text.Append(chars[..rune.EncodeToUtf16(chars)]);
                bytes = bytes[consumed..];
            }
            else
            {
                text.Append('\uFFFD');
                bytes = bytes[1..];
            }
        }

        return (text.ToString(), false);
    }
}
