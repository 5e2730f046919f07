namespace Pilot.Ipc;

/// <summary>Answer of <c>handshake</c>, <c>approve</c>, <c>reject</c>, <c>untrust</c> and <c>withdraw</c>.</summary>
public sealed record TrustActionData
{
    /// <summary>Peer; 0 for a request by name whose node is not known yet (03 §6.5).</summary>
    public required uint NodeId { get; init; }

    /// <summary><c>sent</c>, <c>approved</c>, <c>already_trusted</c>, <c>rejected</c>, <c>revoked</c>, <c>withdrawn</c>.</summary>
    public required string Status { get; init; }

    /// <summary>Hostname, when the target was given by name.</summary>
    public string? Hostname { get; init; }

    /// <summary><c>direct</c>, <c>relayed</c> or <c>pending</c>: what is known about the delivery when the command was answered.</summary>
    public string? Delivery { get; init; }
}

/// <summary>Answer of <c>pending</c>.</summary>
public sealed record PendingData
{
    /// <summary>Requests that wait for a decision.</summary>
    public required IReadOnlyList<PendingEntry> Pending { get; init; }

    /// <summary>Own requests without answer so far (additive).</summary>
    public IReadOnlyList<RequestedEntry>? Requested { get; init; }
}

/// <summary>One request that waits for a decision. The justification is the stranger's text: strip control characters before printing.</summary>
public sealed record PendingEntry
{
    /// <summary>Requesting node.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Its key, base64; empty when not known.</summary>
    public required string PublicKey { get; init; }

    /// <summary>Its text.</summary>
    public required string Justification { get; init; }

    /// <summary>Unix seconds.</summary>
    public required long ReceivedAt { get; init; }

    /// <summary>Its hostname, when known.</summary>
    public string? Hostname { get; init; }
}

/// <summary>One own request without answer.</summary>
public sealed record RequestedEntry
{
    /// <summary>Asked node; 0 for a request by name.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Asked hostname, for a request by name.</summary>
    public string? Hostname { get; init; }

    /// <summary>Unix seconds.</summary>
    public required long RequestedAt { get; init; }
}

/// <summary>Answer of <c>trusted</c>.</summary>
public sealed record TrustedData
{
    /// <summary>Trusted peers, by node id.</summary>
    public required IReadOnlyList<TrustedEntry> Trusted { get; init; }
}

/// <summary>One trusted peer.</summary>
public sealed record TrustedEntry
{
    /// <summary>Peer.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Its pinned key, base64; empty while not known.</summary>
    public required string PublicKey { get; init; }

    /// <summary>Unix seconds.</summary>
    public required long ApprovedAt { get; init; }

    /// <summary>True: both sides asked or the peer accepted our request.</summary>
    public required bool Mutual { get; init; }

    /// <summary>Network that caused the trust, or 0.</summary>
    public required ushort Network { get; init; }

    /// <summary>Its hostname, when known.</summary>
    public string? Hostname { get; init; }
}
