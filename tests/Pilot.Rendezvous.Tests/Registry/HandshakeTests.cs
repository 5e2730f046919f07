using System.Text.Json.Nodes;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Tests.Registry;

/// <summary>The relayed handshake and its inbox (spec 03 section 6.5).</summary>
public sealed class HandshakeTests
{
    private readonly RegistrySession _session = new(limits: new RegistryLimits { RegistrationsPerMinute = 0, NamedHandshakesPerMinute = 1000 });
    private readonly TestNode _a;
    private readonly TestNode _b;

    public HandshakeTests()
    {
        _a = _session.Register("192.0.2.1", "alice");
        _b = _session.Register("192.0.2.2", "bob");
    }

    private static JsonArray Requests(JsonObject poll) => poll["requests"]!.AsArray();

    private static JsonArray Responses(JsonObject poll) => poll["responses"]!.AsArray();

    [Fact]
    public void Message_is_delivered_once_while_the_connection_lasts()
    {
        _a.Ask(_b.Id, "let me in");
        JsonObject poll = _b.Poll();
        Assert.Equal("let me in", Requests(poll)[0]!["justification"]!.GetValue<string>());
        Assert.Equal("alice", Requests(poll)[0]!["from_hostname"]!.GetValue<string>());
        Assert.Empty(Requests(_b.Poll()));
        Assert.Null(_session.State.InboxOf(_b.Id));
    }

    [Fact]
    public void Message_lost_with_its_connection_is_delivered_again()
    {
        _a.Ask(_b.Id);
        _b.Poll();
        _session.Close("192.0.2.2");
        Assert.Single(Requests(_b.Poll()));
        Assert.Empty(Requests(_b.Poll()));
    }

    [Fact]
    public void Message_is_delivered_again_while_the_old_connection_hangs()
    {
        _a.Ask(_b.Id);
        _b.Poll();
        _b.Address = "192.0.2.99";
        _session.Advance(TimeSpan.FromSeconds(30));
        Assert.Single(Requests(_b.Poll()));
    }

