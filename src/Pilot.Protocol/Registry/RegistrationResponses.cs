namespace Pilot.Protocol.Registry;

// Members stand in the order of their JSON names, which is the order in which the reference writes them.

/// <summary>Response to <c>register</c>. Spec 03 section 5.2.</summary>
public sealed record RegisterResponse
{
    /// <summary>Overlay address.</summary>
    public string Address { get; init => field = value ?? ""; } = "";

    /// <summary>Verified external identity.</summary>
    public string? ExternalId { get; init; }

    /// <summary>The hostname, when one was given and assigned.</summary>
    public string? Hostname { get; init; }

    /// <summary>Why the given hostname is invalid.</summary>
    public string? HostnameError { get; init; }

    /// <summary>Always 0.</summary>
    public ushort NetworkId { get; init; }

    /// <summary>The node id.</summary>
    public uint NodeId { get; init; }

    /// <summary>Source IP with the claimed port.</summary>
    public string ObservedAddr { get; init => field = value ?? ""; } = "";

    /// <summary>1.</summary>
    public int ProtocolVersion { get; init; }

    /// <summary>The key.</summary>
    public string PublicKey { get; init => field = value ?? ""; } = "";

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "register_ok";
}

/// <summary>Response to <c>rotate_key</c>. Spec 03 section 6.3.</summary>
public sealed record RotateKeyResponse
{
    /// <summary>Overlay address.</summary>
    public string Address { get; init => field = value ?? ""; } = "";

    /// <summary>The node.</summary>
    public uint NodeId { get; init; }

    /// <summary>The new key.</summary>
    public string PublicKey { get; init => field = value ?? ""; } = "";

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "rotate_key_ok";
}

/// <summary>Response to <c>heartbeat</c>. Spec 03 section 6.6.</summary>
public sealed record HeartbeatResponse
{
    /// <summary>True when the key expires within 24 h, else absent.</summary>
    public bool? KeyExpiryWarning { get; init; }

    /// <summary>Server time, Unix seconds.</summary>
    public long Time { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; init; } = "heartbeat_ok";
}
