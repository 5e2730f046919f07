using Pilot.Protocol.Registry;

namespace Pilot.Rendezvous.Registry;

/// <summary>Why a request was refused: the text for the log, and what travels after masking (spec 03 section 3.1). Internal texts hold no text of the client that could unmask them.</summary>
internal sealed record Refusal(string Text, string Code, TimeSpan? RetryAfter = null)
{
    public const string MaskedText = "request failed";

    private static readonly string[] VisibleWords =
    [
        "rate limited", "enterprise feature", "expired", "already", "not a member", "cannot", "too many", "too long", "not found", "invalid", "required",
    ];

    public static Refusal NodeNotFound(uint node) => new($"node {node}: node not found", RegistryErrorCode.NotFound);

    public static Refusal Invalid(string text) => new(text, RegistryErrorCode.Invalid);

    public static Refusal Unauthorized(string text) => new(text, RegistryErrorCode.Unauthorized);

    /// <summary>A MAC that does not count: the client signs the same request and sends it again.</summary>
    public static Refusal SignatureNeeded { get; } = new($"{RequestProof.SignatureMember} required: the mac does not count for this request here", RegistryErrorCode.SignatureNeeded);

    /// <summary>What the client reads.</summary>
    public static string Mask(string text)
    {
        foreach (string word in VisibleWords)
        {
            if (text.Contains(word, StringComparison.Ordinal))
            {
                return text;
            }
        }

        return MaskedText;
    }

    public ErrorResponse ToResponse() => new()
    {
        Error = Mask(Text),
        Code = Code,
        RetryAfterMs = RetryAfter is { } wait ? Math.Max(1, (long)Math.Ceiling(wait.TotalMilliseconds)) : null,
    };
}
