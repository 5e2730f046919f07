namespace Pilot.Protocol.Registry;

// Members stand in the order of their JSON names, which is the order in which the reference writes them.

/// <summary>Response to <c>request_handshake</c>. Spec 03 section 6.5.</summary>
public sealed record RequestHandshakeResponse
{
    /// <summary><c>delivered</c>.</summary>
    public string Status { get; init => field = value ?? ""; } = "";

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "request_handshake_ok";
}

/// <summary>Response to <c>poll_handshakes</c>. Spec 03 section 6.5.</summary>
public sealed record PollHandshakesResponse
{
    /// <summary>Oldest first.</summary>
    public IReadOnlyList<HandshakeRequestEntry> Requests { get; init => field = value ?? []; } = [];

    /// <summary>Oldest first.</summary>
    public IReadOnlyList<HandshakeResponseEntry> Responses { get; init => field = value ?? []; } = [];

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "poll_handshakes_ok";
}

/// <summary>Response to <c>respond_handshake</c>. Spec 03 section 6.5.</summary>
public sealed record RespondHandshakeResponse
{
    /// <summary>As in the request.</summary>
    public bool Accept { get; init; }

    /// <summary>As in the request.</summary>
    public uint PeerId { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "respond_handshake_ok";
}

/// <summary>A relayed request. Spec 03 section 6.5.</summary>
public sealed record HandshakeRequestEntry
{
    /// <summary>Extension: the sender's hostname.</summary>
    public string? FromHostname { get; init; }

    /// <summary>The sender.</summary>
    public uint FromNodeId { get; init; }

    /// <summary>Free text.</summary>
    public string Justification { get; init => field = value ?? ""; } = "";

    /// <summary>Unix seconds.</summary>
    public long Timestamp { get; init; }
}

/// <summary>A relayed response. Spec 03 section 6.5.</summary>
public sealed record HandshakeResponseEntry
{
    /// <summary>True: accepted.</summary>
    public bool Accept { get; init; }

    /// <summary>Extension: the responder's hostname, when accepted.</summary>
    public string? FromHostname { get; init; }

    /// <summary>The responder.</summary>
    public uint FromNodeId { get; init; }

    /// <summary>Unix seconds.</summary>
    public long Timestamp { get; init; }
}
