using System.Text.Json.Serialization;

namespace Pilot.Protocol.Registry;

// Members stand in the order of their JSON names, which is the order in which the reference writes them.

/// <summary>Response to <c>lookup</c>. Spec 03 section 6.1.</summary>
public sealed record LookupResponse
{
    /// <summary>Overlay address.</summary>
    public string Address { get; init => field = value ?? ""; } = "";

    /// <summary>External identity.</summary>
    public string? ExternalId { get; init; }

    /// <summary>Hostname.</summary>
    public string? Hostname { get; init; }

    /// <summary>Networks in the order of joining.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public IReadOnlyList<ushort>? Networks { get; init; }

    /// <summary>The node.</summary>
    public uint NodeId { get; init; }

    /// <summary>Reputation.</summary>
    public long PoloScore { get; init; }

    /// <summary>Visibility.</summary>
    public bool Public { get; init; }

    /// <summary>Ed25519 key, standard base64.</summary>
    public string PublicKey { get; init => field = value ?? ""; } = "";

    /// <summary>Endpoint <c>ip:port</c>, only of a public node.</summary>
    public string? RealAddr { get; init; }

    /// <summary>Tags, when set.</summary>
    public IReadOnlyList<string>? Tags { get; init; }

    /// <summary>True, or absent.</summary>
    public bool? TaskExec { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "lookup_ok";
}

/// <summary>Response to <c>resolve</c>. Spec 03 section 6.1.</summary>
public sealed record ResolveResponse
{
    /// <summary>Whole days since the key was made.</summary>
    public long? KeyAgeDays { get; init; }

    /// <summary>LAN endpoints, if any.</summary>
    public IReadOnlyList<string>? LanAddrs { get; init; }

    /// <summary>The node.</summary>
    public uint NodeId { get; init; }

    /// <summary>Endpoint <c>ip:port</c>.</summary>
    public string RealAddr { get; init => field = value ?? ""; } = "";

    /// <summary>Name and version of the node's software, if it told (an extension; others ignore it).</summary>
    public string? Software { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "resolve_ok";
}

/// <summary>Response to <c>resolve_hostname</c>. Spec 03 section 6.1.</summary>
public sealed record ResolveHostnameResponse
{
    /// <summary>Overlay address.</summary>
    public string Address { get; init => field = value ?? ""; } = "";

    /// <summary>The name.</summary>
    public string Hostname { get; init => field = value ?? ""; } = "";

    /// <summary>The node.</summary>
    public uint NodeId { get; init; }

    /// <summary>Visibility.</summary>
    public bool Public { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "resolve_hostname_ok";
}

/// <summary>Response to <c>check_trust</c>. Spec 03 section 6.1.</summary>
public sealed record CheckTrustResponse
{
    /// <summary>Standard base64, when asked for (see <see cref="RequestProof"/>).</summary>
    public string? Session { get; init; }

    /// <summary>Standard base64, beside the session (see <see cref="RequestMac"/>).</summary>
    public string? SessionKey { get; init; }

    /// <summary>Pair stored or network shared.</summary>
    public bool Trusted { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "check_trust_ok";
}

/// <summary>Response to <c>punch</c>. Spec 03 section 6.1.</summary>
public sealed record PunchResponse
{
    /// <summary>One node.</summary>
    public uint NodeA { get; init; }

    /// <summary>Its endpoint.</summary>
    public string NodeAAddr { get; init => field = value ?? ""; } = "";

    /// <summary>The other node.</summary>
    public uint NodeB { get; init; }

    /// <summary>Its endpoint.</summary>
    public string NodeBAddr { get; init => field = value ?? ""; } = "";

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "punch_ok";
}
