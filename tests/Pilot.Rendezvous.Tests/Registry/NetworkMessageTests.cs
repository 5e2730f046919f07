using System.Text.Json.Nodes;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Tests.Registry;

/// <summary>The messages of spec 09 before networks are managed here: known types, answers that say so.</summary>
public sealed class NetworkMessageTests
{
    private readonly RegistrySession _session = new();

    public static TheoryData<string> Types { get; } =
    [
        "create_network", "join_network", "leave_network", "delete_network", "rename_network", "set_network_enterprise", "invite_to_network", "poll_invites", "respond_invite",
        "kick_member", "promote_member", "demote_member", "transfer_ownership", "get_member_role", "set_network_policy", "get_network_policy", "set_key_expiry", "get_key_info",
        "get_audit_log", "set_webhook", "get_webhook", "get_webhook_dlq", "set_identity_webhook", "set_external_id", "get_identity", "provision_network", "set_audit_export",
        "get_audit_export", "get_idp_config", "set_idp_config", "get_provision_status", "directory_sync", "directory_status", "validate_token",
    ];

    [Theory]
    [MemberData(nameof(Types))]
    public void Every_type_is_known_and_a_stranger_changes_nothing(string type)
    {
        TestNode node = _session.Register("192.0.2.1");
        int events = _session.Events.Count;
        JsonObject answer = _session.Send("198.51.100.1", new JsonObject { ["type"] = type, ["node_id"] = node.Id, ["network_id"] = 1 });
        Assert.NotEqual("unknown_type", answer.Code());
        Assert.True(answer.IsOk() ? type is "get_key_info" : answer.Code() is "unauthorized" or "not_found", answer.ToJsonString());
        Assert.Equal(events, _session.Events.Count);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void The_administrator_is_told_what_is_not_done_here(string type)
    {
        TestNode node = _session.Register("192.0.2.1");
        _session.Machine.Core.Apply(new NetworkCreated(1, "lab", "open", false, node.Id, _session.Now));
        JsonObject answer = _session.Send("192.0.2.1", new JsonObject
        {
            ["type"] = type, ["node_id"] = node.Id, ["inviter_id"] = node.Id, ["target_node_id"] = node.Id, ["network_id"] = 1, ["admin_token"] = RegistrySession.AdminToken,
        });
        Assert.True(answer.IsOk() ? type is "get_key_info" or "poll_invites" or "get_member_role" or "get_network_policy" : answer.Code() == "unsupported", answer.ToJsonString());
        Assert.NotEqual(answer.IsOk(), answer.Error().Length > 0 && answer.Error() != "request failed");
    }

    [Fact]
    public void Reads_have_the_members_of_the_reference()
    {
        TestNode node = _session.Register("192.0.2.1");
        _session.Machine.Core.Apply(new NetworkCreated(3, "lab", "open", false, node.Id, _session.Now));
        JsonObject key = _session.Send("192.0.2.9", new JsonObject { ["type"] = "get_key_info", ["node_id"] = node.Id });
        Assert.Equal(["created_at", "key_age_days", "node_id", "rotate_count", "type"], key.Select(m => m.Key).Order(StringComparer.Ordinal));
        JsonObject invites = node.Signed($"poll_invites:{node.Id}", new JsonObject { ["type"] = "poll_invites", ["node_id"] = node.Id });
        Assert.Equal("{\"invites\":[],\"type\":\"poll_invites_ok\"}", invites.ToJsonString());
        JsonObject role = node.Send(new JsonObject { ["type"] = "get_member_role", ["network_id"] = 3, ["target_node_id"] = node.Id });
        Assert.Equal("owner", (string?)role["role"]);
        Assert.Contains("is not a member", _session.Send("192.0.2.9", new JsonObject { ["type"] = "get_member_role", ["network_id"] = 3, ["target_node_id"] = node.Id }).Error(), StringComparison.Ordinal);
        JsonObject policy = node.Send(new JsonObject { ["type"] = "get_network_policy", ["network_id"] = 3 });
        Assert.Equal("{\"allowed_ports\":[],\"description\":\"\",\"max_members\":0,\"network_id\":3,\"type\":\"get_network_policy_ok\"}", policy.ToJsonString());
    }

    [Fact]
    public void Refusals_have_the_words_of_the_reference()
    {
        TestNode node = _session.Register("192.0.2.1");
        JsonObject Join(int network) => node.Signed($"join_network:{node.Id}:{network}", new JsonObject { ["type"] = "join_network", ["node_id"] = node.Id, ["network_id"] = network });
        Assert.Equal("cannot join the backbone network", Join(0).Error());
        Assert.Equal("network 5: network not found", Join(5).Error());
        Assert.Equal("invalid admin token", node.Send(new JsonObject { ["type"] = "create_network", ["admin_token"] = "wrong" }).Error());
        Assert.Equal("request failed", node.Send(new JsonObject { ["type"] = "create_network" }).Error());
    }
}
