namespace Pilot.Protocol.Registry;

// Members stand in the order of their JSON names, which is the order in which the reference writes them.

/// <summary>What the registry says about a node. No authentication. Spec 03 section 6.1.</summary>
public sealed record LookupRequest
{
    /// <summary>The node.</summary>
    public required uint NodeId { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "lookup";
}

/// <summary>Endpoint of a node. Spec 03 section 6.1.</summary>
public sealed record ResolveRequest
{
    /// <summary>Target.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Own id.</summary>
    public required uint RequesterId { get; init; }

    /// <summary>Over <see cref="Challenge.Resolve"/>.</summary>
    public required string Signature { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "resolve";
}

/// <summary>Node of a hostname. Spec 03 section 6.1.</summary>
public sealed record ResolveHostnameRequest
{
    /// <summary>The name.</summary>
    public required string Hostname { get; init; }

    /// <summary>Own id; always sent by our daemon.</summary>
    public uint? RequesterId { get; init; }

    /// <summary>Extension: over <see cref="Challenge.ResolveHostname"/>.</summary>
    public string? Signature { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "resolve_hostname";
}

/// <summary>Whether a pair is trusted or shares a network. Spec 03 section 6.1.</summary>
public sealed record CheckTrustRequest
{
    /// <summary>One node.</summary>
    public required uint NodeId { get; init; }

    /// <summary>The other.</summary>
    public required uint PeerId { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "check_trust";
}

/// <summary>Endpoints of two nodes for hole punching; not used by reference daemons. Spec 03 section 6.1.</summary>
public sealed record PunchRequest
{
    /// <summary>One node.</summary>
    public required uint NodeA { get; init; }

    /// <summary>The other.</summary>
    public required uint NodeB { get; init; }

    /// <summary>Own id; one of the two.</summary>
    public required uint RequesterId { get; init; }

    /// <summary>Over <see cref="Challenge.Punch"/>.</summary>
    public required string Signature { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "punch";
}
