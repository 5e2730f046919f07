using Pilot.Engine.Trust;
using Pilot.Protocol.Trust;

namespace Pilot.Engine.Tests.Trust;

/// <summary>The states of spec 05 section 16.5, approval by itself, revocation, pinned keys, names, persistence.</summary>
public class TrustStateTests
{
    private readonly TrustDriver _a = new(1001, TrustVectors.A);
    private readonly TrustDriver _b = new(1002, TrustVectors.B);
    private readonly TrustDriver _c = new(1003, TrustVectors.C);

    [Fact]
    public void A_request_is_announced_once_and_waits()
    {
        Assert.Equal([TrustEventNames.Received, TrustEventNames.Pending], _b.Events(() => _b.Receive(_a, TrustMessageType.Request, "hi")));
        Assert.Equal([TrustEventNames.Received, TrustEventNames.Pending], _b.Events(() => _b.Relayed(1003, "hello")));
        Assert.Empty(_b.Events(() => _b.Relayed(1003, "hello")));
        Assert.Equal([1001u, 1003u], _b.Book.Pending.Select(request => request.NodeId));
    }

    [Fact]
    public void Two_requests_that_cross_are_mutual()
    {
        _b.Book.Request(_b.Clock, 1001, "");
        List<TrustEffect> effects = _b.Take(() => _b.Receive(_a, TrustMessageType.Request));
        Assert.True(Assert.Single(_b.Book.Trusted).Mutual);
        Assert.Contains(effects, effect => effect is TrustEffect.Raise { Event: { Name: TrustEventNames.AutoApproved, Reason: "mutual" } });
        Assert.Contains(effects, effect => effect is TrustEffect.ReportTrust { NodeId: 1001 });
        Assert.Contains(effects, effect => effect is TrustEffect.RespondHandshake { NodeId: 1001, Accept: true });
        Assert.Contains(effects, effect => effect is TrustEffect.Save);
        Assert.Contains(effects, effect => effect is TrustEffect.TrustChanged);
    }

    [Fact]
    public void A_relayed_request_that_crosses_ours_is_mutual_and_its_key_is_pinned_later()
    {
        _b.Book.Request(_b.Clock, 1001, "");
        List<TrustEffect> effects = _b.Take(() => _b.Relayed(1001));
        Assert.Contains(effects, effect => effect is TrustEffect.LookupKey { NodeId: 1001 });
        Assert.Equal("", Assert.Single(_b.Book.Trusted).PublicKey);
        _b.Lookup(_a, "agent-a");
        TrustedPeer peer = Assert.Single(_b.Book.Trusted);
        Assert.Equal((_a.Identity.PublicKeyText, "agent-a"), (peer.PublicKey, peer.Hostname));
        Assert.False(_b.Book.Snapshot.IsTrusted(1001, _c.Identity.PublicKeySpan));
    }

    [Fact]
    public void A_request_while_the_peer_waits_is_an_approval()
    {
        _b.Relayed(1001, "please");
        long token = 0;
        List<TrustEffect> effects = _b.Take(() => token = _b.Book.Request(_b.Clock, 1001, ""));
        long registry = effects.OfType<TrustEffect.RespondHandshake>().Single().Token;
        effects = _b.Take(() => _b.Book.CompleteRegistry(_b.Clock, registry, true, null));
        Assert.Equal(new TrustCommandResult(TrustStatus.Approved, 1001, Delivery: TrustDelivery.Relayed), _b.Finished(token, effects));
        Assert.Empty(_b.Book.Pending);
        Assert.Equal(1001u, Assert.Single(_b.Book.Trusted).NodeId);
    }

    [Fact]
    public void Approve_reject_untrust_withdraw_of_nobody_are_refused()
    {
        AssertError(TrustError.NotFound, b => b.Approve(_b.Clock, 1001));
        AssertError(TrustError.NotFound, b => b.Reject(_b.Clock, 1001, ""));
        AssertError(TrustError.NotTrusted, b => b.Untrust(_b.Clock, 1001));
        AssertError(TrustError.NotFound, b => b.Withdraw(_b.Clock, 1001));
        AssertError(TrustError.NotFound, b => b.Withdraw(_b.Clock, "nobody"));
        AssertError(TrustError.InvalidArgument, b => b.Request(_b.Clock, 0, ""));
        AssertError(TrustError.InvalidArgument, b => b.Request(_b.Clock, uint.MaxValue, ""));
        AssertError(TrustError.InvalidArgument, b => b.Request(_b.Clock, 1001, new string('x', 1025)));
        AssertError(TrustError.InvalidArgument, b => b.Request(_b.Clock, 1001, new string('<', 700)));
        Assert.Empty(_b.Book.Requested);
    }