    [Fact]
    public void Copy_is_not_delivered_again_after_its_lifetime()
    {
        _a.Ask(_b.Id);
        _b.Poll();
        _session.Advance(TimeSpan.FromSeconds(61));
        _session.Close("192.0.2.2");
        _b.Heartbeat();
        Assert.Empty(Requests(_b.Poll()));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Answered_request_does_not_come_back(bool accept)
    {
        _a.Ask(_b.Id);
        _b.Poll();
        _b.Respond(_a.Id, accept);
        _session.Close("192.0.2.2");
        Assert.Empty(Requests(_b.Poll()));
        Assert.Equal(accept, Responses(_a.Poll())[0]!["accept"]!.GetValue<bool>());
    }

    [Fact]
    public void Unread_message_survives_silence_and_expires_after_its_lifetime()
    {
        _a.Ask(_b.Id);
        _session.Advance(TimeSpan.FromDays(29));
        _b.Register();
        _session.Advance(TimeSpan.FromDays(2));
        _b.Register();
        Assert.Empty(Requests(_b.Poll()));
    }

    [Fact]
    public void Second_request_waits_until_the_first_is_read()
    {
        Assert.True(_a.Ask(_b.Id).IsOk());
        Assert.Equal($"handshake request already pending from node {_a.Id}", _a.Ask(_b.Id).Error());
        _b.Poll();
        Assert.True(_a.Ask(_b.Id, "again").IsOk());
        Assert.Equal("again", Requests(_b.Poll())[0]!["justification"]!.GetValue<string>());
    }

    [Fact]
    public void Inboxes_are_capped_and_the_latest_response_counts()
    {
        for (int i = 0; i < 100; i++)
        {
            Assert.True(_session.Register("198.51.100.1").Ask(_b.Id).IsOk());
        }

        Assert.Equal("full", _session.Register("198.51.100.1").Ask(_b.Id).Code());
        for (int i = 0; i < 110; i++)
        {
            _session.Register("198.51.100.1").Respond(_a.Id, accept: false);
        }

        TestNode last = _session.Register("198.51.100.1");
        _a.Ask(last.Id);
        last.Respond(_a.Id, accept: false);
        last.Respond(_a.Id, accept: true);
        JsonArray responses = Responses(_a.Poll());
        Assert.Equal(100, responses.Count);
        Assert.Single(responses, r => r!["from_node_id"]!.GetValue<uint>() == last.Id && r["accept"]!.GetValue<bool>());
    }

    [Fact]
    public void Justification_is_cut_between_characters()
    {
        _a.Ask(_b.Id, new string('a', 1023) + "é" + new string('b', 5000));
        Assert.Equal(new string('a', 1023), Requests(_b.Poll())[0]!["justification"]!.GetValue<string>());
    }

    [Fact]
    public void Poll_never_exceeds_the_frame_and_leaves_the_rest_queued()
    {
        string worst = string.Concat(Enumerable.Repeat("\u0001", 1024));
        for (int i = 0; i < 60; i++)
        {
            _session.Register("198.51.100.1").Ask(_b.Id, worst);
        }

        int total = 0;
        for (int i = 0; i < 60 && total < 60; i++)
        {
            int count = Requests(_b.Poll()).Count;
            Assert.InRange(count, 1, 10);
            total += count;
        }

        Assert.Equal(60, total);
        Assert.Empty(Requests(_b.Poll()));
    }

    [Fact]
    public void Signature_failures_are_masked()
    {
        var request = new JsonObject { ["type"] = "request_handshake", ["from_node_id"] = _a.Id, ["to_node_id"] = _b.Id };
        Assert.Equal("request failed", _a.Send((JsonObject)request.DeepClone()).Error());
        Assert.Equal("request failed", _b.Signed($"handshake:{_a.Id}:{_b.Id}", (JsonObject)request.DeepClone()).Error());
        Assert.Equal("request failed", _a.Ask(_a.Id).Error());
        Assert.Empty(Requests(_b.Poll()));
    }

    [Fact]
    public void Handshake_by_name_reaches_its_target_and_opens_both_directions_on_accept()
    {
        Assert.Equal("delivered", _a.AskByName("bob", "by name")["status"]!.GetValue<string>());
        JsonNode request = Requests(_b.Poll())[0]!;
        Assert.Equal("alice", request["from_hostname"]!.GetValue<string>());
        Assert.Equal("by name", request["justification"]!.GetValue<string>());
        _b.Respond(_a.Id, accept: true);
        JsonNode response = Responses(_a.Poll())[0]!;
        Assert.True(response["accept"]!.GetValue<bool>());
        Assert.Equal("bob", response["from_hostname"]!.GetValue<string>());
        Assert.True(_a.Resolve(_b.Id).IsOk());
        Assert.True(_b.Resolve(_a.Id).IsOk());
        Assert.True(_a.Find("bob").IsOk());
    }

    [Fact]
    public void Handshake_by_name_tells_nothing_apart()
    {
        // Known, unknown, own, duplicate, full: the same bytes.
        TestNode full = _session.Register("192.0.2.3", "crowded");
        for (int i = 0; i < 101; i++)
        {
            _session.Register("198.51.100.1").AskByName("crowded");
        }

        Assert.Equal(100, _session.State.InboxOf(full.Id)!.Requests.Count);
        string known = _a.AskByName("bob").ToJsonString();
        Assert.Equal(known, _a.AskByName("bob").ToJsonString());
        Assert.Equal(known, _a.AskByName("nobody").ToJsonString());
        Assert.Equal(known, _a.AskByName("alice").ToJsonString());
        Assert.Equal(known, _a.AskByName("crowded").ToJsonString());
    }

    [Fact]
    public void No_other_message_shows_whom_a_name_belongs_to()
    {
        _a.AskByName("bob");
        Assert.False(_a.CheckTrust(_a.Id, _b.Id)["trusted"]!.GetValue<bool>());
        Assert.Equal("request failed", _a.Revoke(_b.Id).Error());
        Assert.Null(_a.Lookup(_b.Id)["hostname"]);
        Assert.False(_a.Find("bob").IsOk());
        // A request by id does not meet the one by name.
        Assert.True(_a.Ask(_b.Id).IsOk());
        Assert.Equal(2, Requests(_b.Poll()).Count);
    }

    [Fact]
    public void Rejected_request_by_name_leaves_no_trace_at_the_requester()
    {
        _a.AskByName("bob");
        _b.Poll();
        Assert.True(_b.Respond(_a.Id, accept: false).IsOk());
        Assert.Empty(Responses(_a.Poll()));
    }

    [Fact]
    public void Handshakes_by_name_are_limited_whether_the_name_exists_or_not()
    {
        var session = new RegistrySession(limits: new RegistryLimits { NamedHandshakesPerMinute = 3 });
        TestNode a = session.Register("192.0.2.1");
        TestNode b = session.Register("192.0.2.2");
        session.Register("192.0.2.3", "known");
        for (int i = 0; i < 3; i++)
        {
            Assert.True(a.AskByName("known").IsOk());
            Assert.True(b.AskByName("unknown").IsOk());
        }

        Assert.Equal("rate_limited", a.AskByName("known").Code());
        Assert.Equal("rate_limited", b.AskByName("unknown").Code());
    }

    [Fact]
    public void Reference_registry_reads_a_missing_id_as_zero_and_so_do_we_without_a_name()
    {
        JsonObject answer = _a.Signed($"handshake:{_a.Id}:0", new JsonObject { ["type"] = "request_handshake", ["from_node_id"] = _a.Id });
        Assert.Equal("node 0: node not found", answer.Error());
    }
}
