using System.Text.Json.Nodes;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Tests.Registry;

public sealed class LimitTests
{
    [Fact]
    public void Heartbeats_count_per_node_so_that_neighbours_do_not_disturb_each_other()
    {
        var session = new RegistrySession(limits: new RegistryLimits { RegistrationsPerMinute = 0 });
        TestNode[] nodes = [.. Enumerable.Range(0, 60).Select(_ => session.Register("192.0.2.1"))];
        Assert.All(nodes, n => Assert.True(n.Heartbeat().IsOk()));
        for (int i = 0; i < 49; i++)
        {
            Assert.True(nodes[0].Heartbeat().IsOk());
        }

        Assert.Equal("rate limited: too many heartbeats from 192.0.2.1", nodes[0].Heartbeat().Error());
        Assert.True(nodes[1].Heartbeat().IsOk());
    }

    [Fact]
    public void Reference_policy_counts_heartbeats_per_address()
    {
        var session = new RegistrySession(RegistryPolicy.Reference);
        TestNode a = session.Register("192.0.2.1");
        TestNode b = session.Register("192.0.2.1");
        for (int i = 0; i < 50; i++)
        {
            Assert.True(a.Heartbeat().IsOk());
        }

        Assert.Equal("rate limited: too many heartbeats from 192.0.2.1", b.Heartbeat().Error());
    }

    [Theory]
    [InlineData(RegistryPolicy.Reference)]
    [InlineData(RegistryPolicy.Strict)]
    public void Forged_heartbeats_exhaust_their_address_only(RegistryPolicy policy)
    {
        var session = new RegistrySession(policy);
        TestNode node = session.Register("192.0.2.1");
        node.Heartbeat();
        var forged = new JsonObject { ["type"] = "heartbeat", ["node_id"] = node.Id, ["signature"] = node.Identity.SignText("heartbeat:77") };
        JsonObject last = [];
        for (int i = 0; i < 51; i++)
        {
            last = session.Send("203.0.113.1", (JsonObject)forged.DeepClone());
        }

        Assert.Equal("rate limited: too many heartbeats from 203.0.113.1", last.Error());
        Assert.True(node.Heartbeat().IsOk());
    }

    [Fact]
    public void Queries_and_resolves_have_their_buckets()
    {
        var session = new RegistrySession();
        TestNode node = session.Register("192.0.2.1");
        var lookup = new JsonObject { ["type"] = "lookup", ["node_id"] = node.Id };
        for (int i = 0; i < 500; i++)
        {
            Assert.True(session.Send("203.0.113.1", (JsonObject)lookup.DeepClone()).IsOk());
        }

        Assert.Equal("rate limited: too many queries from 203.0.113.1", session.Send("203.0.113.1", lookup).Error());
        for (int i = 0; i < 100; i++)
        {
            Assert.Equal("private", node.Resolve(node.Id).Code());
        }

        Assert.Equal("rate limited: too many resolves from 192.0.2.1", node.Resolve(node.Id).Error());
    }

    [Fact]
    public void Ipv6_addresses_of_one_prefix_share_a_bucket()
    {
        var session = new RegistrySession();
        for (int i = 1; i <= 10; i++)
        {
            Assert.NotEqual(0u, session.Register($"2001:db8::{i}").Id);
        }

        var surplus = new TestNode(session, session.NewIdentity(), "2001:db8::ffff");
        Assert.Equal("rate_limited", surplus.Register().Code());
        Assert.NotEqual(0u, session.Register("2001:db8:1::1").Id);
    }

    [Fact]
    public void Beacons_register_their_own_address_and_no_other()
    {
        var session = new RegistrySession();
        JsonObject Register(string from, uint id, string address) =>
            session.Send(from, new JsonObject { ["type"] = "beacon_register", ["beacon_id"] = id, ["addr"] = address });

        Assert.True(Register("192.0.2.1", 7, "192.0.2.1:9001").IsOk());
        Assert.Equal("request failed", Register("203.0.113.1", 8, "192.0.2.1:9001").Error());
        Assert.Equal("conflict", Register("203.0.113.1", 7, "203.0.113.1:9001").Code());
        session.Advance(TimeSpan.FromSeconds(61));
        Assert.True(Register("203.0.113.1", 7, "203.0.113.1:9001").IsOk());
    }

