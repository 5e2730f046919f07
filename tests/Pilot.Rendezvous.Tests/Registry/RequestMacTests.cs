using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Pilot.Protocol;
using Pilot.Protocol.Registry;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Tests.Registry;

/// <summary>Requests under a MAC in place of a signature: what they are worth, where, and for how long.</summary>
public sealed class RequestMacTests
{
    private const string Home = "192.0.2.10";
    private const string Thief = "198.51.100.66";
    private readonly RegistrySession _session = new();

    [Fact]
    public void After_one_signature_a_mac_proves_requests_and_nothing_recorded_works_again()
    {
        TestNode node = _session.Register(Home);
        var channel = new Channel(_session, node.Identity, Home);
        Assert.True(channel.Sign(Heartbeat(node)).IsOk());
        string recorded = channel.MacText(Heartbeat(node));
        Assert.True(channel.Send(recorded).IsOk());
        Assert.Equal("signature_needed", channel.Send(recorded).Code()); // the number was used
        Assert.Equal("signature_needed", channel.Send(channel.MacText(Heartbeat(node), sequence: 1)).Code());
        Assert.Equal("unauthorized", Parse(Thief, recorded).Code()); // no session there: the member says nothing
        var other = new Channel(_session, node.Identity, Thief);
        string next = channel.MacText(Heartbeat(node));
        Assert.Equal("signature_needed", other.Send(next).Code()); // another session
        Assert.True(channel.Send(next).IsOk());
        Assert.True(channel.Sign(Heartbeat(node)).IsOk()); // signatures and MACs share the numbers
        Assert.True(channel.Mac(Heartbeat(node)).IsOk());
    }

    [Fact]
    public void Every_member_is_covered()
    {
        TestNode node = _session.Register(Home);
        TestNode target = _session.Register(Home);
        Assert.True(target.SetVisibility(true).IsOk());
        var channel = new Channel(_session, node.Identity, Home);
        Assert.True(channel.Sign(Heartbeat(node)).IsOk());
        string text = channel.MacText(new JsonObject { ["type"] = "resolve", ["requester_id"] = node.Id, ["node_id"] = target.Id });
        Assert.Equal("signature_needed", channel.Send(text.Replace($"\"node_id\":{target.Id}", $"\"node_id\":{node.Id}", StringComparison.Ordinal)).Code());
        Assert.Equal("signature_needed", channel.Send(text[..^1] + ",\"admin\":1}").Code());
        Assert.Equal("signature_needed", channel.Send(text.Replace("\"seq\":", "\"seq\":9", StringComparison.Ordinal)).Code());
        Assert.Equal("resolve_ok", channel.Send(text)["type"]!.GetValue<string>());
    }

    [Theory]
    [InlineData("register")]
    [InlineData("rotate_key")]
    [InlineData("deregister")]
    [InlineData("set_key_expiry")]
    [InlineData("set_hostname")]
    [InlineData("report_trust")]
    public void What_says_who_a_node_is_or_whom_it_trusts_needs_the_signature(string type)
    {
        TestNode node = _session.Register(Home);
        var channel = new Channel(_session, node.Identity, Home);
        Assert.True(channel.Sign(Heartbeat(node)).IsOk());
        int events = _session.Events.Count;
        var request = new JsonObject
        {
            ["type"] = type, ["node_id"] = node.Id, ["public_key"] = node.Identity.PublicKeyText, ["listen_addr"] = "10.0.0.1:9", ["peer_id"] = 77,
            ["hostname"] = "mine", ["new_public_key"] = _session.NewIdentity().PublicKeyText, ["signature"] = "AAAA",
        };
        Assert.Equal("signature_needed", channel.Mac(request).Code());
        Assert.Equal(events, _session.Events.Count);
        Assert.True(channel.Mac(Heartbeat(node)).IsOk());
    }

