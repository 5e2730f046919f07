using Pilot.Engine.Trust;

namespace Pilot.Engine.Tests.Trust;

/// <summary>Both ways in parallel, retries, what the caller is told (spec 05 section 7), and when to poll (section 9).</summary>
public class DeliveryTests
{
    private readonly TrustDriver _b = new(1002, TrustVectors.B);
    private long _command;

    [Fact]
    public void Both_ways_start_at_once_and_the_first_answers_the_caller()
    {
        (TrustEffect.SendDirect direct, TrustEffect.RequestHandshake registry) = Request();
        List<TrustEffect> effects = _b.Take(() => _b.Book.CompleteDirect(_b.Clock, direct.Token, isDelivered: true));
        Assert.Equal(new TrustCommandResult(TrustStatus.Sent, 1001, Delivery: TrustDelivery.Direct), _b.Finished(_command, effects));
        effects = _b.Take(() => _b.Book.CompleteRegistry(_b.Clock, registry.Token, true, null));
        Assert.DoesNotContain(effects, effect => effect is TrustEffect.CommandFinished);
    }

    [Fact]
    public void A_refusal_of_the_registry_is_passed_on_when_the_direct_way_fails_too()
    {
        (TrustEffect.SendDirect direct, TrustEffect.RequestHandshake registry) = Request();
        List<TrustEffect> effects = _b.Take(() => _b.Book.CompleteRegistry(_b.Clock, registry.Token, true, "node 1001: node not found"));
        Assert.DoesNotContain(effects, effect => effect is TrustEffect.CommandFinished);
        effects = _b.Take(() => _b.Book.CompleteDirect(_b.Clock, direct.Token, isDelivered: false));
        TrustCommandResult result = _b.Finished(_command, effects);
        Assert.Equal((TrustError.NotFound, "handshake request: handshake relay: registry: node 1001: node not found"), (result.Error, result.Message));
        Assert.Empty(_b.Book.Requested);
    }

    [Fact]
    public void After_five_seconds_the_caller_is_told_that_it_is_pending_and_the_tries_go_on()
    {
        (_, TrustEffect.RequestHandshake registry) = Request();
        _b.Book.CompleteRegistry(_b.Clock, registry.Token, isAnswered: false, null);
        List<TrustEffect> effects = _b.Take(() => _b.Wait(TimeSpan.FromSeconds(4.9)));
        Assert.DoesNotContain(effects, effect => effect is TrustEffect.CommandFinished);
        Assert.Single(effects.OfType<TrustEffect.RequestHandshake>(), again => again.Token == registry.Token);
        effects = _b.Take(() => _b.Wait(TimeSpan.FromSeconds(0.2)));
        Assert.Equal(new TrustCommandResult(TrustStatus.Sent, 1001, Delivery: TrustDelivery.Pending), _b.Finished(_command, effects));
        Assert.True(_b.Book.Snapshot.HasOutgoingMark(1001));
    }

    [Fact]
    public void Registry_operations_are_retried_with_growing_waits_and_at_once_when_it_is_back()
    {
        (_, TrustEffect.RequestHandshake registry) = Request();
        var tries = new List<double>();
        Instant start = _b.Clock.Now;
        _b.Book.CompleteRegistry(_b.Clock, registry.Token, isAnswered: false, null);
        for (int i = 0; i < 1200; i++)
        {
            foreach (TrustEffect.RequestHandshake again in _b.Take(() => _b.Wait(TimeSpan.FromMilliseconds(100))).OfType<TrustEffect.RequestHandshake>())
            {
                tries.Add((_b.Clock.Now - start).TotalSeconds);
                _b.Book.CompleteRegistry(_b.Clock, again.Token, isAnswered: false, null);
            }
        }

        Assert.Equal([1, 3, 7, 15, 31, 61, 91], tries.Take(7).Select(t => Math.Round(t)));
        List<TrustEffect> effects = _b.Take(_b.Book.RegistryAvailable);
        Assert.Single(effects.OfType<TrustEffect.RequestHandshake>());
    }

    [Fact]
    public void What_a_peer_is_to_be_told_waits_while_the_registry_does_not_know_it()
    {
        _b.Book.Request(_b.Clock, 1001, "");
        _b.Take();
        TrustDriver restarted = _b.Restart();
        List<TrustEffect> effects = restarted.Take(() => restarted.Book.Registered(1002));
        Assert.DoesNotContain(effects, effect => effect is TrustEffect.RequestHandshake); // Of the start, still in flight.
        for (long token = 1; token < 20; token++)
        {
            restarted.Book.CompleteRegistry(restarted.Clock, token, true, "node 1001: node not found");
        }

        Assert.True(restarted.Book.Snapshot.HasOutgoingMark(1001));
        effects = restarted.Take(() => restarted.Wait(TimeSpan.FromSeconds(2)));
        Assert.Single(effects.OfType<TrustEffect.RequestHandshake>());
    }