    [Fact]
    public void A_rejected_request_is_forgotten_on_both_sides()
    {
        _a.Book.Request(_a.Clock, 1002, "");
        _b.Receive(_a, TrustMessageType.Request);
        long token = 0;
        List<TrustEffect> effects = _b.Take(() => token = _b.Book.Reject(_b.Clock, 1001, "no"));
        Assert.Contains(effects, effect => effect is TrustEffect.RespondHandshake { NodeId: 1001, Accept: false });
        Assert.DoesNotContain(effects, effect => effect is TrustEffect.SendDirect);
        Assert.Empty(_b.Book.Pending);
        effects = _a.Take(() => _a.RelayedResponse(1002, accept: false));
        Assert.Empty(_a.Book.Requested);
        Assert.Contains(effects, effect => effect is TrustEffect.Raise { Event.Name: TrustEventNames.Rejected });
        Assert.Contains(effects, effect => effect is TrustEffect.RevokeTrust { NodeId: 1002 });
    }

    [Fact]
    public void Revocation_tells_the_peer_first_then_tears_down_and_denies()
    {
        MessageRuleTests.Trust(_b, _a);
        List<TrustEffect> effects = _b.Take(() => _b.Book.Untrust(_b.Clock, 1001));
        Assert.False(_b.Trusts(_a));
        Assert.True(_b.Book.Snapshot.IsDenied(1001));
        TrustEffect.SendDirect direct = Assert.Single(effects.OfType<TrustEffect.SendDirect>());
        Assert.True(direct.ExistingTunnelOnly);
        Assert.True(TrustMessage.TryParse(direct.Message, out TrustMessage? message));
        Assert.Equal((TrustMessageType.Revoke, "trust revoked"), (message!.Type, message.Reason));
        Assert.DoesNotContain(effects, effect => effect is TrustEffect.PeerRevoked);
        Assert.Contains(effects, effect => effect is TrustEffect.RevokeTrust { NodeId: 1001 });

        effects = _b.Take(() => _b.Book.CompleteDirect(_b.Clock, direct.Token, isDelivered: true));
        Assert.Contains(effects, effect => effect is TrustEffect.PeerRevoked { NodeId: 1001 });

        // The peer's own report restores the pair at a reference registry (W5): the next registration revokes again.
        for (long token = 1; token < 100; token++)
        {
            _b.Book.CompleteRegistry(_b.Clock, token, true, null);
        }

        effects = _b.Take(() => _b.Book.Registered(1002));
        Assert.Contains(effects, effect => effect is TrustEffect.RevokeTrust { NodeId: 1001 });
        Assert.DoesNotContain(effects, effect => effect is TrustEffect.ReportTrust);
    }

    [Fact]
    public void Revocation_tears_down_after_two_seconds_whatever_the_peer_does()
    {
        MessageRuleTests.Trust(_b, _a);
        _b.Book.Untrust(_b.Clock, 1001);
        Assert.DoesNotContain(_b.Take(() => _b.Wait(TimeSpan.FromSeconds(1.9))), effect => effect is TrustEffect.PeerRevoked);
        Assert.Contains(_b.Take(() => _b.Wait(TimeSpan.FromSeconds(0.2))), effect => effect is TrustEffect.PeerRevoked { NodeId: 1001 });
    }

