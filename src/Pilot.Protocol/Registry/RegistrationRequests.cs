namespace Pilot.Protocol.Registry;

// Members stand in the order of their JSON names, which is the order in which the reference writes them.

/// <summary>Registers the node of a key; the answer gives its id. Spec 03 section 5.1.</summary>
public sealed record RegisterRequest
{
    /// <summary>Set in the same step.</summary>
    public string? Hostname { get; init; }

    /// <summary>Chapter 09.</summary>
    public string? IdentityToken { get; init; }

    /// <summary>LAN endpoints <c>ip:port</c>; absent clears the list.</summary>
    public IReadOnlyList<string>? LanAddrs { get; init; }

    /// <summary>Only the port of it is used; may be empty.</summary>
    public string ListenAddr { get; init; } = "";

    /// <summary>The id that the node had before: given again by a registry that lost its memory, if it is free (an extension; others ignore it).</summary>
    public uint? NodeId { get; init; }

    /// <summary>E-mail or identifier.</summary>
    public string? Owner { get; init; }

    /// <summary>Informational.</summary>
    public int? ProtocolVersion { get; init; }

    /// <summary>Ed25519 key, standard base64.</summary>
    public required string PublicKey { get; init; }

    /// <summary>Name and version of the node's software, as <c>name/1.2.3</c> (an extension; others ignore it).</summary>
    public string? Software { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "register";
}

/// <summary>Replaces the public key. Spec 03 section 6.3.</summary>
public sealed record RotateKeyRequest
{
    /// <summary>Standard base64.</summary>
    public required string NewPublicKey { get; init; }

    /// <summary>Own id.</summary>
    public required uint NodeId { get; init; }

    /// <summary>By the OLD key, over <see cref="Challenge.Rotate"/>.</summary>
    public required string Signature { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "rotate_key";
}

/// <summary>Keeps the node listed. Spec 03 section 6.6.</summary>
public sealed record HeartbeatRequest
{
    /// <summary>Own id.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Over <see cref="Challenge.Heartbeat"/>.</summary>
    public required string Signature { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "heartbeat";
}

/// <summary>Removes the node. Spec 03 section 6.7.</summary>
public sealed record DeregisterRequest
{
    /// <summary>Instead of a signature.</summary>
    public string? AdminToken { get; init; }

    /// <summary>Own id.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Over <see cref="Challenge.Deregister"/>.</summary>
    public string? Signature { get; init; }

    /// <summary>The message type.</summary>
    public string Type { get; } = "deregister";
}