    [Fact]
    public void The_strongest_proof_that_is_there_alone_counts()
    {
        TestNode node = _session.Register(Home);
        var channel = new Channel(_session, node.Identity, Home);
        Assert.True(channel.Sign(Heartbeat(node)).IsOk());
        string right = node.Identity.SignText($"heartbeat:{node.Id}");
        JsonObject With(string member, string value)
        {
            JsonObject request = Heartbeat(node);
            request[member] = value;
            return request;
        }

        // The signature before the MAC.
        Assert.True(channel.Sign(With("mac", "nonsense")).IsOk());
        JsonObject badSignature = With("signature_v2", right);
        Assert.Equal("unauthorized", channel.Mac(badSignature).Code());

        // The MAC before the reference's signature.
        Assert.True(channel.Mac(With("signature", "nonsense")).IsOk());
        JsonObject badMac = With("signature", right);
        badMac["seq"] = 1_000_000;
        badMac["mac"] = Convert.ToBase64String(new byte[32]);
        Assert.Equal("signature_needed", channel.Send(badMac.ToJsonString()).Code());
    }

    [Fact]
    public void Whoever_replaces_the_servers_key_on_the_way_cannot_make_a_mac()
    {
        TestNode node = _session.Register(Home);
        byte[] secret = RandomNumberGenerator.GetBytes(32);
        byte[] replaced = PublicOf(secret);
        var channel = new Channel(_session, node.Identity, Home, serverKeySeen: replaced);
        Assert.True(channel.Sign(Heartbeat(node)).IsOk());
        Assert.Equal("signature_needed", channel.Mac(Heartbeat(node)).Code()); // the node's MACs fail: it signs

        // The key that the thief shares with the node, and the one of his secret with the server's: neither is the server's.
        byte[] key = new byte[32];
        Assert.True(RequestMac.TryDeriveKey(secret, replaced, channel.Public, isServer: true, channel.SessionBytes, node.Identity.PublicKey, key));
        Assert.Equal(channel.Key, key);
        Assert.Equal("signature_needed", channel.Mac(Heartbeat(node), key).Code());
        Assert.True(RequestMac.TryDeriveKey(secret, channel.ServerKey, channel.Public, isServer: false, channel.SessionBytes, node.Identity.PublicKey, key));
        Assert.Equal("signature_needed", channel.Mac(Heartbeat(node), key).Code());
        Assert.True(channel.Sign(Heartbeat(node)).IsOk());
    }

    [Fact]
    public void Whoever_replaces_the_nodes_key_on_the_way_breaks_its_signature()
    {
        TestNode node = _session.Register(Home);
        var channel = new Channel(_session, node.Identity, Home);
        byte[] secret = RandomNumberGenerator.GetBytes(32);
        byte[] replaced = PublicOf(secret);
        string signed = channel.SignText(Heartbeat(node)).Replace(Convert.ToBase64String(channel.Public), Convert.ToBase64String(replaced), StringComparison.Ordinal);
        Assert.Contains(Convert.ToBase64String(replaced), signed, StringComparison.Ordinal);
        Assert.Equal("unauthorized", channel.Send(signed).Code());
        byte[] key = new byte[32];
        Assert.True(RequestMac.TryDeriveKey(secret, channel.ServerKey, replaced, isServer: false, channel.SessionBytes, node.Identity.PublicKey, key));
        Assert.Equal("signature_needed", channel.Mac(Heartbeat(node), key).Code());
        Assert.Null(_session.State.Nodes[node.Id].Mac);
    }

    [Theory]
    [InlineData("rotated")]
    [InlineData("taken over")]
    [InlineData("deregistered")]
    [InlineData("deregistered and back")]
    [InlineData("expired")]
    [InlineData("offered elsewhere")]
    [InlineData("connection closed")]
    public void A_mac_key_ends_with_what_it_was_agreed_under(string how)
    {
        TestNode node = _session.Register(Home, "alice", "a@example.com");
        var channel = new Channel(_session, node.Identity, Home);
        Assert.True(channel.Sign(Heartbeat(node)).IsOk());
        Assert.True(channel.Mac(Heartbeat(node)).IsOk());
        string expected = "signature_needed";
        switch (how)
        {
            case "rotated":
                var rotate = new JsonObject { ["type"] = "rotate_key", ["node_id"] = node.Id, ["new_public_key"] = _session.NewIdentity().PublicKeyText, ["signature"] = "AAAA" };
                Assert.True(channel.Sign(rotate).IsOk());
                break;
            case "taken over":
                NodeRecord record = _session.State.Nodes[node.Id];
                _session.Machine.Core.Apply(new NodeTakenOver(
                    node.Id, PublicKey.Read(_session.NewIdentity().PublicKey), null, "a@example.com", record.Endpoint, [], Blank: false, DropTrust: true, _session.Now));
                break;
            case "deregistered":
                Assert.True(channel.Sign(new JsonObject { ["type"] = "deregister", ["node_id"] = node.Id }).IsOk());
                break;
            case "deregistered and back":
                Assert.True(_session.Send(Home, new JsonObject { ["type"] = "deregister", ["node_id"] = node.Id, ["admin_token"] = RegistrySession.AdminToken }).IsOk());
                Assert.True(node.Register().IsOk());
                break;
            case "expired":
                _session.Machine.Core.Apply(new KeyExpirySet(node.Id, _session.Now - TimeSpan.FromSeconds(1)));
                expected = "expired";
                break;
            case "offered elsewhere":
                Assert.True(new Channel(_session, node.Identity, "192.0.2.11").Sign(Heartbeat(node)).IsOk());
                break;
            case "connection closed":
                _session.Machine.Disconnect(_session.Now, _session.Connection(Home));
                break;
        }

        Assert.Equal(expected, channel.Mac(Heartbeat(node)).Code());
    }

