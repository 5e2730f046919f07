using System.Text;
using System.Text.Json.Nodes;
using Pilot.Protocol;
using Pilot.Protocol.Registry;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Tests.Registry;

/// <summary>The signature over the whole request and the connection's session (spec 03 section 4.3, "Better"): nothing that was recorded of it works again.</summary>
public sealed class FreshSignatureTests
{
    private const string Home = "192.0.2.10";
    private const string Thief = "198.51.100.66";
    private readonly RegistrySession _session = new();
    private long _sequence;

    [Fact]
    public void A_recorded_request_is_worth_nothing_again_on_its_connection_or_another()
    {
        TestNode node = _session.Register(Home);
        string recorded = Fresh(node, Home, Heartbeat(node));
        Assert.True(Parse(Home, recorded).IsOk());
        Assert.Equal("unauthorized", Parse(Home, recorded).Code()); // the number was used
        Assert.Equal("unauthorized", Parse(Thief, recorded).Code()); // no session there
        Session(Thief);
        Assert.Equal("unauthorized", Parse(Thief, recorded).Code()); // another session
        Assert.True(Parse(Home, Fresh(node, Home, Heartbeat(node))).IsOk());
    }

    [Fact]
    public void Recorded_reference_signatures_stop_working_once_the_node_signs_freshly()
    {
        TestNode node = _session.Register(Home);
        var hostname = new JsonObject { ["type"] = "set_hostname", ["node_id"] = node.Id, ["hostname"] = "mine", ["signature"] = node.Identity.SignText($"set_hostname:{node.Id}") };
        string recorded = hostname.ToJsonString();
        Assert.True(Parse(Home, recorded).IsOk());
        Assert.True(Parse(Thief, recorded.Replace("mine", "yours", StringComparison.Ordinal)).IsOk()); // the reference's weakness

        Assert.True(Parse(Home, Fresh(node, Home, Heartbeat(node))).IsOk());
        JsonObject refused = Parse(Thief, recorded);
        Assert.Equal("unauthorized", refused.Code());
        Assert.Contains("signature_v2 required", refused.Error(), StringComparison.Ordinal);
        Assert.Equal("yours", _session.State.Nodes[node.Id].Hostname);
        Assert.Equal("unauthorized", node.Heartbeat().Code());
        Assert.Equal("unauthorized", node.Register().Code()); // nobody else moves its endpoint
        Assert.True(Parse(Home, Fresh(node, Home, Registration(node))).IsOk());

        // The way back for an operator whose node returns to reference software.
        hostname = new JsonObject { ["type"] = "deregister", ["node_id"] = node.Id, ["admin_token"] = RegistrySession.AdminToken };
        Assert.True(_session.Send(Home, hostname).IsOk());
        Assert.True(node.Register().IsOk());
        Assert.True(node.Heartbeat().IsOk());
    }

    [Fact]
    public void Every_member_is_covered()
    {
        TestNode node = _session.Register(Home);
        var set = new JsonObject { ["type"] = "set_hostname", ["node_id"] = node.Id, ["hostname"] = "mine", ["signature"] = node.Identity.SignText($"set_hostname:{node.Id}") };
        string sealed_ = Fresh(node, Home, set);
        Assert.Equal("unauthorized", Parse(Home, sealed_.Replace("mine", "yours", StringComparison.Ordinal)).Code());
        Assert.Equal("unauthorized", Parse(Home, sealed_[..^1] + ",\"admin\":1}").Code());
        Assert.Equal("unauthorized", Parse(Home, sealed_.Replace("\"seq\":", "\"seq\":9", StringComparison.Ordinal)).Code());
        Assert.True(Parse(Home, sealed_).IsOk());
    }

    [Fact]
    public void A_signed_registration_proves_the_key_at_once()
    {
        var node = new TestNode(_session, RegistrySession.NewIdentity("fresh"), Home);
        JsonObject answer = Parse(Home, Fresh(node, Home, Registration(node)));
        NodeRecord record = _session.State.Nodes[answer["node_id"]!.GetValue<uint>()];
        Assert.True(record.Proven);
        Assert.True(record.SignsFresh);
        Assert.Equal("pilot-daemon/9.8.7", record.Software);
        Assert.True(_session.Connection(Home).Proves(record.Id, record.Key));
    }

