namespace Pilot.Protocol.Registry;

/// <summary>Stable words for the extension member <c>code</c> of an error answer (spec 03 section 3.1, "Better"). The texts stay for people and for reference software.</summary>
public static class RegistryErrorCode
{
    /// <summary>Signature missing or wrong, or token wrong.</summary>
    public const string Unauthorized = "unauthorized";

    /// <summary>The request's MAC does not count here (<see cref="RequestMac"/>): sign it. Nothing was done.</summary>
    public const string SignatureNeeded = "signature_needed";

    /// <summary>The target is private and the requester has no right to it.</summary>
    public const string Private = "private";

    /// <summary>This server is a standby and refuses writes.</summary>
    public const string Standby = "standby";

    /// <summary>Unknown or missing message type.</summary>
    public const string UnknownType = "unknown_type";

    /// <summary>Too many requests; see <c>retry_after_ms</c>.</summary>
    public const string RateLimited = "rate_limited";

    /// <summary>A node, network or name does not exist.</summary>
    public const string NotFound = "not_found";

    /// <summary>A member is missing or malformed.</summary>
    public const string Invalid = "invalid";

    /// <summary>The thing exists already or is taken.</summary>
    public const string Conflict = "conflict";

    /// <summary>An inbox or table is full.</summary>
    public const string Full = "full";

    /// <summary>The key has expired.</summary>
    public const string Expired = "expired";

    /// <summary>The message is known, and this server does not do what it asks.</summary>
    public const string Unsupported = "unsupported";

    /// <summary>The server failed.</summary>
    public const string Internal = "internal";
}
