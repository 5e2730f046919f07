namespace Pilot.Engine.Trust;

/// <summary>A peer that this node trusts (spec 05 section 11, <c>trusted[]</c>).</summary>
public sealed record TrustedPeer
{
    /// <summary>The peer.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Its Ed25519 key, standard base64, pinned; empty while it is not known.</summary>
    public string PublicKey { get; init; } = "";

    /// <summary>When trust began, with the offset of the clock that said so.</summary>
    public required DateTimeOffset ApprovedAt { get; init; }

    /// <summary>Whether both sides are known to agree.</summary>
    public bool Mutual { get; init; }

    /// <summary>The shared network that caused the trust, or 0. Such a record counts only while the network is shared.</summary>
    public ushort Network { get; init; }

    /// <summary>The peer's hostname as the registry last told it: a hint for commands, never a proof.</summary>
    public string Hostname { get; init; } = "";
}

/// <summary>A request that waits for the user (spec 05 section 11, <c>pending[]</c>).</summary>
public sealed record PendingRequest
{
    /// <summary>Who asked.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Its Ed25519 key, standard base64; empty while it is not known.</summary>
    public string PublicKey { get; init; } = "";

    /// <summary>The asker's text. Written by a stranger: print it through <see cref="TrustText.Printable"/>.</summary>
    public string Justification { get; init; } = "";

    /// <summary>When it came.</summary>
    public required DateTimeOffset ReceivedAt { get; init; }

    /// <summary>The asker's hostname as the registry last told it, or empty.</summary>
    public string Hostname { get; init; } = "";
}

/// <summary>An own request that waits for the peer. Exactly one of node id and hostname names it.</summary>
public sealed record OutgoingMark
{
    /// <summary>The peer asked, or 0 when it was asked by name.</summary>
    public uint NodeId { get; init; }

    /// <summary>The hostname asked, or empty when it was asked by id.</summary>
    public string Hostname { get; init; } = "";

    /// <summary>When the user asked.</summary>
    public required DateTimeOffset Since { get; init; }

    /// <summary>The user's text, kept so that a registry that lost the request can be given it again.</summary>
    public string Justification { get; init; } = "";
}

/// <summary>Why a peer that was trusted, or that the user refused, is not trusted now.</summary>
public enum FormerPeerState
{
    /// <summary>The user revoked it: the deny list. Every gate refuses it until the user asks or approves again.</summary>
    Revoked,

    /// <summary>It revoked us.</summary>
    RevokedByPeer,

    /// <summary>The registry names another key than the pinned one.</summary>
    KeyChanged,
}

/// <summary>A peer that was trusted once (spec 05 sections 10.3 and 16.5).</summary>
public sealed record FormerPeer
{
    /// <summary>The peer.</summary>
    public required uint NodeId { get; init; }

    /// <summary>The key it had while it was trusted, standard base64; may be empty.</summary>
    public string PublicKey { get; init; } = "";

    /// <summary>The key that the registry named instead, for <see cref="FormerPeerState.KeyChanged"/>.</summary>
    public string NewPublicKey { get; init; } = "";

    /// <summary>Why it is not trusted now.</summary>
    public required FormerPeerState State { get; init; }

    /// <summary>Since when.</summary>
    public required DateTimeOffset Since { get; init; }
}

/// <summary>The time as the host sees it: monotonic for timers, wall clock for what is signed, shown and stored.</summary>
/// <param name="Now">Monotonic time.</param>
/// <param name="Wall">Wall clock; its offset is the one written to the trust file.</param>
public readonly record struct TrustClock(Instant Now, DateTimeOffset Wall);
