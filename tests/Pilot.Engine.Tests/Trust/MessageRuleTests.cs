using System.Text;
using Pilot.Engine.Trust;
using Pilot.Protocol;
using Pilot.Protocol.Trust;

namespace Pilot.Engine.Tests.Trust;

/// <summary>Rules B1 to B9 of spec 05 section 5.2, and the ways around trust of section 15 that they close.</summary>
public class MessageRuleTests
{
    private readonly TrustDriver _a = new(1001, TrustVectors.A);
    private readonly TrustDriver _b = new(1002, TrustVectors.B);
    private readonly TrustDriver _c = new(1003, TrustVectors.C);

    [Fact]
    public void B1_a_message_without_key_or_signature_is_dropped()
    {
        foreach (string text in new[]
        {
            """{"type":"handshake_request","node_id":1001,"timestamp":1775001600}""",
            $$"""{"type":"handshake_request","node_id":1001,"public_key":"{{_a.Identity.PublicKeyText}}","timestamp":1775001600}""",
        })
        {
            Assert.NotEqual(MessageVerdict.Accepted, _b.Book.ReceiveDirect(_b.Clock, Encoding.UTF8.GetBytes(text), 1001, _a.Identity.PublicKeySpan));
        }

        Assert.Empty(_b.Book.Pending);
    }

    [Fact]
    public void B2_the_sender_is_the_node_at_the_end_of_the_tunnel()
    {
        byte[] message = _b.Message(_a, TrustMessageType.Request);
        Assert.Equal(MessageVerdict.WrongSender, _b.Book.ReceiveDirect(_b.Clock, message, 1003, _a.Identity.PublicKeySpan));
        Assert.Equal(MessageVerdict.Accepted, _b.Book.ReceiveDirect(_b.Clock, message, 1001, _a.Identity.PublicKeySpan));
    }

    [Fact]
    public void B3_the_key_is_the_registrys_or_else_the_pinned_one_or_else_none()
    {
        byte[] message = _b.Message(_a, TrustMessageType.Request, "1");
        Assert.Equal(MessageVerdict.WrongKey, _b.Book.ReceiveDirect(_b.Clock, message, 1001, _c.Identity.PublicKeySpan));
        Assert.Equal(MessageVerdict.WrongKey, _b.Book.ReceiveDirect(_b.Clock, message, 1001, []));

        _b.Receive(_a, TrustMessageType.Request);
        _b.Book.Approve(_b.Clock, 1001);
        Assert.Equal(MessageVerdict.Accepted, _b.Book.ReceiveDirect(_b.Clock, message, 1001, []));
    }

