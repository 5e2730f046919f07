using System.Text.Json.Nodes;
using Pilot.Protocol;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Tests.Registry;

public sealed class RegistrationTests
{
    private static readonly TimeSpan Reaped = TimeSpan.FromSeconds(241);

    private readonly RegistrySession _session = new();

    [Fact]
    public void Endpoint_is_the_source_address_with_the_claimed_port()
    {
        TestNode node = _session.Register("192.0.2.7", port: 4711);
        Assert.Equal("192.0.2.7:4711", _session.State.Nodes[node.Id].Endpoint);
        TestNode six = _session.Register("2001:db8::7", port: 4712);
        Assert.Equal("[2001:db8::7]:4712", _session.State.Nodes[six.Id].Endpoint);
    }

    [Theory]
    [InlineData("", "192.0.2.9:50123")]
    [InlineData("nonsense", "192.0.2.9:50123")]
    [InlineData("x:notaport", "192.0.2.9:50123")]
    [InlineData("x:0", "192.0.2.9:50123")]
    [InlineData("x:65536", "192.0.2.9:50123")]
    [InlineData("x:", "192.0.2.9:50123")]
    [InlineData("a:b:4000", "192.0.2.9:50123")]
    [InlineData("[2001:db8::1]:4301", "192.0.2.9:4301")]
    [InlineData(":4302", "192.0.2.9:4302")]
    public void Claimed_port_must_be_one(string listen, string expected)
    {
        _session.Connection("192.0.2.9", 50123);
        JsonObject answer = _session.Send("192.0.2.9", new JsonObject
        {
            ["type"] = "register", ["listen_addr"] = listen, ["public_key"] = _session.NewIdentity().PublicKeyText,
        });
        Assert.Equal(expected, answer["observed_addr"]!.GetValue<string>());
    }

    [Fact]
    public void Lan_addresses_and_owner_are_bounded()
    {
        TestNode node = _session.Register("192.0.2.1");
        node.Register("", new string('o', 255), 4000, ["", "rubbish", "10.0.0.1:0", .. Enumerable.Range(1, 40).Select(i => $"10.0.0.{i}:4000")]);
        NodeRecord record = _session.State.Nodes[node.Id];
        Assert.Equal(16, record.LanAddresses.Length);
        Assert.Equal("10.0.0.1:4000", record.LanAddresses[0]);
        Assert.Equal("", record.Owner);
    }

    [Fact]
    public void A_node_gets_the_id_that_it_had_before_the_registry_lost_its_memory()
    {
        // The daemon's wish (an extension): free ids only, bounded, and later nodes come after it.
        Assert.Equal(7u, Wish(7));
        Assert.Equal(8u, Wish(7));
        Assert.Equal(3u, Wish(3));
        Assert.Equal(9u, Wish(0));
        Assert.Equal(10u, Wish(uint.MaxValue));
        Assert.Equal(11u, Wish(uint.MaxValue - 1));
        Assert.Equal(12u, Wish(4_000_001));

        uint Wish(uint id) => _session.Send($"192.0.2.{1 + _session.State.Nodes.Count}", new JsonObject
        {
            ["type"] = "register", ["public_key"] = _session.NewIdentity().PublicKeyText, ["node_id"] = id,
        })["node_id"]!.GetValue<uint>();
    }

    [Fact]
    public void Key_is_counted_by_its_bytes_and_answered_canonically()
    {
        Identity identity = _session.NewIdentity();
        TestNode node = _session.Register("192.0.2.1", identity: identity);
        JsonObject again = _session.Send("192.0.2.2", new JsonObject { ["type"] = "register", ["public_key"] = identity.PublicKeyText.Insert(5, "\r\n") });
        Assert.Equal(node.Id, again["node_id"]!.GetValue<uint>());
        Assert.Equal(identity.PublicKeyText, again["public_key"]!.GetValue<string>());
    }

