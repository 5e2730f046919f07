namespace Pilot.Engine.Trust;

/// <summary>Something that the host is to do for the <see cref="TrustBook"/>, in the order in which it is handed out.</summary>
public abstract record TrustEffect
{
    private TrustEffect()
    {
    }

    /// <summary>
    /// Deliver one message to port 444 of the peer: one stream, one segment, FIN when it is acknowledged.
    /// Answer with <see cref="TrustBook.CompleteDirect"/>.
    /// </summary>
    /// <param name="Token">To be given back.</param>
    /// <param name="NodeId">The peer.</param>
    /// <param name="Message">The encoded message.</param>
    /// <param name="ExistingTunnelOnly">Only if a tunnel with the peer stands; else answer "not delivered" at once.</param>
    public sealed record SendDirect(long Token, uint NodeId, byte[] Message, bool ExistingTunnelOnly) : TrustEffect;

    /// <summary>
    /// Send <c>request_handshake</c> (spec 05 section 8): by id, or by hostname when <paramref name="NodeId"/> is 0.
    /// Answer with <see cref="TrustBook.CompleteRegistry"/>.
    /// </summary>
    public sealed record RequestHandshake(long Token, uint NodeId, string Hostname, string Justification) : TrustEffect;

    /// <summary>Send <c>respond_handshake</c>. Answer with <see cref="TrustBook.CompleteRegistry"/>.</summary>
    public sealed record RespondHandshake(long Token, uint NodeId, bool Accept) : TrustEffect;

    /// <summary>Send <c>report_trust</c>. Answer with <see cref="TrustBook.CompleteRegistry"/>.</summary>
    public sealed record ReportTrust(long Token, uint NodeId) : TrustEffect;

    /// <summary>Send <c>revoke_trust</c>. Answer with <see cref="TrustBook.CompleteRegistry"/>.</summary>
    public sealed record RevokeTrust(long Token, uint NodeId) : TrustEffect;

    /// <summary>Ask the registry's <c>lookup</c> for key, networks and hostname. Answer with <see cref="TrustBook.CompleteLookup"/>. One is in flight per peer.</summary>
    public sealed record LookupKey(uint NodeId) : TrustEffect;

    /// <summary>Write <see cref="TrustBook.FormatTrustFile"/> and <see cref="TrustBook.FormatExtensionFile"/> to disk, each atomically.</summary>
    public sealed record Save : TrustEffect;

    /// <summary>The gates' view changed: hand <see cref="TrustBook.Snapshot"/> to the node.</summary>
    public sealed record TrustChanged : TrustEffect;

    /// <summary>The peer lost our trust: reset every connection with it, drop its queued packets and its tunnel (spec 05 section 10.3).</summary>
    public sealed record PeerRevoked(uint NodeId) : TrustEffect;

    /// <summary>A trust action happened: poll the registry fast for a while (<see cref="PollSchedule.TrustAction"/>).</summary>
    public sealed record PollSoon : TrustEffect;

    /// <summary>Tell webhooks, subscribers and the log (spec 05 section 13.2).</summary>
    public sealed record Raise(TrustEvent Event) : TrustEffect;

    /// <summary>A command is answered.</summary>
    public sealed record CommandFinished(long Token, TrustCommandResult Result) : TrustEffect;
}

/// <summary>An event of spec 05 section 13.2.</summary>
/// <param name="Name">One of <see cref="TrustEventNames"/>.</param>
/// <param name="PeerNodeId">The peer concerned.</param>
/// <param name="Justification">For received and pending requests.</param>
/// <param name="Reason">For automatic approvals and rejections.</param>
/// <param name="IsRelayed">Whether it came through the registry: shown as <c>"via":"registry"</c>.</param>
public sealed record TrustEvent(string Name, uint PeerNodeId, string? Justification = null, string? Reason = null, bool IsRelayed = false);

/// <summary>Names of <see cref="TrustEvent"/> (spec 05 section 13.2).</summary>
public static class TrustEventNames
{
    /// <summary>A request passed the checks.</summary>
    public const string Received = "handshake.received";

    /// <summary>A request waits for the user.</summary>
    public const string Pending = "handshake.pending";

    /// <summary>A request led to trust without the user; the reason says why.</summary>
    public const string AutoApproved = "handshake.auto_approved";

    /// <summary>The user approved.</summary>
    public const string Approved = "handshake.approved";

    /// <summary>The user rejected, or the peer rejected our request (then with reason <c>by peer</c> or the peer's text).</summary>
    public const string Rejected = "handshake.rejected";

    /// <summary>Both sides agree now.</summary>
    public const string Established = "trust.established";

    /// <summary>The user revoked.</summary>
    public const string Revoked = "trust.revoked";

    /// <summary>The peer revoked.</summary>
    public const string RevokedByPeer = "trust.revoked_by_peer";

    /// <summary>The registry names another key than the pinned one; trust is suspended.</summary>
    public const string KeyChanged = "trust.key_changed";
}

/// <summary>What a command did.</summary>
public enum TrustStatus
{
    /// <summary>Nothing: see the error.</summary>
    Failed,

    /// <summary>A request is on its way.</summary>
    Sent,

    /// <summary>The peer is trusted now.</summary>
    Approved,

    /// <summary>The peer was trusted before.</summary>
    AlreadyTrusted,

    /// <summary>The request was rejected.</summary>
    Rejected,

    /// <summary>Trust was revoked.</summary>
    Revoked,

    /// <summary>The own request was withdrawn.</summary>
    Withdrawn,
}

/// <summary>How far a message got when the command was answered (spec 05 section 7).</summary>
public enum TrustDelivery
{
    /// <summary>There was nothing to deliver.</summary>
    None,

    /// <summary>The peer acknowledged it.</summary>
    Direct,

    /// <summary>The registry took it.</summary>
    Relayed,

    /// <summary>Not yet confirmed; it goes on being tried.</summary>
    Pending,
}

/// <summary>Kinds of failure of a trust command.</summary>
public enum TrustError
{
    /// <summary>No failure.</summary>
    None,

    /// <summary>The command makes no sense: self, a reserved id, a text that is too long.</summary>
    InvalidArgument,

    /// <summary>Nothing of that kind is known about the peer.</summary>
    NotFound,

    /// <summary>The peer was not trusted.</summary>
    NotTrusted,

    /// <summary>A table that only local commands fill is full.</summary>
    TooMany,

    /// <summary>The registry refused; the message is its text.</summary>
    Registry,
}

/// <summary>The answer to a trust command.</summary>
/// <param name="Status">What was done.</param>
/// <param name="NodeId">The peer; 0 while only its hostname is known.</param>
/// <param name="Hostname">The hostname given, or empty.</param>
/// <param name="Delivery">How far the message got.</param>
/// <param name="Error">Kind of failure.</param>
/// <param name="Message">Text of the failure, in the words of spec 08 section 5.</param>
public sealed record TrustCommandResult(
    TrustStatus Status,
    uint NodeId,
    string Hostname = "",
    TrustDelivery Delivery = TrustDelivery.None,
    TrustError Error = TrustError.None,
    string? Message = null);
