using System.Text.Json.Nodes;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Tests.Registry;

/// <summary>Who learns what (spec 03 section 7), under the strict policy.</summary>
public sealed class PrivacyTests
{
    private readonly RegistrySession _session = new();
    private readonly TestNode _alice;
    private readonly TestNode _bob;
    private readonly TestNode _stranger;

    public PrivacyTests()
    {
        _alice = _session.Register("192.0.2.1", "alice");
        _bob = _session.Register("192.0.2.2", "bob");
        _stranger = _session.Register("203.0.113.3", "mallory");
        foreach (TestNode node in (TestNode[])[_alice, _bob, _stranger])
        {
            Assert.True(node.Heartbeat().IsOk());
        }

        _bob.Signed($"set_tags:{_bob.Id}", new JsonObject { ["type"] = "set_tags", ["node_id"] = _bob.Id, ["tags"] = new JsonArray("ml") });
    }

    [Fact]
    public void Whose_a_taken_private_name_is_is_told_to_the_entitled_only()
    {
        Assert.Equal("hostname \"bob\" already in use", _stranger.SetHostname("bob").Error());
        _bob.Report(_alice.Id);
        Assert.Equal($"hostname \"bob\" already in use by node {_bob.Id}", _alice.SetHostname("bob").Error());
        _bob.SetVisibility(true);
        Assert.Equal($"hostname \"bob\" already in use by node {_bob.Id}", _stranger.SetHostname("bob").Error());
    }

    [Fact]
    public void Lookup_of_a_private_node_shows_attributes_to_the_entitled_only()
    {
        JsonObject seen = _stranger.Lookup(_bob.Id);
        Assert.True(seen.IsOk());
        Assert.NotNull(seen["public_key"]);
        Assert.Null(seen["hostname"]);
        Assert.Null(seen["tags"]);
        Assert.Null(seen["real_addr"]);
        Assert.Equal("bob", _bob.Lookup(_bob.Id)["hostname"]!.GetValue<string>());
        _bob.Report(_alice.Id);
        Assert.Equal("bob", _alice.Lookup(_bob.Id)["hostname"]!.GetValue<string>());
        Assert.Null(_alice.Lookup(_bob.Id)["real_addr"]);
        _bob.SetVisibility(true);
        JsonObject open = _stranger.Lookup(_bob.Id);
        Assert.Equal("bob", open["hostname"]!.GetValue<string>());
        Assert.Equal("192.0.2.2:4000", open["real_addr"]!.GetValue<string>());
    }

    [Fact]
    public void Networks_of_a_private_node_show_only_to_members()
    {
        _session.Machine.Core.Apply(new NetworkCreated(5, "lab", "open", false, _bob.Id, _session.Now));
        Assert.Equal("[0]", _stranger.Lookup(_bob.Id)["networks"]!.ToJsonString());
        _session.Machine.Core.Apply(new NetworkJoined(5, _alice.Id, "member"));
        Assert.Equal("[0,5]", _alice.Lookup(_bob.Id)["networks"]!.ToJsonString());
        var list = new JsonObject { ["type"] = "list_nodes", ["network_id"] = 5 };
        Assert.Equal(2, _alice.Send((JsonObject)list.DeepClone())["nodes"]!.AsArray().Count);
        Assert.Equal("request failed", _stranger.Send(list).Error());
    }

    [Fact]
    public void Hostname_is_found_by_proven_requesters_only()
    {
        const string notFound = "hostname \"bob\" not found";
        Assert.Equal(notFound, _alice.Find("bob").Error());
        _bob.Report(_alice.Id);
        Assert.True(_alice.Find("bob").IsOk());
        // As a reference daemon asks: without its id, on the connection of its heartbeats.
        Assert.Equal(_bob.Id, _alice.Find("bob", claim: false)["node_id"]!.GetValue<uint>());
        // A claimed id of a trusted node, on another's connection and on one that proved nothing.
        var claim = new JsonObject { ["type"] = "resolve_hostname", ["hostname"] = "bob", ["requester_id"] = _alice.Id };
        Assert.Equal(notFound, _stranger.Send((JsonObject)claim.DeepClone()).Error());
        Assert.Equal(notFound, _session.Send("198.51.100.9", (JsonObject)claim.DeepClone()).Error());
        claim["signature"] = _alice.Identity.SignText($"resolve_hostname:{_alice.Id}:bob");
        Assert.True(_session.Send("198.51.100.9", claim).IsOk());
        Assert.True(_bob.Find("bob").IsOk());
        Assert.Equal("hostname \"nobody\" not found", _alice.Find("nobody").Error());
    }

    [Fact]
    public void Connection_of_a_replaced_key_is_nobody()
    {
        _bob.Report(_alice.Id);
        Assert.True(_alice.Find("bob").IsOk());
        _session.Machine.Core.Apply(new KeyRotated(_alice.Id, PublicKey.Read(_session.NewIdentity().PublicKey), null, _session.Now));
        Assert.False(_alice.Find("bob").IsOk());
    }