    [Fact]
    public void Unsigned_registration_does_not_move_a_connected_node()
    {
        TestNode node = _session.Register("192.0.2.1");
        Assert.True(node.Heartbeat().IsOk());
        var thief = new TestNode(_session, node.Identity, "203.0.113.66");
        JsonObject answer = thief.Register(port: 6666);
        Assert.Equal(node.Id, answer["node_id"]!.GetValue<uint>());
        Assert.Equal("192.0.2.1:4000", _session.State.Nodes[node.Id].Endpoint);

        // The node itself, on a new connection: its signature settles what it claimed.
        var moved = new TestNode(_session, node.Identity, "198.51.100.1");
        moved.Register(port: 5000);
        Assert.Equal("192.0.2.1:4000", _session.State.Nodes[node.Id].Endpoint);
        Assert.True(moved.Heartbeat().IsOk());
        Assert.Equal("198.51.100.1:5000", _session.State.Nodes[node.Id].Endpoint);
    }

    [Fact]
    public void Registration_moves_a_node_whose_connection_is_closed()
    {
        TestNode node = _session.Register("192.0.2.1");
        node.Heartbeat();
        _session.Close("192.0.2.1");
        node.Address = "198.51.100.1";
        node.Register(port: 5000);
        Assert.Equal("198.51.100.1:5000", _session.State.Nodes[node.Id].Endpoint);
    }

    [Fact]
    public void Owner_text_takes_over_only_while_the_holder_is_away()
    {
        TestNode node = _session.Register("192.0.2.1", "alice", "a@example.com");
        node.Heartbeat();
        TestNode thief = _session.Register("203.0.113.1", owner: "a@example.com");
        Assert.NotEqual(node.Id, thief.Id);
        Assert.True(node.Heartbeat().IsOk());

        TestNode friend = _session.Register("192.0.2.50");
        friend.Report(node.Id);
        _session.Close("192.0.2.1");
        TestNode recovered = _session.Register("192.0.2.2", owner: "a@example.com");
        Assert.Equal(node.Id, recovered.Id);
        Assert.Equal("alice", _session.State.Nodes[node.Id].Hostname);
        Assert.Equal(recovered.Identity.PublicKeyText, _session.State.Nodes[node.Id].KeyText);
        // Trust was given to the lost key.
        Assert.False(recovered.CheckTrust(friend.Id, node.Id)["trusted"]!.GetValue<bool>());
    }

    [Fact]
    public void Whoever_repeats_a_public_key_gives_its_node_neither_an_owner_nor_a_name()
    {
        TestNode silent = _session.Register("192.0.2.1", "alice", "a@example.com");
        TestNode nameless = _session.Register("192.0.2.2", "bob");
        silent.Heartbeat();
        nameless.Heartbeat();
        _session.Close("192.0.2.1");
        _session.Close("192.0.2.2");
        _session.Advance(Reaped);
        foreach (TestNode victim in (TestNode[])[silent, nameless])
        {
            for (int visit = 0; visit < 2; visit++)
            {
                // Once when it is gone, once when it is back.
                new TestNode(_session, victim.Identity, "203.0.113.66").Register("mine", "thief@example.com");
                _session.Close("203.0.113.66");
            }

            Assert.NotEqual(victim.Id, _session.Register("203.0.113.66", owner: "thief@example.com").Id);
            _session.Close("203.0.113.66");
        }

        Assert.Equal("alice", _session.State.Nodes[silent.Id].Hostname);
        Assert.Equal("bob", _session.State.Nodes[nameless.Id].Hostname);
        Assert.Equal("a@example.com", _session.State.Nodes[silent.Id].Owner);

        // The node itself says it on a connection on which it then signs.
        nameless.Register(owner: "b@example.com");
        Assert.Equal("", _session.State.Nodes[nameless.Id].Owner);
        nameless.Heartbeat();
        Assert.Equal("b@example.com", _session.State.Nodes[nameless.Id].Owner);
    }

