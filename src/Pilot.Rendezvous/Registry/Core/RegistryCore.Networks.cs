using Pilot.Protocol;
using Pilot.Protocol.Registry;

namespace Pilot.Rendezvous.Registry;

// The messages of spec 09, until networks are managed here: who may not ask is told so as the reference tells it, reads tell what is known, and the rest is
// refused with a code of its own.
internal sealed partial class RegistryCore
{
    private static readonly string[] AdminOnly =
    [
        "create_network", "set_network_enterprise", "get_audit_log", "set_webhook", "get_webhook", "get_webhook_dlq", "set_identity_webhook", "set_external_id", "get_identity",
        "provision_network", "set_audit_export", "get_audit_export", "get_idp_config", "set_idp_config", "get_provision_status", "directory_sync", "directory_status", "validate_token",
    ];

    private static readonly string[] RoleOnly =
        ["delete_network", "rename_network", "kick_member", "promote_member", "demote_member", "transfer_ownership", "set_network_policy"];

    private readonly HashSet<string> _networkTypes = new(StringComparer.Ordinal);

    private void AddNetworkTypes()
    {
        HashSet<string> before = [.. _handlers.Keys];
        foreach (string type in AdminOnly)
        {
            _handlers[type] = turn => CheckAdmin(turn) ?? Unsupported(turn);
        }

        foreach (string type in RoleOnly)
        {
            _handlers[type] = turn => FindNetwork(turn, out _) ?? (turn.Admin == AdminState.Valid ? Unsupported(turn) : Refusal.Unauthorized("a role in the network is needed"));
        }

        _handlers["join_network"] = turn => OfMember(turn, "cannot join the backbone network");
        _handlers["leave_network"] = turn => OfMember(turn, "cannot leave the backbone network");
        _handlers["invite_to_network"] = turn => OfSigner(turn, "inviter_id") ?? FindNetwork(turn, out _) ?? Unsupported(turn);
        _handlers["respond_invite"] = turn => FindNetwork(turn, out _) ?? OfSigner(turn, "node_id") ?? Unsupported(turn);
        _handlers["set_key_expiry"] = turn => OfSigner(turn, "node_id") ?? new Refusal("enterprise feature: key expiry requires enterprise network membership", RegistryErrorCode.Unsupported);
        _handlers["poll_invites"] = turn => (object?)OfSigner(turn, "node_id") ?? new PollInvitesResponse();
        _handlers["get_member_role"] = GetMemberRole;
        _handlers["get_network_policy"] = turn =>
            (object?)FindNetwork(turn, out ushort network) ?? new NetworkPolicyResponse { NetworkId = network };
        _handlers["get_key_info"] = GetKeyInfo;
        _networkTypes.UnionWith(_handlers.Keys.Except(before));
    }

    private static Refusal Unsupported(Turn turn) => new($"cannot {turn.Request.Type}: this server does not manage networks", RegistryErrorCode.Unsupported);

    // Without a configured token every such request fails alike; a wrong one is named (spec 03 section 4.3).
    private static Refusal? CheckAdmin(Turn turn) => turn.Admin switch
    {
        AdminState.Valid => null,
        AdminState.Wrong => Refusal.Unauthorized("invalid admin token"),
        AdminState.Disabled => Refusal.Unauthorized("network creation is disabled"),
        _ => Refusal.Unauthorized("admin token missing"),
    };

    private Refusal? FindNetwork(Turn turn, out ushort id)
    {
        id = turn.Request.GetUInt16("network_id");
        return id == 0 || State.Networks.ContainsKey(id) ? null : new Refusal($"network {id}: network not found", RegistryErrorCode.NotFound);
    }

    private Refusal? OfSigner(Turn turn, string member)
    {
        uint id = turn.Request.GetUInt32(member);
        return State.TryGetLive(id, out NodeRecord? node) ? CheckSigned(turn, node, adminMay: true) : Refusal.NodeNotFound(id);
    }

    private Refusal OfMember(Turn turn, string backbone)
    {
        if (turn.Request.GetUInt16("network_id") == 0)
        {
            return Refusal.Invalid(backbone);
        }

        return !State.TryGetLive(turn.NodeId, out NodeRecord? node)
            ? new Refusal($"node {turn.NodeId} not registered", RegistryErrorCode.NotFound)
            : CheckSigned(turn, node, adminMay: true) ?? FindNetwork(turn, out _) ?? Unsupported(turn);
    }

    private object GetMemberRole(Turn turn)
    {
        if (FindNetwork(turn, out ushort id) is { } refusal)
        {
            return refusal;
        }

        uint target = turn.Request.GetUInt32("target_node_id");
        bool mayAsk = !Has(RegistryPolicy.MemberPrivacy) || turn.Admin == AdminState.Valid
            || (ActiveNode(turn.Connection) is { } viewer && State.Networks.TryGetValue(id, out NetworkRecord? of) && of.Members.Contains(viewer.Id));
        return mayAsk && State.Networks.TryGetValue(id, out NetworkRecord? network) && network.Members.Contains(target)
            ? new MemberRoleResponse { NetworkId = id, TargetNodeId = target, Role = network.Roles.GetValueOrDefault(target, "member") }
            : new Refusal($"node {target} is not a member of network {id}", RegistryErrorCode.NotFound);
    }

    private object GetKeyInfo(Turn turn)
    {
        if (!State.TryGetLive(turn.NodeId, out NodeRecord? node))
        {
            return Refusal.NodeNotFound(turn.NodeId);
        }

        return new KeyInfoResponse
        {
            NodeId = node.Id,
            CreatedAt = Rfc3339(node.KeyCreated),
            RotateCount = node.KeyRotations,
            KeyAgeDays = (long)(turn.Now - (node.KeyRotated ?? node.KeyCreated)).TotalDays,
            RotatedAt = node.KeyRotated is { } rotated ? Rfc3339(rotated) : null,
            ExpiresAt = node.KeyExpires is { } expires ? Rfc3339(expires) : null,
        };
    }
}
