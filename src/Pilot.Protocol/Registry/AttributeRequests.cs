namespace Pilot.Protocol.Registry;

// Members stand in the order of their JSON names, which is the order in which the reference writes them.

/// <summary>Sets or clears the hostname. Spec 03 section 6.2.</summary>
public sealed record SetHostnameRequest
{
    /// <summary>Instead of a signature.</summary>
    public string? AdminToken { get; init; }

    /// <summary>Empty clears.</summary>
    public required string Hostname { get; init; }

    /// <summary>Own id.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Over <see cref="Challenge.SetHostname"/>.</summary>
    public string? Signature { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "set_hostname";
}

/// <summary>Makes the node public or private. Spec 03 section 6.2.</summary>
public sealed record SetVisibilityRequest
{
    /// <summary>Instead of a signature.</summary>
    public string? AdminToken { get; init; }

    /// <summary>Own id.</summary>
    public required uint NodeId { get; init; }

    /// <summary>True: public.</summary>
    public required bool Public { get; init; }

    /// <summary>Over <see cref="Challenge.SetVisibility"/>.</summary>
    public string? Signature { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "set_visibility";
}

/// <summary>Replaces the tags. Spec 03 section 6.2.</summary>
public sealed record SetTagsRequest
{
    /// <summary>Instead of a signature.</summary>
    public string? AdminToken { get; init; }

    /// <summary>Own id.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Over <see cref="Challenge.SetTags"/>.</summary>
    public string? Signature { get; init; }

    /// <summary>At most 10; empty clears.</summary>
    public required IReadOnlyList<string> Tags { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "set_tags";
}

/// <summary>Says whether the node executes tasks. Spec 03 section 6.2.</summary>
public sealed record SetTaskExecRequest
{
    /// <summary>Instead of a signature.</summary>
    public string? AdminToken { get; init; }

    /// <summary>True: it does.</summary>
    public required bool Enabled { get; init; }

    /// <summary>Own id.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Over <see cref="Challenge.SetTaskExec"/>.</summary>
    public string? Signature { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "set_task_exec";
}

/// <summary>Reads a reputation score. Spec 03 section 6.8.</summary>
public sealed record GetPoloScoreRequest
{
    /// <summary>The node.</summary>
    public required uint NodeId { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "get_polo_score";
}

/// <summary>Sets a reputation score. Spec 03 section 6.8.</summary>
public sealed record SetPoloScoreRequest
{
    /// <summary>Extension.</summary>
    public string? AdminToken { get; init; }

    /// <summary>The node.</summary>
    public required uint NodeId { get; init; }

    /// <summary>-1000000 to 1000000.</summary>
    public required long PoloScore { get; init; }

    /// <summary>Extension.</summary>
    public string? Signature { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "set_polo_score";
}

/// <summary>Adds to a reputation score. Spec 03 section 6.8.</summary>
public sealed record UpdatePoloScoreRequest
{
    /// <summary>-1000000 to 1000000.</summary>
    public required long Delta { get; init; }

    /// <summary>The node.</summary>
    public required uint NodeId { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "update_polo_score";
}