    [Fact]
    public void A_revoked_peer_is_never_approved_automatically()
    {
        MessageRuleTests.Trust(_b, _a);
        _b.Book.Untrust(_b.Clock, 1001);
        _b.Book.AutoApprove = AutoApprove.All;
        _b.Receive(_a, TrustMessageType.Request);
        _b.Relayed(1001);
        Assert.Empty(_b.Book.Trusted);
        Assert.Single(_b.Book.Pending);
        Assert.True(_b.Book.Snapshot.IsDenied(1001));
        _b.Book.Approve(_b.Clock, 1001);
        Assert.True(_b.Trusts(_a));
        Assert.False(_b.Book.Snapshot.IsDenied(1001));
    }

    [Fact]
    public void A_revoke_of_the_peer_ends_trust_and_is_not_reported_again()
    {
        MessageRuleTests.Trust(_b, _a);
        _b.Wait(TimeSpan.FromSeconds(1));
        List<TrustEffect> effects = _b.Take(() => _b.Receive(_a, TrustMessageType.Revoke));
        Assert.False(_b.Trusts(_a));
        Assert.Contains(effects, effect => effect is TrustEffect.PeerRevoked { NodeId: 1001 });
        Assert.Contains(effects, effect => effect is TrustEffect.Raise { Event.Name: TrustEventNames.RevokedByPeer });
        Assert.Equal(FormerPeerState.RevokedByPeer, Assert.Single(_b.Book.Former).State);
        Assert.False(_b.Book.Snapshot.IsDenied(1001));
        Assert.DoesNotContain(_b.Take(() => _b.Book.Registered(1002)), effect => effect is TrustEffect.ReportTrust);
    }

    [Fact]
    public void A_new_key_at_the_registry_suspends_trust_W8()
    {
        MessageRuleTests.Trust(_b, _a);
        List<TrustEffect> effects = _b.Take(() => _b.Book.CompleteLookup(_b.Clock, 1001, new TrustLookup(true, _c.Identity.PublicKey, [])));
        Assert.Empty(_b.Book.Trusted);
        FormerPeer former = Assert.Single(_b.Book.Former);
        Assert.Equal((FormerPeerState.KeyChanged, _a.Identity.PublicKeyText, _c.Identity.PublicKeyText), (former.State, former.PublicKey, former.NewPublicKey));
        Assert.Contains(effects, effect => effect is TrustEffect.PeerRevoked { NodeId: 1001 });
        Assert.Contains(effects, effect => effect is TrustEffect.RevokeTrust { NodeId: 1001 });
        Assert.Contains(effects, effect => effect is TrustEffect.Raise { Event.Name: TrustEventNames.KeyChanged });
    }

    [Fact]
    public void A_relayed_request_of_a_trusted_peer_is_answered_only_when_its_key_is_still_the_pinned_one_W8()
    {
        MessageRuleTests.Trust(_b, _a);
        _b.Lookup(_a);
        _b.Take();
        Assert.DoesNotContain(_b.Take(() => _b.Relayed(1001)), effect => effect is TrustEffect.RespondHandshake);
        Assert.Contains(_b.Take(() => _b.Lookup(_a)), effect => effect is TrustEffect.RespondHandshake { Accept: true });

        _b.Relayed(1001);
        List<TrustEffect> effects = _b.Take(() => _b.Book.CompleteLookup(_b.Clock, 1001, new TrustLookup(true, _c.Identity.PublicKey, [])));
        Assert.DoesNotContain(effects, effect => effect is TrustEffect.RespondHandshake { Accept: true });
        Assert.Empty(_b.Book.Trusted);
    }

    [Fact]
    public void A_node_that_the_registry_forgot_keeps_its_trust()
    {
        MessageRuleTests.Trust(_b, _a);
        _b.Book.CompleteLookup(_b.Clock, 1001, new TrustLookup(true, null, []));
        _b.Book.CompleteLookup(_b.Clock, 1001, TrustLookup.Unavailable);
        Assert.True(_b.Trusts(_a));
    }

