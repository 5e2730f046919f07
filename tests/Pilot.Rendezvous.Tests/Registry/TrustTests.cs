using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Tests.Registry;

/// <summary>Consent has a direction (spec 03 section 6.4, 05 section 15).</summary>
public sealed class TrustTests
{
    private readonly RegistrySession _session = new();
    private readonly TestNode _a;
    private readonly TestNode _b;

    public TrustTests()
    {
        _a = _session.Register("192.0.2.1");
        _b = _session.Register("192.0.2.2");
    }

    private bool Trusted(TestNode node, TestNode peer) => _a.CheckTrust(node.Id, peer.Id)["trusted"]!.GetValue<bool>();

    [Fact]
    public void Forgetting_a_node_leaves_no_trace_of_it_and_counts_right()
    {
        var graph = new TrustGraph();
        var model = new HashSet<(uint, uint)>();
        var random = new Random(5);
        for (int round = 0; round < 2000; round++)
        {
            uint a = (uint)random.Next(1, 12), b = (uint)random.Next(1, 12);
            switch (random.Next(8))
            {
                case < 4:
                    graph.Give(a, b);
                    model.Add((a, b));
                    break;
                case 4:
                    graph.AskByName(a, b);
                    break;
                case 5 or 6:
                    graph.Revoke(a, b);
                    model.Remove((a, b));
                    model.Remove((b, a));
                    break;
                default:
                    graph.Forget(a);
                    model.RemoveWhere(p => p.Item1 == a || p.Item2 == a);
                    Assert.DoesNotContain(a, graph.Revocations.Keys.Concat(graph.Revocations.Values.SelectMany(v => v)));
                    Assert.DoesNotContain(a, graph.AskedByName.Keys.Concat(graph.AskedByName.Values.SelectMany(v => v)));
                    break;
            }

            Assert.Equal(model.Order(), graph.Consents.SelectMany(c => c.Value.Select(to => (c.Key, to))).Order());
            Assert.Equal(model.Select(p => (Math.Min(p.Item1, p.Item2), Math.Max(p.Item1, p.Item2))).Distinct().Count(), graph.LinkCount);
        }
    }

    [Fact]
    public void Who_revokes_without_end_fills_no_store()
    {
        var graph = new TrustGraph();
        for (uint peer = 2; peer < 20_000; peer++)
        {
            graph.Give(1, peer);
            graph.Revoke(1, peer);
        }

        Assert.Equal(10_000, graph.Revocations[1].Count);
    }

    [Fact]
    public void One_report_opens_one_direction()
    {
        _a.Report(_b.Id);
        Assert.True(Trusted(_a, _b));
        Assert.False(Trusted(_b, _a));
        Assert.False(_a.Resolve(_b.Id).IsOk());
    }

    [Fact]
    public void Reference_policy_opens_both_with_one_report()
    {
        var session = new RegistrySession(RegistryPolicy.Reference);
        TestNode a = session.Register("192.0.2.1");
        TestNode b = session.Register("192.0.2.2");
        a.Report(b.Id);
        Assert.True(a.CheckTrust(b.Id, a.Id)["trusted"]!.GetValue<bool>());
        Assert.True(a.Resolve(b.Id).IsOk());
    }

    [Fact]
    public void Single_rule_can_be_switched_off_for_mixed_fleets()
    {
        var session = new RegistrySession(RegistryPolicy.Strict & ~RegistryPolicy.DirectionalConsent);
        TestNode a = session.Register("192.0.2.1");
        TestNode b = session.Register("192.0.2.2");
        a.Report(b.Id);
        Assert.True(a.Resolve(b.Id).IsOk());
    }

    [Fact]
    public void Revoking_ends_both_directions_and_the_other_side_cannot_restore_mine()
    {
        _a.Report(_b.Id);
        _b.Report(_a.Id);
        Assert.True(_b.Resolve(_a.Id).IsOk());
        Assert.True(_a.Revoke(_b.Id).IsOk());
        Assert.False(Trusted(_a, _b));
        Assert.False(Trusted(_b, _a));
        _b.Report(_a.Id);
        Assert.False(_b.Resolve(_a.Id).IsOk());
        Assert.False(Trusted(_a, _b));
        Assert.Equal("request failed", _session.Register("192.0.2.3").Revoke(_a.Id).Error());
    }

    [Fact]
    public void Relayed_handshake_opens_both_directions()
    {
        Assert.True(_a.Ask(_b.Id).IsOk());
        // The request alone lets B reach A, not A reach B.
        Assert.True(_b.Resolve(_a.Id).IsOk());
        Assert.False(_a.Resolve(_b.Id).IsOk());
        _b.Respond(_a.Id, accept: true);
        Assert.True(_a.Resolve(_b.Id).IsOk());
        Assert.True(Trusted(_a, _b));
        Assert.True(Trusted(_b, _a));
    }

    [Fact]
    public void Unsolicited_accept_opens_nothing_and_arrives_as_a_request()
    {
        Assert.True(_b.Respond(_a.Id, accept: true).IsOk());
        Assert.False(_b.Resolve(_a.Id).IsOk());
        Assert.False(Trusted(_a, _b));
        var poll = _a.Poll();
        Assert.Empty(poll["responses"]!.AsArray());
        Assert.Equal(_b.Id, poll["requests"]![0]!["from_node_id"]!.GetValue<uint>());
    }

    [Fact]
    public void Accept_polled_by_a_requester_that_reached_a_public_peer_directly_counts_as_its_consent()
    {
        _b.SetVisibility(true);
        Assert.True(_a.Resolve(_b.Id).IsOk());
        _b.Respond(_a.Id, accept: true);
        Assert.Single(_a.Poll()["responses"]!.AsArray());
        Assert.True(_b.Resolve(_a.Id).IsOk());
    }

    [Fact]
    public void Accept_polled_after_a_revocation_does_not()
    {
        _b.SetVisibility(true);
        _a.Report(_b.Id);
        _a.Resolve(_b.Id);
        _a.Revoke(_b.Id);
        _b.Respond(_a.Id, accept: true);
        _a.Poll();
        Assert.False(_b.Resolve(_a.Id).IsOk());
    }

    [Fact]
    public void Trust_in_oneself_and_beyond_the_cap_is_refused()
    {
        Assert.Equal("request failed", _a.Report(_a.Id).Error());
        var session = new RegistrySession(limits: new RegistryLimits { MaxConsentsPerNode = 2, RegistrationsPerMinute = 0 });
        TestNode[] nodes = [.. Enumerable.Range(1, 4).Select(i => session.Register($"192.0.2.{i}"))];
        Assert.True(nodes[0].Report(nodes[1].Id).IsOk());
        Assert.True(nodes[0].Report(nodes[2].Id).IsOk());
        Assert.Equal("full", nodes[0].Report(nodes[3].Id).Code());
        Assert.True(nodes[0].Report(nodes[1].Id).IsOk());
    }

    [Fact]
    public void Trust_survives_reaping_and_deregistration_of_the_same_key()
    {
        _a.Report(_b.Id);
        _b.Report(_a.Id);
        _b.Deregister();
        _b.Register();
        Assert.True(Trusted(_a, _b));
        Assert.Equal(1, _session.State.Trust.LinkCount);
    }
}
