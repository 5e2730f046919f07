namespace Pilot.Protocol.Registry;

// Of chapter 09, as far as a server without managed networks answers them.

/// <summary>Response to <c>poll_invites</c>. Spec 09 section 4.</summary>
public sealed record PollInvitesResponse
{
    /// <summary>Ids of networks to which the node is invited; never null.</summary>
    public IReadOnlyList<uint> Invites { get; init; } = [];

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "poll_invites_ok";
}

/// <summary>Response to <c>get_network_policy</c>. Spec 09 section 6.</summary>
public sealed record NetworkPolicyResponse
{
    /// <summary>Ports that members may use; empty = all.</summary>
    public IReadOnlyList<uint> AllowedPorts { get; init; } = [];

    /// <summary>Free text.</summary>
    public string Description { get; init; } = "";

    /// <summary>0 = no limit.</summary>
    public int MaxMembers { get; init; }

    /// <summary>The network.</summary>
    public ushort NetworkId { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "get_network_policy_ok";
}

/// <summary>Response to <c>get_member_role</c>. Spec 09 section 5.</summary>
public sealed record MemberRoleResponse
{
    /// <summary>The network.</summary>
    public ushort NetworkId { get; init; }

    /// <summary><c>owner</c>, <c>admin</c> or <c>member</c>.</summary>
    public string Role { get; init; } = "";

    /// <summary>The member.</summary>
    public uint TargetNodeId { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "get_member_role_ok";
}

/// <summary>Response to <c>get_key_info</c>. Spec 09 section 7.</summary>
public sealed record KeyInfoResponse
{
    /// <summary>RFC 3339.</summary>
    public string CreatedAt { get; init; } = "";

    /// <summary>RFC 3339; absent when the key does not expire.</summary>
    public string? ExpiresAt { get; init; }

    /// <summary>Whole days since rotation or creation.</summary>
    public long KeyAgeDays { get; init; }

    /// <summary>The node.</summary>
    public uint NodeId { get; init; }

    /// <summary>How often the key was changed.</summary>
    public int RotateCount { get; init; }

    /// <summary>RFC 3339; absent when it never was.</summary>
    public string? RotatedAt { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "get_key_info_ok";
}