    [Fact]
    public void A_key_that_went_while_the_request_was_verified_is_worth_nothing()
    {
        TestNode node = _session.Register(Home);
        var channel = new Channel(_session, node.Identity, Home);
        Assert.True(channel.Sign(Heartbeat(node)).IsOk());
        Assert.True(RegistryRequest.TryParse(Encoding.UTF8.GetBytes(channel.MacText(Heartbeat(node))), out RegistryRequest? request));
        Admission admission = _session.Machine.Core.Admit(_session.Now, _session.Connection(Home), request!);
        SignatureVerdict verdict = admission.Signature.Glance()!.Value;
        Assert.Equal(SignatureState.Valid, verdict.State);
        Assert.True(new Channel(_session, node.Identity, "192.0.2.11").Sign(Heartbeat(node)).IsOk());
        object answer = _session.Machine.Core.Execute(_session.Now, _session.Connection(Home), request!, admission, verdict);
        Assert.Equal("signature_needed", Assert.IsType<ErrorResponse>(answer).Code);
    }

    [Fact]
    public void A_registration_may_carry_the_offer()
    {
        Identity identity = _session.NewIdentity();
        var channel = new Channel(_session, identity, Home);
        JsonObject answer = channel.Sign(new JsonObject { ["type"] = "register", ["public_key"] = identity.PublicKeyText, ["listen_addr"] = "10.0.0.1:4000" });
        Assert.True(channel.Mac(new JsonObject { ["type"] = "heartbeat", ["node_id"] = answer["node_id"]!.GetValue<uint>() }).IsOk());
    }

    [Theory]
    [InlineData("")]
    [InlineData("AAAA")]
    [InlineData("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")] // low order: the shared secret would be zero
    [InlineData("not base64")]
    public void An_offer_that_cannot_be_used_leaves_the_signature_valid(string offer)
    {
        TestNode node = _session.Register(Home);
        var channel = new Channel(_session, node.Identity, Home);
        JsonObject heartbeat = Heartbeat(node);
        heartbeat["mac_key"] = offer;
        Assert.True(channel.Sign(heartbeat, offers: false).IsOk());
        Assert.Null(_session.State.Nodes[node.Id].Mac);
        Assert.Equal("signature_needed", channel.Mac(Heartbeat(node)).Code());
    }

    [Fact]
    public void Keys_of_the_server_change_hourly_and_connections_keep_theirs()
    {
        TestNode node = _session.Register(Home);
        var channel = new Channel(_session, node.Identity, Home);
        var twin = new Channel(_session, node.Identity, "192.0.2.11");
        Assert.Equal(channel.ServerKey, twin.ServerKey);
        Assert.NotEqual(channel.SessionBytes, twin.SessionBytes);
        _session.Advance(TimeSpan.FromMinutes(61));
        Assert.NotEqual(channel.ServerKey, new Channel(_session, node.Identity, "192.0.2.12").ServerKey);
        Assert.Equal(channel.ServerKey, new Channel(_session, node.Identity, Home).ServerKey);
        Assert.True(node.Register().IsOk());
        Assert.True(channel.Sign(Heartbeat(node)).IsOk());
        Assert.True(channel.Mac(Heartbeat(node)).IsOk());
    }

