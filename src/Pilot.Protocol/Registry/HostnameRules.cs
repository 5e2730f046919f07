using System.Text;

namespace Pilot.Protocol.Registry;

/// <summary>Which hostnames a node may have (spec 03 section 5.5).</summary>
public static class HostnameRules
{
    /// <summary>Longest hostname in bytes.</summary>
    public const int MaxLength = 63;

    /// <summary>Checks a hostname. The error is the text of the reference; <c>set_hostname</c> puts <c>invalid hostname: </c> in front of it.</summary>
    public static bool TryValidate(string hostname, out string? error)
    {
        ArgumentNullException.ThrowIfNull(hostname);
        error = Encoding.UTF8.GetByteCount(hostname) > MaxLength ? "hostname too long (max 63 chars)"
            : !MatchesPattern(hostname) ? "hostname must be lowercase alphanumeric with hyphens, start/end with alphanumeric"
            : hostname is "localhost" or "backbone" or "broadcast" ? $"hostname \"{hostname}\" is reserved"
            : null;
        return error is null;
    }

    /// <summary>True for 1 or more characters a-z, 0-9 and inner hyphens; no length limit. Tags follow the same pattern (spec 03 section 6.2).</summary>
    public static bool MatchesPattern(ReadOnlySpan<char> text)
    {
        if (text.IsEmpty || text[0] == '-' || text[^1] == '-')
        {
            return false;
        }

        foreach (char c in text)
        {
            if (!char.IsAsciiLetterLower(c) && !char.IsAsciiDigit(c) && c != '-')
            {
                return false;
            }
        }

        return true;
    }
}
