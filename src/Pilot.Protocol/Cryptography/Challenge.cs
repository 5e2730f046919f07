namespace Pilot.Protocol;

/// <summary>
/// The ASCII texts that nodes sign, ids in decimal without leading zeros (spec 03 section 4.2, 05 section 4).
/// Sign with <see cref="Identity.SignText"/>, verify with <see cref="Identity.VerifyText"/>.
/// </summary>
public static class Challenge
{
    /// <summary>Direct trust messages of all types, and <c>request_handshake</c>.</summary>
    public static string Handshake(uint from, uint to) => $"handshake:{from}:{to}";

    /// <summary><c>request_handshake</c> by name, an extension (spec 03 section 6.5).</summary>
    public static string HandshakeByName(uint from, string toHostname) => $"handshake_name:{from}:{toHostname}";

    /// <summary><c>respond_handshake</c>, accept and reject alike.</summary>
    public static string Respond(uint responder, uint requester) => $"respond:{responder}:{requester}";

    /// <summary><c>report_trust</c>.</summary>
    public static string ReportTrust(uint self, uint peer) => $"report_trust:{self}:{peer}";

    /// <summary><c>revoke_trust</c>.</summary>
    public static string RevokeTrust(uint self, uint peer) => $"revoke_trust:{self}:{peer}";

    /// <summary><c>poll_handshakes</c>.</summary>
    public static string PollHandshakes(uint self) => $"poll_handshakes:{self}";

    /// <summary><c>resolve</c>: the requester stands first.</summary>
    public static string Resolve(uint requester, uint target) => $"resolve:{requester}:{target}";

    /// <summary><c>resolve_hostname</c>, an extension (spec 03 section 6.1).</summary>
    public static string ResolveHostname(uint requester, string hostname) => $"resolve_hostname:{requester}:{hostname}";

    /// <summary><c>heartbeat</c>.</summary>
    public static string Heartbeat(uint self) => $"heartbeat:{self}";

    /// <summary><c>punch</c>.</summary>
    public static string Punch(uint nodeA, uint nodeB) => $"punch:{nodeA}:{nodeB}";

    /// <summary><c>rotate_key</c>, signed by the old key.</summary>
    public static string Rotate(uint self) => $"rotate:{self}";

    /// <summary><c>set_hostname</c>.</summary>
    public static string SetHostname(uint self) => $"set_hostname:{self}";

    /// <summary><c>set_visibility</c>.</summary>
    public static string SetVisibility(uint self) => $"set_visibility:{self}";

    /// <summary><c>set_tags</c>.</summary>
    public static string SetTags(uint self) => $"set_tags:{self}";

    /// <summary><c>set_task_exec</c>.</summary>
    public static string SetTaskExec(uint self) => $"set_task_exec:{self}";

    /// <summary><c>deregister</c>.</summary>
    public static string Deregister(uint self) => $"deregister:{self}";

    /// <summary><c>set_key_expiry</c> (chapter 09).</summary>
    public static string SetKeyExpiry(uint node) => $"set_key_expiry:{node}";

    /// <summary><c>join_network</c> (chapter 09).</summary>
    public static string JoinNetwork(uint node, ushort network) => $"join_network:{node}:{network}";

    /// <summary><c>leave_network</c> (chapter 09).</summary>
    public static string LeaveNetwork(uint node, ushort network) => $"leave_network:{node}:{network}";

    /// <summary><c>invite_to_network</c> (chapter 09).</summary>
    public static string Invite(uint inviter, ushort network, uint target) => $"invite:{inviter}:{network}:{target}";

    /// <summary><c>poll_invites</c> (chapter 09).</summary>
    public static string PollInvites(uint node) => $"poll_invites:{node}";

    /// <summary><c>respond_invite</c> (chapter 09).</summary>
    public static string RespondInvite(uint node, ushort network) => $"respond_invite:{node}:{network}";
}