    [Fact]
    public void A_claim_that_was_settled_by_what_could_not_be_stored_is_settled_by_the_next_proof()
    {
        var session = new RegistrySession();
        TestNode node = session.Register("192.0.2.1");
        node.Heartbeat();
        RegistryEvent[] stored = [.. session.Events];
        RegistryConnection elsewhere = session.Connection("192.0.2.77");
        elsewhere.Pending = new PendingEndpoint(node.Id, session.State.Nodes[node.Id].Key, "", "192.0.2.77:4000", []);
        node.Address = "192.0.2.77";
        session.Machine.Core.Settle();
        node.Heartbeat();
        Assert.Equal("192.0.2.77:4000", session.State.Nodes[node.Id].Endpoint);

        var back = new RegistryState(session.Now);
        Array.ForEach(stored, back.Apply);
        session.Machine.Core.Replace(back);
        Assert.NotEqual("192.0.2.77:4000", session.State.Nodes[node.Id].Endpoint);
        session.Machine.Core.Settle();
        node.Heartbeat();
        Assert.Equal("192.0.2.77:4000", session.State.Nodes[node.Id].Endpoint);
        Assert.Null(elsewhere.Pending);
    }

    [Fact]
    public void After_a_restart_of_the_registry_nobody_is_quicker_than_the_node_itself()
    {
        TestNode node = _session.Register("192.0.2.1", "alice", "a@example.com");
        node.Heartbeat();
        _session.Close("192.0.2.1"); // as all connections
        _session.Machine.Core.Resume(_session.Now);
        Assert.NotEqual(node.Id, _session.Register("203.0.113.1", owner: "a@example.com").Id);
        _session.Advance(TimeSpan.FromSeconds(1));
        Assert.True(node.Heartbeat().IsOk());
        _session.Close("192.0.2.1");
        Assert.Equal(node.Id, _session.Register("192.0.2.9", owner: "a@example.com").Id); // it has been back: the usual rule

        TestNode other = _session.Register("192.0.2.2", owner: "o@example.com");
        other.Heartbeat();
        _session.Close("192.0.2.2");
        _session.Machine.Core.Resume(_session.Now);
        _session.Advance(TimeSpan.FromSeconds(91));
        Assert.Equal(other.Id, _session.Register("192.0.2.9", owner: "o@example.com").Id);
    }

    [Fact]
    public void Two_daemons_with_one_owner_keep_their_ids_apart_before_the_first_signature()
    {
        TestNode first = _session.Register("192.0.2.1", owner: "a@example.com");
        TestNode second = _session.Register("192.0.2.2", owner: "a@example.com");
        Assert.NotEqual(first.Id, second.Id);
        Assert.True(first.Heartbeat().IsOk());
        Assert.True(second.Heartbeat().IsOk());
    }

    [Fact]
    public void Reaped_node_keeps_what_it_had_but_comes_back_private()
    {
        TestNode node = _session.Register("192.0.2.1", "alice");
        node.SetVisibility(true);
        node.Signed($"set_tags:{node.Id}", new JsonObject { ["type"] = "set_tags", ["node_id"] = node.Id, ["tags"] = new JsonArray("ml") });
        TestNode other = _session.Register("192.0.2.2");
        _session.Advance(Reaped);
        Assert.Equal($"node {node.Id}: node not found", node.Heartbeat().Error());
        Assert.Equal("hostname \"alice\" not found", other.Find("alice").Error());
        other.Register();
        Assert.Contains("already in use", other.SetHostname("alice").Error(), StringComparison.Ordinal);

        node.Register();
        NodeRecord record = _session.State.Nodes[node.Id];
        Assert.Equal("alice", record.Hostname);
        Assert.Equal(["ml"], record.Tags);
        Assert.False(record.Public);
    }

    [Fact]
    public void Hostname_of_a_node_that_never_signed_is_free_again_when_it_is_gone()
    {
        _session.Register("192.0.2.1", "squatted");
        _session.Advance(Reaped);
        TestNode other = _session.Register("192.0.2.2");
        Assert.True(other.SetHostname("squatted").IsOk());
    }

    [Fact]
    public void Hostname_is_free_again_after_its_retention()
    {
        TestNode node = _session.Register("192.0.2.1", "alice");
        node.Heartbeat();
        _session.Advance(Reaped);
        _session.Advance(TimeSpan.FromDays(31));
        TestNode other = _session.Register("192.0.2.2");
        Assert.True(other.SetHostname("alice").IsOk());
    }