    [Fact]
    public void A_signature_for_another_server_is_refused()
    {
        var machine = new RegistryMachine(new RegistryOptions { ServerFingerprint = new string('a', 64) }, _session.Now);
        var connection = new RegistryConnection(UdpEndpoint.FromBytes([192, 0, 2, 1], 1));
        Identity identity = Identity.Create();
        JsonObject Call(string text) => JsonNode.Parse(machine.Handle(_session.Now, connection, Encoding.UTF8.GetBytes(text))!)!.AsObject();
        byte[] session = Convert.FromBase64String(Call(Hello)["session"]!.GetValue<string>());
        Assert.True(Call($"{{\"type\":\"register\",\"public_key\":\"{identity.PublicKeyText}\"}}").IsOk());
        string heartbeat = $"{{\"type\":\"heartbeat\",\"node_id\":1,\"signature\":\"{identity.SignText("heartbeat:1")}\"}}";
        string Sign(string? server) => Encoding.UTF8.GetString(RequestProof.Sign(Encoding.UTF8.GetBytes(heartbeat), session, ++_sequence, server, identity));
        Assert.Equal("unauthorized", Call(Sign(new string('b', 64))).Code());
        Assert.True(Call(Sign(new string('a', 64))).IsOk());
        Assert.True(Call(Sign(null)).IsOk());
    }

    [Fact]
    public void Under_the_reference_policy_the_member_says_nothing()
    {
        var session = new RegistrySession(RegistryPolicy.Reference);
        TestNode node = session.Register(Home);
        JsonObject answer = session.Send(Home, JsonNode.Parse(Hello)!.AsObject());
        Assert.False(answer.ContainsKey("session"));
        JsonObject heartbeat = Heartbeat(node);
        heartbeat["signature_v2"] = "nonsense";
        Assert.True(session.Send(Home, heartbeat).IsOk());
    }

    [Theory]
    [InlineData("", "")]
    [InlineData("pilot-daemon/1.2.3", "pilot-daemon/1.2.3")]
    [InlineData("<script>", "")]
    [InlineData("a-name-of-more-than-thirty-two-bytes-is-not-kept", "")]
    public void Software_is_a_short_plain_word(string sent, string kept)
    {
        JsonObject answer = _session.Send(Home, new JsonObject { ["type"] = "register", ["public_key"] = _session.NewIdentity().PublicKeyText, ["software"] = sent });
        Assert.Equal(kept, _session.State.Nodes[answer["node_id"]!.GetValue<uint>()].Software);
    }

    [Theory]
    [InlineData("pilot-daemon/9.8.7")]
    [InlineData(null)]
    public void Resolve_tells_the_software_that_a_node_named(string? software)
    {
        TestNode asker = _session.Register(Home);
        TestNode named = _session.Register(Home);
        Assert.True(named.SetVisibility(true).IsOk());
        if (software is not null)
        {
            Assert.True(_session.Send(Home, new JsonObject { ["type"] = "register", ["public_key"] = named.Identity.PublicKeyText, ["listen_addr"] = "10.0.0.1:4000", ["software"] = software }).IsOk());
        }

        JsonObject answer = asker.Resolve(named.Id);
        Assert.Equal("resolve_ok", answer["type"]!.GetValue<string>());
        Assert.Equal(software is not null, answer.ContainsKey("software"));
        Assert.Equal(software, answer["software"]?.GetValue<string>());
    }

    private const string Hello = "{\"type\":\"check_trust\",\"node_id\":0,\"peer_id\":0,\"session_wanted\":true}";

    private static JsonObject Heartbeat(TestNode node) =>
        new() { ["type"] = "heartbeat", ["node_id"] = node.Id, ["signature"] = node.Identity.SignText($"heartbeat:{node.Id}") };

    private static JsonObject Registration(TestNode node) =>
        new() { ["type"] = "register", ["public_key"] = node.Identity.PublicKeyText, ["listen_addr"] = "10.0.0.1:4000", ["software"] = "pilot-daemon/9.8.7" };

    private byte[] Session(string address) =>
        Convert.FromBase64String(JsonNode.Parse(_session.SendText(_session.Connection(address), Hello)!)!["session"]!.GetValue<string>());

    private string Fresh(TestNode node, string address, JsonObject request) =>
        Encoding.UTF8.GetString(RequestProof.Sign(Encoding.UTF8.GetBytes(request.ToJsonString()), Session(address), ++_sequence, null, node.Identity));

    private JsonObject Parse(string address, string request) => JsonNode.Parse(_session.SendText(_session.Connection(address), request)!)!.AsObject();
}
