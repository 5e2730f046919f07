namespace Pilot.Protocol;

/// <summary>Standard base64 with padding, as the reference writes and reads it: CR and LF inside are tolerated, nothing else is (spec 01 section 12).</summary>
public static class StandardBase64
{
    /// <summary>Decodes into <paramref name="destination"/>; false unless the text is valid and gives exactly that many bytes. Never throws.</summary>
    public static bool TryDecodeExact(string? text, Span<byte> destination) =>
        TryDecode(text, out byte[]? bytes) && bytes.Length == destination.Length && bytes.AsSpan().TryCopyTo(destination);

    /// <summary>Decodes a text of any length. Never throws.</summary>
    public static bool TryDecode(string? text, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out byte[]? bytes)
    {
        bytes = null;
        if (text is null)
        {
            return false;
        }

        // The framework also skips blanks and tabs, which the reference refuses.
        if (text.AsSpan().ContainsAny(' ', '\t') || text.Contains('\0', StringComparison.Ordinal))
        {
            return false;
        }

        if (text.AsSpan().ContainsAny('\r', '\n'))
        {
            text = text.Replace("\r", "", StringComparison.Ordinal).Replace("\n", "", StringComparison.Ordinal);
        }

        byte[] buffer = new byte[text.Length / 4 * 3];
        if (!Convert.TryFromBase64String(text, buffer, out int written))
        {
            return false;
        }

        bytes = written == buffer.Length ? buffer : buffer[..written];
        return true;
    }
}