    [Fact]
    public void B4_a_bad_signature_does_not_use_up_the_good_message()
    {
        byte[] good = _b.Message(_a, TrustMessageType.Request, "x");
        byte[] bad = _b.Message(_c, TrustMessageType.Request, "x");
        byte[] mixed = Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(bad).Replace("1003", "1001", StringComparison.Ordinal).Replace(_c.Identity.PublicKeyText, _a.Identity.PublicKeyText, StringComparison.Ordinal));
        Assert.Equal(MessageVerdict.BadSignature, _b.Book.ReceiveDirect(_b.Clock, mixed, 1001, _a.Identity.PublicKeySpan));
        Assert.Equal(MessageVerdict.Accepted, _b.Book.ReceiveDirect(_b.Clock, good, 1001, _a.Identity.PublicKeySpan));
        Assert.Equal(MessageVerdict.Replayed, _b.Book.ReceiveDirect(_b.Clock, good, 1001, _a.Identity.PublicKeySpan));
        byte[] spaced = Encoding.UTF8.GetBytes(" " + Encoding.UTF8.GetString(good));
        Assert.Equal(MessageVerdict.Replayed, _b.Book.ReceiveDirect(_b.Clock, spaced, 1001, _a.Identity.PublicKeySpan));
    }

    [Fact]
    public void B4_a_full_replay_set_evicts_the_oldest_and_one_sender_only_its_own()
    {
        var set = new ReplaySet(capacity: 100, capacityPerSender: 10, TimeSpan.FromMinutes(10));
        byte[] digest = new byte[32];
        var now = new Instant(0);
        for (uint sender = 1; sender <= 5; sender++)
        {
            for (byte i = 0; i < 20; i++)
            {
                digest[0] = i;
                Assert.True(set.TryAdd(now, sender, digest));
            }
        }

        Assert.Equal(50, set.Count);
        for (uint sender = 10; sender < 120; sender++)
        {
            Assert.True(set.TryAdd(now, sender, digest));
        }

        Assert.Equal(100, set.Count);
        Assert.False(set.TryAdd(now, 119, digest));
        Assert.True(set.TryAdd(now, 1, digest));
        Assert.True(set.TryAdd(now + TimeSpan.FromMinutes(10), 119, digest));
        Assert.Equal(1, set.Count);
    }

    [Fact]
    public void B5_an_accept_needs_a_mark()
    {
        Assert.Equal(MessageVerdict.Unsolicited, _b.Receive(_a, TrustMessageType.Accept));
        Assert.Empty(_b.Book.Trusted);
        _b.Book.Request(_b.Clock, 1001, "");
        _b.Wait(TimeSpan.FromSeconds(1));
        Assert.Equal(MessageVerdict.Accepted, _b.Receive(_a, TrustMessageType.Accept));
        Assert.True(_b.Trusts(_a));
        Assert.False(_b.Book.Snapshot.HasOutgoingMark(1001));
    }

    [Fact]
    public void B5_a_relayed_accept_without_mark_is_a_request_W2()
    {
        List<TrustEffect> effects = _b.Take(() => _b.RelayedResponse(1001, accept: true));
        Assert.Empty(_b.Book.Trusted);
        Assert.Equal(1001u, Assert.Single(_b.Book.Pending).NodeId);
        Assert.DoesNotContain(effects, effect => effect is TrustEffect.ReportTrust or TrustEffect.RespondHandshake);
    }

    [Fact]
    public void B5_an_accept_of_a_trusted_peer_makes_it_mutual()
    {
        _b.Receive(_a, TrustMessageType.Request);
        _b.Book.Approve(_b.Clock, 1001);
        Assert.False(Assert.Single(_b.Book.Trusted).Mutual);
        _b.Receive(_a, TrustMessageType.Accept);
        Assert.True(Assert.Single(_b.Book.Trusted).Mutual);
    }

    [Fact]
    public void B6_revoke_and_reject_touch_only_their_sender_W4()
    {
        Trust(_b, _a);
        _b.Book.Request(_b.Clock, 5000, "");
        byte[] revoke = Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(_b.Message(_c, TrustMessageType.Revoke)).Replace("1003", "1001", StringComparison.Ordinal));
        Assert.Equal(MessageVerdict.WrongSender, _b.Book.ReceiveDirect(_b.Clock, revoke, 1003, _c.Identity.PublicKeySpan));
        Assert.Equal(MessageVerdict.Accepted, _b.Receive(_c, TrustMessageType.Revoke));
        Assert.Equal(MessageVerdict.Accepted, _b.Receive(_c, TrustMessageType.Reject));
        Assert.True(_b.Trusts(_a));
        Assert.True(_b.Book.Snapshot.HasOutgoingMark(5000));
    }

    [Fact]
    public void B7_ten_messages_a_minute_and_source()
    {
        for (int i = 0; i < 10; i++)
        {
            Assert.Equal(MessageVerdict.Accepted, _b.Receive(_a, TrustMessageType.Request, $"{i}"));
        }

        Assert.Equal(MessageVerdict.TooMany, _b.Receive(_a, TrustMessageType.Request, "10"));
        Assert.Equal(MessageVerdict.Accepted, _b.Receive(_c, TrustMessageType.Request));
        _b.Wait(TimeSpan.FromSeconds(7));
        Assert.Equal(MessageVerdict.Accepted, _b.Receive(_a, TrustMessageType.Request, "11"));
    }

    [Fact]
    public void B7_the_table_of_budgets_is_bounded()
    {
        var budget = new MessageBudget(10, TimeSpan.FromMinutes(1), capacity: 100);
        for (uint node = 1; node <= 1000; node++)
        {
            Assert.True(budget.TryTake(new Instant(0), node));
        }

        Assert.Equal(100, budget.Count);
    }

    [Fact]
    public void B8_no_payload_makes_it_throw()
    {
        byte[] template = _b.Message(_a, TrustMessageType.Accept, "x");
        var random = new Random(5);
        for (int i = 0; i < 20_000; i++)
        {
            byte[] payload = [.. template.AsSpan(0, random.Next(template.Length + 1))];
            for (int flips = random.Next(4); flips > 0 && payload.Length > 0; flips--)
            {
                payload[random.Next(payload.Length)] = (byte)random.Next(256);
            }

            // A sender of its own each time, or the budget would hide the parser.
            _b.Book.ReceiveDirect(_b.Clock, payload, (uint)(100_000 + i), _a.Identity.PublicKeySpan);
        }

        Assert.Empty(_b.Book.Trusted);
        Assert.Empty(_b.Book.Pending);
    }

    [Fact]
    public void B9_the_own_id_is_refused_everywhere()
    {
        Assert.Equal(MessageVerdict.WrongSender, _b.Book.ReceiveDirect(_b.Clock, _b.Message(_b, TrustMessageType.Request), 1002, _b.Identity.PublicKeySpan));
        _b.Relayed(1002);
        _b.RelayedResponse(1002, accept: true);
        long token = 0;
        List<TrustEffect> effects = _b.Take(() => token = _b.Book.Request(_b.Clock, 1002, ""));
        Assert.Equal(TrustError.InvalidArgument, _b.Finished(token, effects).Error);
        Assert.Equal("cannot handshake with self", _b.Finished(token, effects).Message);
        Assert.Empty(_b.Book.Pending);
        Assert.Empty(_b.Book.Requested);
        Assert.Empty(_b.Book.Trusted);
    }

    [Fact]
    public void W6_an_observed_signature_is_worth_nothing_without_the_signers_tunnel()
    {
        _b.Book.Request(_b.Clock, 1001, "");
        byte[] forged = _b.Message(_a, TrustMessageType.Accept);
        Assert.Equal(MessageVerdict.WrongSender, _b.Book.ReceiveDirect(_b.Clock, forged, 1003, _c.Identity.PublicKeySpan));
        Assert.Empty(_b.Book.Trusted);
    }

    [Fact]
    public void Nothing_is_taken_before_this_node_has_an_id()
    {
        var book = new TrustBook(TrustVectors.B);
        Assert.Equal(MessageVerdict.NotRegistered, book.ReceiveDirect(_b.Clock, _b.Message(_a, TrustMessageType.Request), 1001, _a.Identity.PublicKeySpan));
    }

    [Fact]
    public void Extreme_timestamps_are_refused_without_overflow()
    {
        foreach (long time in new[] { long.MinValue, long.MaxValue, 0 })
        {
            byte[] message = TrustMessage.Create(TrustMessageType.Request, TrustVectors.A, 1001, 1002, "", time).Encode();
            Assert.Equal(MessageVerdict.WrongTime, _b.Book.ReceiveDirect(_b.Clock, message, 1001, _a.Identity.PublicKeySpan));
        }
    }

    [Fact]
    public void A_received_text_is_cut_and_printable_on_demand()
    {
        _b.Receive(_a, TrustMessageType.Request, new string('x', TrustLimits.MaxTextLength - 1) + "\ud83d\ude00");
        Assert.Equal(new string('x', TrustLimits.MaxTextLength - 1), Assert.Single(_b.Book.Pending).Justification);
        Assert.Equal("[31mred a b", TrustText.Printable("\u001b[31mred\u202e a\nb\u0007"));
    }

    internal static void Trust(TrustDriver self, TrustDriver peer)
    {
        self.Book.Request(self.Clock, peer.NodeId, "");
        Assert.Equal(MessageVerdict.Accepted, self.Receive(peer, TrustMessageType.Accept));
        Assert.True(self.Trusts(peer));
    }
}
