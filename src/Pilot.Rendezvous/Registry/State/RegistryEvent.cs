using System.Text.Json.Serialization;

namespace Pilot.Rendezvous.Registry;

/// <summary>
/// A fact that changed durable state. Applying all events in order rebuilds the state; nothing else changes it. Small, and serialisable by
/// <see cref="RegistryEventContext"/>. Heartbeats are none: they only touch what lives in memory (last-seen, connections, rate buckets).
/// </summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "e")]
[JsonDerivedType(typeof(NodeRegistered), "node")]
[JsonDerivedType(typeof(NodeMoved), "moved")]
[JsonDerivedType(typeof(NodeReclaimed), "reclaimed")]
[JsonDerivedType(typeof(NodeTakenOver), "taken_over")]
[JsonDerivedType(typeof(NodeProven), "proven")]
[JsonDerivedType(typeof(NodeSignsFresh), "fresh")]
[JsonDerivedType(typeof(SoftwareChanged), "software")]
[JsonDerivedType(typeof(NodeReaped), "reaped")]
[JsonDerivedType(typeof(NodeDeregistered), "deregistered")]
[JsonDerivedType(typeof(NodeForgotten), "forgotten")]
[JsonDerivedType(typeof(KeyRotated), "key_rotated")]
[JsonDerivedType(typeof(KeyExpirySet), "key_expiry")]
[JsonDerivedType(typeof(HostnameChanged), "hostname")]
[JsonDerivedType(typeof(VisibilityChanged), "visibility")]
[JsonDerivedType(typeof(TagsChanged), "tags")]
[JsonDerivedType(typeof(TaskExecChanged), "task_exec")]
[JsonDerivedType(typeof(PoloScoreChanged), "polo")]
[JsonDerivedType(typeof(ExternalIdChanged), "external_id")]
[JsonDerivedType(typeof(ConsentGiven), "consent")]
[JsonDerivedType(typeof(TrustRevoked), "revoked")]
[JsonDerivedType(typeof(HandshakeRequested), "hs_request")]
[JsonDerivedType(typeof(HandshakeResponded), "hs_response")]
[JsonDerivedType(typeof(HandshakeRequestsDropped), "hs_request_dropped")]
[JsonDerivedType(typeof(HandshakeResponsesDropped), "hs_response_dropped")]
[JsonDerivedType(typeof(NetworkCreated), "network")]
[JsonDerivedType(typeof(NetworkJoined), "joined")]
[JsonDerivedType(typeof(CountersStored), "s_counters")]
[JsonDerivedType(typeof(RequestsCounted), "requests")]
[JsonDerivedType(typeof(NetworkStored), "s_network")]
[JsonDerivedType(typeof(NodeStored), "s_node")]
[JsonDerivedType(typeof(TrustStored), "s_trust")]
[JsonDerivedType(typeof(InboxStored), "s_inbox")]
internal abstract record RegistryEvent
{
    /// <summary>Action word of the audit log (spec 03 section 6.11), or null when the event is not audited.</summary>
    [JsonIgnore]
    public virtual string? AuditAction => null;
}

/// <summary>A key was registered for the first time and got a new id.</summary>
internal sealed record NodeRegistered(uint Node, PublicKey Key, string? KeyAlias, string Owner, string Endpoint, string[] LanAddresses, DateTimeOffset At) : RegistryEvent
{
    public override string AuditAction => "node.registered";
}

/// <summary>A live node registered again, or an endpoint claimed earlier was proved. Owner only when it was empty before.</summary>
internal sealed record NodeMoved(uint Node, string? Owner, string Endpoint, string[] LanAddresses, DateTimeOffset At) : RegistryEvent
{
    public override string AuditAction => "node.re_registered";
}

/// <summary>A departed node came back with its key. Blank: as a fresh record, else with the attributes it had (visibility excepted: private).</summary>
internal sealed record NodeReclaimed(uint Node, string Owner, string Endpoint, string[] LanAddresses, bool Blank, bool KeepNetworks, DateTimeOffset At) : RegistryEvent
{
    public override string AuditAction => "node.re_registered";
}

/// <summary>A new key took a node id by its owner text. Blank: fresh record, else only key, endpoint and LAN addresses are replaced.</summary>
internal sealed record NodeTakenOver(
    uint Node, PublicKey Key, string? KeyAlias, string Owner, string Endpoint, string[] LanAddresses, bool Blank, bool DropTrust, DateTimeOffset At) : RegistryEvent
{
    public override string AuditAction => "node.re_registered";
}

/// <summary>The node showed for the first time that it holds its key.</summary>
internal sealed record NodeProven(uint Node) : RegistryEvent;

