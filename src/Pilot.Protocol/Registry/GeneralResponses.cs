namespace Pilot.Protocol.Registry;

// Members stand in the order of their JSON names, which is the order in which the reference writes them.

/// <summary>Response without members: <c>report_trust_ok</c>, <c>revoke_trust_ok</c>, <c>deregister_ok</c>. Spec 03 section 6.4.</summary>
public sealed record AcknowledgeResponse
{
    /// <summary>The message type.</summary>
    public required string Type { get; init; }
}

/// <summary>Refusal of a request. Spec 03 section 3.1.</summary>
public sealed record ErrorResponse
{
    /// <summary>Extension: stable word, see <see cref="RegistryErrorCode"/>.</summary>
    public string? Code { get; init; }

    /// <summary>The text.</summary>
    public string Error { get; init => field = value ?? ""; } = "";

    /// <summary>Extension: when to try again.</summary>
    public long? RetryAfterMs { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "error";
}