    [Fact]
    public void A_later_decision_replaces_an_earlier_one_that_waits()
    {
        _b.Relayed(1001);
        List<TrustEffect> effects = _b.Take(() => _b.Book.Approve(_b.Clock, 1001));
        long report = effects.OfType<TrustEffect.ReportTrust>().Single().Token;
        long respond = effects.OfType<TrustEffect.RespondHandshake>().Single().Token;
        Assert.True(report < respond);
        _b.Book.CompleteRegistry(_b.Clock, report, isAnswered: false, null);
        _b.Book.CompleteRegistry(_b.Clock, respond, isAnswered: false, null);
        effects = _b.Take(() =>
        {
            _b.Book.Untrust(_b.Clock, 1001);
            _b.Wait(TimeSpan.FromMinutes(5));
        });
        Assert.DoesNotContain(effects, effect => effect is TrustEffect.ReportTrust or TrustEffect.RespondHandshake { Accept: true });
        Assert.Contains(effects, effect => effect is TrustEffect.RevokeTrust { NodeId: 1001 });
    }

    [Fact]
    public void A_registration_tells_the_registry_everything_again()
    {
        MessageRuleTests.Trust(_b, new TrustDriver(1001, TrustVectors.A));
        _b.Book.Request(_b.Clock, 5000, "why");
        _b.Take();
        List<TrustEffect> effects = _b.Take(() => _b.Book.Registered(1002));
        Assert.DoesNotContain(effects, effect => effect is TrustEffect.ReportTrust); // Still in flight: not twice.
        foreach (long token in Enumerable.Range(1, 100))
        {
            _b.Book.CompleteRegistry(_b.Clock, token, true, null);
        }

        effects = _b.Take(() => _b.Book.Registered(1002));
        Assert.Contains(effects, effect => effect is TrustEffect.ReportTrust { NodeId: 1001 });
        Assert.Contains(effects, effect => effect is TrustEffect.RequestHandshake { NodeId: 5000, Justification: "why" });
    }

    [Fact]
    public void An_already_trusted_peer_is_asked_again_in_the_background()
    {
        MessageRuleTests.Trust(_b, new TrustDriver(1001, TrustVectors.A));
        foreach (long token in Enumerable.Range(1, 100))
        {
            _b.Book.CompleteDirect(_b.Clock, token, true);
            _b.Book.CompleteRegistry(_b.Clock, token, true, null);
        }

        List<TrustEffect> effects = _b.Take(() => _command = _b.Book.Request(_b.Clock, 1001, ""));
        Assert.Equal(TrustStatus.AlreadyTrusted, _b.Finished(_command, effects).Status);
        Assert.Contains(effects, effect => effect is TrustEffect.SendDirect);
        Assert.Contains(effects, effect => effect is TrustEffect.RequestHandshake);
        Assert.Empty(_b.Book.Requested);
    }

    [Fact]
    public void One_direct_message_per_peer_is_on_its_way_and_only_the_latest_waits()
    {
        var box = new DirectOutbox();
        foreach (long token in Enumerable.Range(1, 5))
        {
            box.Add(new DirectMessage(token, 7, [], false));
        }

        Assert.True(box.TryTake(out DirectMessage first));
        Assert.False(box.TryTake(out _));
        Assert.Equal(1, first.Token);
        Assert.True(box.Complete(1));
        Assert.True(box.TryTake(out DirectMessage last));
        Assert.Equal(5, last.Token);
        Assert.True(box.Complete(5));
        Assert.False(box.Complete(5));
        Assert.Equal(0, box.Count);
    }

    [Fact]
    public void Polls_are_fast_for_a_minute_after_an_action_and_slow_otherwise()
    {
        var schedule = new PollSchedule();
        Assert.Equal(Instant.Never, schedule.NextPoll);
        var start = new Instant(0);
        schedule.Registered(start);
        Assert.Equal(start, schedule.NextPoll);
        Poll(start);
        Assert.Equal(start + TimeSpan.FromSeconds(15), schedule.NextPoll);
        schedule.TrustAction(start);
        var polls = new List<double>();
        while (schedule.NextPoll <= start + TimeSpan.FromSeconds(100))
        {
            polls.Add((schedule.NextPoll - start).TotalSeconds);
            Poll(schedule.NextPoll);
        }

        Assert.Equal([.. Enumerable.Range(1, 30).Select(i => 2.0 * i), 75, 90], polls);
        schedule.Look(start + TimeSpan.FromSeconds(91));
        Assert.Equal(start + TimeSpan.FromSeconds(105), schedule.NextPoll);
        schedule.Look(start + TimeSpan.FromSeconds(92));
        Assert.True(schedule.NextPoll <= start + TimeSpan.FromSeconds(92));
        schedule.Unregistered();
        Assert.Equal(Instant.Never, schedule.NextPoll);

        void Poll(Instant now)
        {
            schedule.Sent();
            Assert.Equal(Instant.Never, schedule.NextPoll);
            schedule.Finished(now);
        }
    }

    private (TrustEffect.SendDirect Direct, TrustEffect.RequestHandshake Registry) Request()
    {
        List<TrustEffect> effects = _b.Take(() => _command = _b.Book.Request(_b.Clock, 1001, "hi"));
        Assert.DoesNotContain(effects, effect => effect is TrustEffect.CommandFinished);
        Assert.Contains(effects, effect => effect is TrustEffect.PollSoon);
        return (Assert.Single(effects.OfType<TrustEffect.SendDirect>()), Assert.Single(effects.OfType<TrustEffect.RequestHandshake>()));
    }
}