    [Fact]
    public void Same_network_is_automatic_only_with_the_option_and_remembers_the_network()
    {
        _b.Book.SetNetworks([0, 9, 7]);
        _b.Receive(_a, TrustMessageType.Request);
        _b.Lookup(_a, "", 0, 7, 9);
        Assert.Empty(_b.Book.Trusted);

        _b.Book.AutoApprove = AutoApprove.SameNetwork;
        IReadOnlyList<string> events = _b.Events(() =>
        {
            _b.Relayed(1003);
            _b.Lookup(_c, "", 0, 7, 9);
        });
        Assert.Equal([TrustEventNames.Received, TrustEventNames.AutoApproved, TrustEventNames.Established], events);
        TrustedPeer peer = Assert.Single(_b.Book.Trusted);
        Assert.Equal((1003u, (ushort)9, false), (peer.NodeId, peer.Network, peer.Mutual));
        Assert.Equal(TrustStanding.WhileNetworkShared, _b.Book.Snapshot.Standing(1003, _c.Identity.PublicKeySpan));
    }

    [Fact]
    public void All_is_automatic_for_both_ways()
    {
        _b.Book.AutoApprove = AutoApprove.All;
        _b.Receive(_a, TrustMessageType.Request);
        _b.Relayed(1003);
        Assert.Equal([1001u, 1003u], _b.Book.Trusted.Select(peer => peer.NodeId));
    }

    [Fact]
    public void Pending_is_capped_on_both_ways_and_expires()
    {
        for (uint node = 2000; node < 2400; node++)
        {
            _b.Relayed(node);
        }

        Assert.Equal(TrustLimits.MaxPending, _b.Book.Pending.Count);
        _b.Receive(_a, TrustMessageType.Request);
        Assert.Equal(TrustLimits.MaxPending, _b.Book.Pending.Count);
        _b.Book.Request(_b.Clock, 5000, "");
        _b.Wait(TimeSpan.FromDays(7) + TimeSpan.FromMinutes(2));
        Assert.Empty(_b.Book.Pending);
        Assert.Empty(_b.Book.Requested);
        Assert.False(_b.Book.Snapshot.HasOutgoingMark(5000));
    }

    [Fact]
    public void A_request_by_name_is_matched_by_the_names_that_our_registry_adds()
    {
        long token = 0;
        List<TrustEffect> effects = _a.Take(() => token = _a.Book.RequestByHostname(_a.Clock, "agent-b", "hi"));
        TrustEffect.RequestHandshake request = Assert.Single(effects.OfType<TrustEffect.RequestHandshake>());
        Assert.Equal((0u, "agent-b", "hi"), (request.NodeId, request.Hostname, request.Justification));
        effects = _a.Take(() => _a.Book.CompleteRegistry(_a.Clock, request.Token, true, null));
        Assert.Equal(new TrustCommandResult(TrustStatus.Sent, 0, "agent-b", TrustDelivery.Relayed), _a.Finished(token, effects));

        _a.RelayedResponse(1003, accept: true, hostname: "agent-c");
        Assert.Empty(_a.Book.Trusted);
        _a.RelayedResponse(1002, accept: true, hostname: "agent-b");
        TrustedPeer peer = Assert.Single(_a.Book.Trusted);
        Assert.Equal((1002u, "agent-b", true), (peer.NodeId, peer.Hostname, peer.Mutual));
        Assert.Empty(_a.Book.Requested);
        Assert.Equal(1002u, _a.Book.FindByHostname("agent-b"));
    }

    [Fact]
    public void Requests_by_name_that_cross_are_mutual()
    {
        _a.Book.RequestByHostname(_a.Clock, "agent-b", "");
        _a.Relayed(1002, "", "agent-b");
        Assert.Equal(1002u, Assert.Single(_a.Book.Trusted).NodeId);
    }

    [Fact]
    public void A_direct_accept_of_a_node_asked_by_name_waits_for_the_registrys_word()
    {
        _a.Book.RequestByHostname(_a.Clock, "agent-b", "");
        Assert.Equal(MessageVerdict.Held, _a.Receive(_b, TrustMessageType.Accept));
        Assert.Equal(MessageVerdict.Held, _a.Receive(_c, TrustMessageType.Accept));
        Assert.Empty(_a.Book.Trusted);
        _a.Lookup(_c, "agent-c");
        Assert.Empty(_a.Book.Trusted);
        _a.Lookup(_b, "agent-b");
        Assert.True(_a.Trusts(_b));
        for (uint node = 3000; node < 3100; node++)
        {
            var stranger = new TrustDriver(node, TrustVectors.C);
            _a.Receive(stranger, TrustMessageType.Accept);
        }

        Assert.False(_a.Trusts(_c));
    }

