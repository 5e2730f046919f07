using System.Text.Json.Serialization;

namespace Pilot.Protocol.Registry;

// Members stand in the order of their JSON names, which is the order in which the reference writes them.

/// <summary>Response to <c>set_hostname</c>. Spec 03 section 6.2.</summary>
public sealed record SetHostnameResponse
{
    /// <summary>The name; empty when cleared.</summary>
    public string Hostname { get; init => field = value ?? ""; } = "";

    /// <summary>The node.</summary>
    public uint NodeId { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "set_hostname_ok";
}

/// <summary>Response to <c>set_visibility</c>. Spec 03 section 6.2.</summary>
public sealed record SetVisibilityResponse
{
    /// <summary>The node.</summary>
    public uint NodeId { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "set_visibility_ok";

    /// <summary><c>public</c> or <c>private</c>.</summary>
    public string Visibility { get; init => field = value ?? ""; } = "";
}

/// <summary>Response to <c>set_tags</c>. Spec 03 section 6.2.</summary>
public sealed record SetTagsResponse
{
    /// <summary>The node.</summary>
    public uint NodeId { get; init; }

    /// <summary>The tags; written as null when cleared.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public IReadOnlyList<string>? Tags { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "set_tags_ok";
}

/// <summary>Response to <c>set_task_exec</c>. Spec 03 section 6.2.</summary>
public sealed record SetTaskExecResponse
{
    /// <summary>The node.</summary>
    public uint NodeId { get; init; }

    /// <summary>The flag.</summary>
    public bool TaskExec { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "set_task_exec_ok";
}

/// <summary>Response to the three score messages; set <c>Type</c> for the other two. Spec 03 section 6.8.</summary>
public sealed record PoloScoreResponse
{
    /// <summary>Overlay address.</summary>
    public string Address { get; init => field = value ?? ""; } = "";

    /// <summary>The node.</summary>
    public uint NodeId { get; init; }

    /// <summary>The (new) score.</summary>
    public long PoloScore { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "get_polo_score_ok";
}
