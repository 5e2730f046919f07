namespace Pilot.Protocol.Registry;

// Members stand in the order of their JSON names, which is the order in which the reference writes them.

/// <summary>Reports trust in a peer. Spec 03 section 6.4.</summary>
public sealed record ReportTrustRequest
{
    /// <summary>Own id.</summary>
    public required uint NodeId { get; init; }

    /// <summary>The peer.</summary>
    public required uint PeerId { get; init; }

    /// <summary>Over <see cref="Challenge.ReportTrust"/>.</summary>
    public required string Signature { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "report_trust";
}

/// <summary>Ends trust with a peer. Spec 03 section 6.4.</summary>
public sealed record RevokeTrustRequest
{
    /// <summary>Own id.</summary>
    public required uint NodeId { get; init; }

    /// <summary>The peer.</summary>
    public required uint PeerId { get; init; }

    /// <summary>Over <see cref="Challenge.RevokeTrust"/>.</summary>
    public required string Signature { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "revoke_trust";
}

/// <summary>Relays a handshake request, to a node id or (extension) to a hostname. Spec 03 section 6.5.</summary>
public sealed record RequestHandshakeRequest
{
    /// <summary>Own id.</summary>
    public required uint FromNodeId { get; init; }

    /// <summary>Free text.</summary>
    public string Justification { get; init; } = "";

    /// <summary>Over <see cref="Challenge.Handshake"/>, by name over <see cref="Challenge.HandshakeByName"/>.</summary>
    public required string Signature { get; init; }

    /// <summary>Extension: the target by name.</summary>
    public string? ToHostname { get; init; }

    /// <summary>Target; absent when a name is given.</summary>
    public uint? ToNodeId { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "request_handshake";
}

/// <summary>Fetches the relayed requests and responses. Spec 03 section 6.5.</summary>
public sealed record PollHandshakesRequest
{
    /// <summary>Own id.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Over <see cref="Challenge.PollHandshakes"/>.</summary>
    public required string Signature { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "poll_handshakes";
}

/// <summary>Answers a relayed request. Spec 03 section 6.5.</summary>
public sealed record RespondHandshakeRequest
{
    /// <summary>True: accepted.</summary>
    public required bool Accept { get; init; }

    /// <summary>Own id.</summary>
    public required uint NodeId { get; init; }

    /// <summary>The requester.</summary>
    public required uint PeerId { get; init; }

    /// <summary>Over <see cref="Challenge.Respond"/>.</summary>
    public required string Signature { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "respond_handshake";
}