    [Fact]
    public void A_request_that_may_be_unsigned_is_not_answered_under_a_wrong_mac()
    {
        TestNode node = _session.Register(Home, "alice");
        Assert.True(node.SetVisibility(true).IsOk());
        var channel = new Channel(_session, node.Identity, Home);
        var find = new JsonObject { ["type"] = "resolve_hostname", ["hostname"] = "alice", ["requester_id"] = node.Id };
        Assert.Equal("signature_needed", channel.Mac(find).Code());
        Assert.True(channel.Sign(find).IsOk());
        Assert.True(channel.Mac(find).IsOk());
    }

    [Fact]
    public void A_state_taken_from_the_store_keeps_the_keys_of_registrations_that_are_the_same()
    {
        TestNode node = _session.Register(Home);
        TestNode left = _session.Register("192.0.2.20");
        var channel = new Channel(_session, node.Identity, Home);
        var other = new Channel(_session, left.Identity, "192.0.2.20");
        Assert.True(channel.Sign(Heartbeat(node)).IsOk());
        Assert.True(other.Sign(Heartbeat(left)).IsOk());
        var stored = new RegistryState(_session.Now);
        foreach (RegistryEvent happened in _session.Events)
        {
            stored.Apply(happened);
        }

        // Another process on the same store saw this one leave and come back.
        stored.Apply(new NodeDeregistered(left.Id, _session.Now));
        stored.Apply(new NodeReclaimed(left.Id, "", "192.0.2.20:4000", [], Blank: true, KeepNetworks: false, _session.Now + TimeSpan.FromSeconds(1)));
        _session.Machine.Core.Replace(stored);
        Assert.True(channel.Mac(Heartbeat(node)).IsOk());
        Assert.Equal("signature_needed", other.Mac(Heartbeat(left)).Code());
    }

    private static JsonObject Heartbeat(TestNode node) => new() { ["type"] = "heartbeat", ["node_id"] = node.Id };

    private static byte[] PublicOf(byte[] secret)
    {
        byte[] key = new byte[32];
        X25519.GetPublicKey(secret, key);
        return key;
    }

    private JsonObject Parse(string address, string request) => JsonNode.Parse(_session.SendText(_session.Connection(address), request)!)!.AsObject();

    /// <summary>One connection of a node as its daemon uses it.</summary>
    private sealed class Channel
    {
        private static long s_sequence = 1000; // across channels of a test, so that a refusal is never for the number alone
        private readonly RegistrySession _session;
        private readonly Identity _identity;
        private readonly string _address;

        public Channel(RegistrySession session, Identity identity, string address, byte[]? serverKeySeen = null)
        {
            (_session, _identity, _address) = (session, identity, address);
            JsonObject hello = Send("{\"type\":\"check_trust\",\"node_id\":0,\"peer_id\":0,\"session_wanted\":true}");
            SessionBytes = Convert.FromBase64String(hello["session"]!.GetValue<string>());
            ServerKey = Convert.FromBase64String(hello["session_key"]!.GetValue<string>());
            byte[] secret = RandomNumberGenerator.GetBytes(32);
            Public = PublicOf(secret);
            Assert.True(RequestMac.TryDeriveKey(secret, serverKeySeen ?? ServerKey, Public, isServer: false, SessionBytes, identity.PublicKey, Key));
        }

        public byte[] SessionBytes { get; }

        public byte[] ServerKey { get; }

        public byte[] Public { get; }

        public byte[] Key { get; } = new byte[32];

        public string SignText(JsonObject request, bool offers = true) => Encoding.UTF8.GetString(RequestProof.Sign(
            Encoding.UTF8.GetBytes(request.ToJsonString()), SessionBytes, Interlocked.Increment(ref s_sequence), null, _identity, offers ? Public : default));

        public string MacText(JsonObject request, byte[]? key = null, long? sequence = null) => Encoding.UTF8.GetString(RequestMac.Seal(
            Encoding.UTF8.GetBytes(request.ToJsonString()), SessionBytes, sequence ?? Interlocked.Increment(ref s_sequence), key ?? Key));

        public JsonObject Sign(JsonObject request, bool offers = true) => Send(SignText(request, offers));

        public JsonObject Mac(JsonObject request, byte[]? key = null) => Send(MacText(request, key));

        public JsonObject Send(string request) => JsonNode.Parse(_session.SendText(_session.Connection(_address), request)!)!.AsObject();
    }
}