    [Fact]
    public void Resolve_needs_consent_of_the_target()
    {
        Assert.Equal("private", _alice.Resolve(_bob.Id).Code());
        _alice.Report(_bob.Id);
        Assert.Equal("request failed", _alice.Resolve(_bob.Id).Error());
        Assert.True(_bob.Resolve(_alice.Id).IsOk());
        _bob.Report(_alice.Id);
        Assert.Equal("192.0.2.2:4000", _alice.Resolve(_bob.Id)["real_addr"]!.GetValue<string>());
    }

    [Fact]
    public void Lan_addresses_go_to_neighbours_and_friends_only()
    {
        _bob.Register("", "", 4000, "10.1.1.1:4000");
        _bob.SetVisibility(true);
        Assert.Null(_stranger.Resolve(_bob.Id)["lan_addrs"]);
        TestNode neighbour = _session.Register("192.0.2.2");
        Assert.NotNull(neighbour.Resolve(_bob.Id)["lan_addrs"]);
        _bob.Report(_stranger.Id);
        Assert.NotNull(_stranger.Resolve(_bob.Id)["lan_addrs"]);
    }

    [Fact]
    public void Punch_follows_the_rule_of_resolve()
    {
        JsonObject Punch() => _alice.Signed(
            $"punch:{_alice.Id}:{_bob.Id}",
            new JsonObject { ["type"] = "punch", ["requester_id"] = _alice.Id, ["node_a"] = _alice.Id, ["node_b"] = _bob.Id });

        Assert.Equal("request failed", Punch().Error());
        _bob.Report(_alice.Id);
        Assert.Equal("192.0.2.2:4000", Punch()["node_b_addr"]!.GetValue<string>());
    }

    [Fact]
    public void Backbone_list_needs_the_admin_token_and_comes_in_pages()
    {
        Assert.Equal("request failed", _alice.Send(new JsonObject { ["type"] = "list_nodes", ["network_id"] = 0 }).Error());
        var seen = new List<uint>();
        string? cursor = null;
        do
        {
            var request = new JsonObject { ["type"] = "list_nodes", ["admin_token"] = RegistrySession.AdminToken, ["limit"] = 2 };
            if (cursor is not null)
            {
                request["cursor"] = cursor;
            }

            JsonObject page = _alice.Send(request);
            seen.AddRange(page["nodes"]!.AsArray().Select(n => n!["node_id"]!.GetValue<uint>()));
            cursor = page["next_cursor"]?.GetValue<string>();
        }
        while (cursor is not null);
        Assert.Equal([_alice.Id, _bob.Id, _stranger.Id], seen);
    }

    [Fact]
    public void A_page_goes_on_where_the_node_of_the_cursor_has_left()
    {
        JsonObject List(string cursor) => _alice.Send(new JsonObject { ["type"] = "list_nodes", ["admin_token"] = RegistrySession.AdminToken, ["limit"] = 1, ["cursor"] = cursor });
        string first = List("0")["next_cursor"]!.GetValue<string>();
        Assert.Equal(_alice.Id.ToString(System.Globalization.CultureInfo.InvariantCulture), first);
        Assert.True(_alice.Deregister().IsOk());
        Assert.Equal(_bob.Id, List(first)["nodes"]![0]!["node_id"]!.GetValue<uint>());
        Assert.Empty(List(uint.MaxValue.ToString(System.Globalization.CultureInfo.InvariantCulture))["nodes"]!.AsArray());
    }

    [Fact]
    public void Text_of_the_client_is_never_echoed_at_length()
    {
        // '<' is escaped to six bytes in an answer, so a full frame of it could come back six times as long.
        string name = new('<', 60_000);
        string raw = $"{{\"type\":\"resolve_hostname\",\"hostname\":\"{name}\"}}";
        Assert.InRange(_session.SendText(_session.Connection("203.0.113.3"), raw)!.Length, 10, 600);
        raw = $"{{\"type\":\"set_tags\",\"node_id\":1,\"tags\":[\"{name}\"]}}";
        Assert.InRange(_session.SendText(_session.Connection("203.0.113.3"), raw)!.Length, 10, 600);
    }

    [Fact]
    public void Long_lists_stay_below_what_a_reference_client_accepts()
    {
        var session = new RegistrySession(limits: new RegistryLimits { RegistrationsPerMinute = 0 });
        TestNode? first = null;
        for (int i = 0; i < 200; i++)
        {
            first ??= session.Register("192.0.2.1", $"host-with-a-rather-long-name-{i}");
            session.Register("192.0.2.1", $"another-host-with-a-long-name-{i}");
        }

        JsonObject page = first!.Send(new JsonObject { ["type"] = "list_nodes", ["admin_token"] = RegistrySession.AdminToken });
        Assert.InRange(page["nodes"]!.AsArray().Count, 50, 199);
        Assert.NotNull(page["next_cursor"]);
    }
}