    [Fact]
    public void Nobody_fills_the_list_of_beacons_alone_and_the_operators_own_have_a_place()
    {
        var session = new RegistrySession(limits: new RegistryLimits { MaxBeacons = 40 });
        JsonObject Register(string from, uint id, bool vouched = false)
        {
            var request = new JsonObject { ["type"] = "beacon_register", ["beacon_id"] = id, ["addr"] = $"{from}:{id}" };
            if (vouched)
            {
                request["admin_token"] = RegistrySession.AdminToken;
            }

            return session.Send(from, request);
        }

        for (uint id = 1; id <= 16; id++)
        {
            Assert.True(Register("192.0.2.1", id).IsOk());
        }

        Assert.Equal("too many beacons from 192.0.2.1", Register("192.0.2.1", 17).Error());
        Assert.True(Register("192.0.2.1", 3).IsOk()); // a refresh
        for (uint id = 100; id < 124; id++)
        {
            Assert.True(Register($"192.0.2.{id}", id).IsOk());
        }

        Assert.Equal("full", Register("192.0.2.200", 200).Code());
        Assert.True(Register("192.0.2.200", 200, vouched: true).IsOk());
        Assert.Equal(40, session.Send("192.0.2.1", new JsonObject { ["type"] = "beacon_list" })["beacons"]!.AsArray().Count);
        session.Advance(TimeSpan.FromSeconds(61));
        Assert.True(Register("192.0.2.201", 201).IsOk());
    }

    [Theory]
    [InlineData(int.MaxValue, 86_400)]
    [InlineData(int.MaxValue, 1)]
    [InlineData(20_000_000, 86_400)]
    public void A_rate_beyond_all_measure_does_not_overflow(int rate, int seconds)
    {
        var limiter = new RateLimiter(rate, TimeSpan.FromSeconds(seconds), 10);
        DateTimeOffset now = DateTimeOffset.UnixEpoch;
        for (int i = 0; i < 100; i++)
        {
            Assert.True(limiter.TryTake(now += TimeSpan.FromHours(1), 1, 10_000, out _));
        }
    }

    [Fact]
    public void Polo_changes_need_a_proven_connection_and_stay_within_bounds()
    {
        var session = new RegistrySession();
        TestNode a = session.Register("192.0.2.1");
        TestNode b = session.Register("192.0.2.2");
        JsonObject Update(TestNode by, long delta) => by.Send(new JsonObject { ["type"] = "update_polo_score", ["node_id"] = b.Id, ["delta"] = delta });

        Assert.Equal("unauthorized", Update(a, 5).Code());
        a.Heartbeat();
        Assert.Equal(5, Update(a, 5)["polo_score"]!.GetValue<long>());
        Assert.Equal("invalid", Update(a, 1001).Code());
        for (int i = 0; i < 9; i++)
        {
            Assert.True(Update(a, i % 2 == 0 ? 1000 : -1000).IsOk());
        }

        Assert.Equal("rate_limited", Update(a, 1000).Code());
        Assert.Equal(1005, a.Lookup(b.Id)["polo_score"]!.GetValue<long>());
        var set = new JsonObject { ["type"] = "set_polo_score", ["node_id"] = b.Id, ["polo_score"] = 7 };
        Assert.Equal("request failed", a.Send((JsonObject)set.DeepClone()).Error());
        set["admin_token"] = RegistrySession.AdminToken;
        Assert.Equal(7, a.Send(set)["polo_score"]!.GetValue<long>());
    }

    [Fact]
    public void Polo_does_not_keep_a_dead_node_alive()
    {
        var session = new RegistrySession();
        TestNode a = session.Register("192.0.2.1");
        TestNode dead = session.Register("192.0.2.2");
        for (int i = 0; i < 9; i++)
        {
            session.Advance(TimeSpan.FromSeconds(30));
            a.Heartbeat();
            a.Send(new JsonObject { ["type"] = "update_polo_score", ["node_id"] = dead.Id, ["delta"] = 1 });
        }

        Assert.False(a.Lookup(dead.Id).IsOk());
    }

    [Fact]
    public void Unknown_types_are_refused_without_their_text()
    {
        var session = new RegistrySession();
        foreach (string type in (string[])["frobnicate not found", "already required", ""])
        {
            JsonObject answer = session.Send("192.0.2.1", new JsonObject { ["type"] = type });
            Assert.Equal("request failed", answer.Error());
            Assert.Equal("unknown_type", answer.Code());
        }
    }

    [Fact]
    public void Replication_is_refused_and_the_connection_closed()
    {
        var session = new RegistrySession();
        JsonObject answer = session.Send("192.0.2.1", new JsonObject { ["type"] = "subscribe_replication", ["token"] = "x" });
        Assert.Equal("replication not configured", answer.Error());
        Assert.True(session.Connection("192.0.2.1").CloseRequested);
    }
}