    [Fact]
    public void A_name_that_a_reference_registry_cannot_relay_is_an_error()
    {
        long token = 0;
        List<TrustEffect> effects = _a.Take(() => token = _a.Book.RequestByHostname(_a.Clock, "agent-b", ""));
        long registry = effects.OfType<TrustEffect.RequestHandshake>().Single().Token;
        effects = _a.Take(() => _a.Book.CompleteRegistry(_a.Clock, registry, true, "node 0: node not found"));
        Assert.Equal((TrustStatus.Failed, TrustError.NotFound), (_a.Finished(token, effects).Status, _a.Finished(token, effects).Error));
        Assert.Empty(_a.Book.Requested);
    }

    [Fact]
    public void Everything_survives_a_restart()
    {
        MessageRuleTests.Trust(_b, _a);
        _b.Lookup(_a, "agent-a");
        _b.Book.Request(_b.Clock, 5000, "why <not>");
        _b.Book.RequestByHostname(_b.Clock, "agent-x", "x");
        _b.Relayed(6000, "pending \"one\"");
        MessageRuleTests.Trust(_b, _c);
        _b.Book.Untrust(_b.Clock, 1003);
        TrustDriver restarted = _b.Restart();
        Assert.Equal(_b.Book.Trusted, restarted.Book.Trusted);
        Assert.Equal(_b.Book.Pending, restarted.Book.Pending);
        Assert.Equal(_b.Book.Requested, restarted.Book.Requested);
        Assert.Equal(_b.Book.Former, restarted.Book.Former);
        Assert.Equal(_b.Book.FormatExtensionFile(), restarted.Book.FormatExtensionFile());
        Assert.True(restarted.Book.Snapshot.IsDenied(1003));
        Assert.True(restarted.Book.Snapshot.HasOutgoingMark(5000));
    }

    [Fact]
    public void The_pinned_key_and_the_deny_list_win_over_a_trust_file_that_a_reference_rewrote()
    {
        var extension = new TrustExtension(
            [],
            new Dictionary<uint, string> { [1001] = _a.Identity.PublicKeyText },
            [new FormerPeer { NodeId = 1003, State = FormerPeerState.Revoked, Since = TrustDriver.Start }],
            new Dictionary<uint, string>());
        TrustedPeer[] file =
        [
            new() { NodeId = 1001, PublicKey = _c.Identity.PublicKeyText, ApprovedAt = TrustDriver.Start },
            new() { NodeId = 1003, PublicKey = _c.Identity.PublicKeyText, ApprovedAt = TrustDriver.Start },
        ];
        var book = new TrustBook(TrustVectors.B, file, [], extension);
        Assert.True(book.Snapshot.IsTrusted(1001, _a.Identity.PublicKeySpan));
        Assert.False(book.Snapshot.IsTrusted(1001, _c.Identity.PublicKeySpan));
        Assert.False(book.Snapshot.IsTrusted(1003, _c.Identity.PublicKeySpan));
    }

    [Fact]
    public void What_strangers_cause_is_saved_once_and_decisions_before_they_are_answered()
    {
        List<TrustEffect> effects = _b.Take(() =>
        {
            for (uint node = 2000; node < 2050; node++)
            {
                _b.Relayed(node);
            }

            _b.Wait(TimeSpan.FromMilliseconds(300));
        });
        Assert.Single(effects.OfType<TrustEffect.Save>());
        effects = _b.Take(() => _b.Book.Approve(_b.Clock, 2000));
        Assert.Contains(effects, effect => effect is TrustEffect.Save);
    }

    private void AssertError(TrustError error, Func<TrustBook, long> command)
    {
        long token = 0;
        List<TrustEffect> effects = _b.Take(() => token = command(_b.Book));
        TrustCommandResult result = _b.Finished(token, effects);
        Assert.Equal((TrustStatus.Failed, error), (result.Status, result.Error));
        Assert.NotNull(result.Message);
        Assert.DoesNotContain(effects, effect => effect is TrustEffect.SendDirect or TrustEffect.RequestHandshake or TrustEffect.RespondHandshake);
    }
}