    [Fact]
    public void Deregistered_node_comes_back_blank_with_its_id()
    {
        TestNode node = _session.Register("192.0.2.1", "alice");
        Assert.True(node.Deregister().IsOk());
        Assert.True(_session.Register("192.0.2.2").SetHostname("alice").IsOk());
        uint id = node.Id;
        node.Register();
        Assert.Equal(id, node.Id);
        Assert.Equal("", _session.State.Nodes[id].Hostname);
    }

    [Fact]
    public void Heartbeats_keep_a_node_alive_and_queries_do_not()
    {
        TestNode alive = _session.Register("192.0.2.1");
        TestNode silent = _session.Register("192.0.2.2");
        for (int i = 0; i < 10; i++)
        {
            _session.Advance(TimeSpan.FromSeconds(30));
            Assert.True(alive.Heartbeat().IsOk());
            silent.Lookup(alive.Id);
        }

        Assert.True(alive.Lookup(alive.Id).IsOk());
        Assert.False(alive.Lookup(silent.Id).IsOk());
        Assert.Equal(1, _session.Machine.LiveNodes);
    }

    [Fact]
    public void Rotated_key_forgets_the_old_one_and_cannot_be_another_nodes()
    {
        TestNode node = _session.Register("192.0.2.1");
        TestNode other = _session.Register("192.0.2.2");
        var request = new JsonObject { ["type"] = "rotate_key", ["node_id"] = node.Id, ["new_public_key"] = other.Identity.PublicKeyText };
        Assert.Equal("conflict", node.Signed($"rotate:{node.Id}", request).Code());
        Identity fresh = _session.NewIdentity();
        request = new JsonObject { ["type"] = "rotate_key", ["node_id"] = node.Id, ["new_public_key"] = fresh.PublicKeyText };
        Assert.True(node.Signed($"rotate:{node.Id}", request).IsOk());
        Assert.Equal("request failed", node.Heartbeat().Error());
        node.Register();
        Assert.NotEqual(1u, node.Id);
    }

    [Fact]
    public void Node_table_is_capped_and_makes_room_from_the_unproven()
    {
        var session = new RegistrySession(limits: new RegistryLimits { MaxNodes = 10, RegistrationsPerMinute = 0 });
        TestNode proven = session.Register("192.0.2.1", "keeper");
        proven.Heartbeat();
        for (int i = 0; i < 9; i++)
        {
            session.Register("192.0.2.2");
        }

        var late = new TestNode(session, session.NewIdentity(), "192.0.2.3");
        Assert.Equal("full", late.Register().Code());
        session.Advance(Reaped);
        Assert.True(late.Register().IsOk());
        uint id = proven.Id;
        proven.Register();
        Assert.Equal(id, proven.Id);
    }

    [Fact]
    public void Registrations_are_limited_per_address_but_known_keys_pass()
    {
        TestNode known = _session.Register("192.0.2.1");
        for (int i = 0; i < 9; i++)
        {
            Assert.NotEqual(0u, _session.Register("192.0.2.1").Id);
        }

        var surplus = new TestNode(_session, _session.NewIdentity(), "192.0.2.1");
        JsonObject refused = surplus.Register();
        Assert.Equal("rate limited: too many registrations from 192.0.2.1", refused.Error());
        Assert.Equal(6000, refused["retry_after_ms"]!.GetValue<long>());
        Assert.True(known.Register().IsOk());
        _session.Advance(TimeSpan.FromSeconds(6.1));
        Assert.True(surplus.Register().IsOk());
        int passed = 0;
        while (known.Register().IsOk())
        {
            Assert.True(++passed < 10_000, "each is a write");
        }

        Assert.InRange(passed, 5900, 6010);
        var forged = new JsonObject { ["type"] = "register", ["public_key"] = known.Identity.PublicKeyText, ["signature_v2"] = "AAAA" };
        Assert.Equal("rate_limited", known.Send(forged).Code());
    }
}