/// <summary>The node used the better signature for the first time; the other one no longer counts for it.</summary>
internal sealed record NodeSignsFresh(uint Node) : RegistryEvent;

/// <summary>The node runs other software than before; empty when it does not say.</summary>
internal sealed record SoftwareChanged(uint Node, string Software) : RegistryEvent;

/// <summary>The node fell silent. ReleaseHostname: others may take its hostname at once.</summary>
internal sealed record NodeReaped(uint Node, bool ReleaseHostname, DateTimeOffset At) : RegistryEvent
{
    public override string AuditAction => "node.reaped";
}

/// <summary>The node left; only key, owner and trust stay.</summary>
internal sealed record NodeDeregistered(uint Node, DateTimeOffset At) : RegistryEvent
{
    public override string AuditAction => "node.deregistered";
}

/// <summary>A departed node was removed for good to make room.</summary>
internal sealed record NodeForgotten(uint Node) : RegistryEvent;

/// <summary>The node changed its key.</summary>
internal sealed record KeyRotated(uint Node, PublicKey Key, string? KeyAlias, DateTimeOffset At) : RegistryEvent
{
    public override string AuditAction => "key.rotated";
}

/// <summary>The key's end was set (spec 09 section 7).</summary>
internal sealed record KeyExpirySet(uint Node, DateTimeOffset? Expires) : RegistryEvent;

/// <summary>The hostname was set, or cleared when empty.</summary>
internal sealed record HostnameChanged(uint Node, string Hostname) : RegistryEvent
{
    public override string AuditAction => "hostname.changed";
}

/// <summary>The node became public or private.</summary>
internal sealed record VisibilityChanged(uint Node, bool Public) : RegistryEvent
{
    public override string AuditAction => "visibility.changed";
}

/// <summary>The tags were replaced.</summary>
internal sealed record TagsChanged(uint Node, string[] Tags) : RegistryEvent
{
    public override string AuditAction => "tags.changed";
}

/// <summary>The task flag was set.</summary>
internal sealed record TaskExecChanged(uint Node, bool Enabled) : RegistryEvent
{
    public override string AuditAction => "task_exec.changed";
}

/// <summary>The reputation has a new value. By: the node that changed it, 0 when unknown.</summary>
internal sealed record PoloScoreChanged(uint Node, long Score, uint By) : RegistryEvent
{
    public override string AuditAction => "polo_score.updated";
}

/// <summary>The external identity was set (spec 09 section 8).</summary>
internal sealed record ExternalIdChanged(uint Node, string ExternalId) : RegistryEvent;

/// <summary>From lets To find and reach it.</summary>
internal sealed record ConsentGiven(uint From, uint To) : RegistryEvent
{
    public override string AuditAction => "trust.created";
}

/// <summary>Trust ended in both directions; the revoker's will is remembered.</summary>
internal sealed record TrustRevoked(uint By, uint Peer) : RegistryEvent
{
    public override string AuditAction => "trust.revoked";
}

/// <summary>A handshake request was queued. ByName: the sender knew only the hostname, and learns nothing until the target accepts.</summary>
internal sealed record HandshakeRequested(uint From, uint To, string Justification, bool ByName, DateTimeOffset At) : RegistryEvent
{
    public override string AuditAction => "handshake.relayed";
}

/// <summary>An answer was queued for the requester; it replaces or follows an earlier one of the same responder.</summary>
internal sealed record HandshakeResponded(uint Responder, uint Requester, bool Accept, bool Replace, DateTimeOffset At) : RegistryEvent
{
    public override string AuditAction => "handshake.responded";
}

/// <summary>Requests to a node from these senders are done: acknowledged, answered, or too old.</summary>
internal sealed record HandshakeRequestsDropped(uint Target, uint[] Senders, bool ByName) : RegistryEvent;

/// <summary>The oldest Count responses of each of these responders are done.</summary>
internal sealed record HandshakeResponsesDropped(uint Target, uint[] Responders) : RegistryEvent;

/// <summary>A network was made (spec 09 section 3).</summary>
internal sealed record NetworkCreated(ushort Network, string Name, string JoinRule, bool Enterprise, uint Owner, DateTimeOffset At) : RegistryEvent;

/// <summary>A node joined a network (spec 09 section 3).</summary>
internal sealed record NetworkJoined(ushort Network, uint Node, string Role) : RegistryEvent;

/// <summary>Source-generated JSON of events.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(RegistryEvent))]
[JsonSerializable(typeof(RegistryEvent[]))]
internal sealed partial class RegistryEventContext : JsonSerializerContext;
