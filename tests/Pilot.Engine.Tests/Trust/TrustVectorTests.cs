using System.Text;
using System.Text.Json;
using Pilot.Engine.Trust;
using Pilot.Protocol;
using Pilot.Protocol.Trust;

namespace Pilot.Engine.Tests.Trust;

/// <summary>The golden vectors, with our stricter outcome where the reference is insecure.</summary>
public class TrustVectorTests
{
    // What a correct node does differently: the vector's own state after is the reference's.
    private static readonly Dictionary<string, MessageVerdict> Stricter = new()
    {
        ["msg_accept_unsolicited"] = MessageVerdict.Unsolicited,
        ["msg_request_unsigned_no_key"] = MessageVerdict.WrongKey,
        ["msg_revoke_unsigned_no_key"] = MessageVerdict.WrongKey,
        ["insecure_unknown_node_falls_back_to_own_key"] = MessageVerdict.WrongKey,
        ["insecure_timestamp_not_signed"] = MessageVerdict.Unsolicited,
    };

    public static TheoryData<string> Identities => Select(name => name.StartsWith("identity_", StringComparison.Ordinal));

    public static TheoryData<string> Challenges => Select(name => name.StartsWith("challenge_", StringComparison.Ordinal));

    public static TheoryData<string> Messages => Select(IsMessage);

    public static TheoryData<string> Files => Select(name => name.StartsWith("trust_json_", StringComparison.Ordinal));

    [Fact]
    public void Every_vector_belongs_to_a_group()
    {
        // Registry and local-API vectors are asserted by the rendezvous' and the daemon's tests.
        string[] elsewhere = ["reg_", "neg_reg_", "ipc_"];
        string[] here = ["identity_", "challenge_", "trust_json_", "relayed_"];
        Assert.All(TrustVectors.Names, name => Assert.True(
            IsMessage(name) || here.Concat(elsewhere).Any(prefix => name.StartsWith(prefix, StringComparison.Ordinal)), name));
        Assert.Equal(89, TrustVectors.Names.Count());
    }

    [Theory]
    [MemberData(nameof(Identities))]
    public void Identity_is_derived(string name)
    {
        JsonElement vector = TrustVectors.Get(name);
        var identity = new Identity(Convert.FromHexString(vector.GetProperty("inputs").GetProperty("seed_hex").GetString()!));
        Assert.Equal(vector.GetProperty("hex").GetString(), Convert.ToHexStringLower(identity.PublicKey));
        Assert.Equal(TrustVectors.Text(name), identity.PublicKeyText);
    }

    [Theory]
    [MemberData(nameof(Challenges))]
    public void Challenge_is_signed(string name)
    {
        JsonElement inputs = TrustVectors.Get(name).GetProperty("inputs");
        Identity signer = inputs.GetProperty("signer").GetString() == "identity_A" ? TrustVectors.A : TrustVectors.B;
        Assert.Equal(TrustVectors.Text(name), signer.SignText(inputs.GetProperty("challenge").GetString()!));
    }

    [Theory]
    [MemberData(nameof(Messages))]
    public void Message_leads_to_state(string name)
    {
        JsonElement vector = TrustVectors.Get(name);
        bool isStricter = Stricter.TryGetValue(name, out MessageVerdict wanted);
        Assert.Equal(isStricter, vector.GetProperty("description").GetString()!.Contains("INSECURE", StringComparison.Ordinal));
        TrustDriver receiver = Prepare(vector);
        string before = receiver.Book.FormatTrustFile();

        MessageVerdict verdict = MessageVerdict.Accepted;
        string[] earlier = name == "insecure_timestamp_not_signed" ? Sequence("neg_replayed_accept")
            : vector.GetProperty("inputs").TryGetProperty("sequence", out _) ? Sequence(name)[..^1]
            : [];
        if (earlier.Length > 0)
        {
            Ask(receiver, 1001);
        }

        foreach (string text in earlier.Append(vector.GetProperty("text").GetString()!))
        {
            verdict = Deliver(receiver, text);
        }

        if (isStricter)
        {
            Assert.Equal(wanted, verdict);
            Assert.Equal(earlier.Length == 0 ? before : "{\n  \"trusted\": null\n}", receiver.Book.FormatTrustFile());
            return;
        }

        Assert.Equal(vector.GetProperty("valid").GetBoolean(), verdict == MessageVerdict.Accepted);
        if (vector.TryGetProperty("expect", out JsonElement expect))
        {
            AssertState(expect.GetProperty("state_after"), receiver.Book.Trusted, receiver.Book.Pending);
            if (expect.TryGetProperty("json_decode_error", out _))
            {
                Assert.Equal(MessageVerdict.Malformed, verdict);
            }

            if (expect.TryGetProperty("outgoing_1001_after", out JsonElement outgoing))
            {
                Assert.Equal(outgoing.GetBoolean(), receiver.Book.Snapshot.HasOutgoingMark(1001));
            }
        }
        else
        {
            Assert.Equal(before, receiver.Book.FormatTrustFile());
        }
    }

    [Fact]
    public void Valid_messages_are_encoded_byte_for_byte()
    {
        foreach (string name in new[] { "msg_request", "msg_request_empty_justification", "msg_request_escapes", "msg_accept_solicited", "msg_reject", "msg_revoke" })
        {
            byte[] bytes = Convert.FromHexString(TrustVectors.Get(name).GetProperty("hex").GetString()!);
            Assert.True(TrustMessage.TryParse(bytes, out TrustMessage? message));
            string text = message!.Type == TrustMessageType.Request ? message.Justification : message.Reason;
            Assert.Equal(bytes, TrustMessage.Create(message.Type, TrustVectors.A, 1001, 1002, text, message.Timestamp).Encode());
        }
    }

    [Fact]
    public void Relayed_request_is_pending_and_an_approval_that_nobody_asked_for_stays_so()
    {
        var receiver = new TrustDriver(1002, TrustVectors.B);
        receiver.Relayed(1001, "via registry");
        AssertState(TrustVectors.Get("relayed_request_state").GetProperty("expect").GetProperty("state_after"), receiver.Book.Trusted, receiver.Book.Pending);

        // The reference trusts here (vector relayed_approval_state); rule B5 does not.
        receiver.RelayedResponse(1001, accept: true);
        Assert.Empty(receiver.Book.Trusted);
        Assert.Equal("via registry", Assert.Single(receiver.Book.Pending).Justification);
    }

    [Fact]
    public void Relayed_approval_that_was_asked_for_is_trusted_and_takes_the_pending_entry_away()
    {
        var receiver = new TrustDriver(1002, TrustVectors.B);
        Ask(receiver, 1001);
        receiver.RelayedResponse(1001, accept: true);
        TrustedPeer peer = Assert.Single(receiver.Book.Trusted);
        Assert.True(peer.Mutual);
        Assert.Equal("", peer.PublicKey);
        Assert.Empty(receiver.Book.Pending);
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void File_is_read_and_written(string name)
    {
        JsonElement vector = TrustVectors.Get(name);
        JsonElement expect = vector.GetProperty("expect");
        string text = vector.GetProperty("text").GetString()!;
        bool read = TrustFile.TryParse(text, out IReadOnlyList<TrustedPeer> trusted, out IReadOnlyList<PendingRequest> pending, out string? error);

        // The reference starts empty and overwrites the file; ours reports, so that the host can refuse.
        bool isUnreadable = name is "trust_json_load_corrupt" or "trust_json_load_bad_entry_type";
        Assert.Equal(!isUnreadable, read);
        Assert.Equal(isUnreadable, error is not null);
        AssertState(expect.GetProperty("state_after_load"), trusted, pending);
        if (expect.TryGetProperty("approved_at_unix", out JsonElement times))
        {
            foreach (JsonProperty time in times.EnumerateObject())
            {
                Assert.Equal(time.Value.GetInt64(), trusted.Single(peer => peer.NodeId.ToString() == time.Name).ApprovedAt.ToUnixTimeSeconds());
            }
        }

        if (!name.Contains("_load_", StringComparison.Ordinal))
        {
            Assert.Equal(text, TrustFile.Format(trusted, pending));
        }
    }

    private static bool IsMessage(string name) =>
        name.StartsWith("msg_", StringComparison.Ordinal) || name.StartsWith("ts_", StringComparison.Ordinal) || name.StartsWith("insecure_", StringComparison.Ordinal)
        || (name.StartsWith("neg_", StringComparison.Ordinal) && !name.StartsWith("neg_reg_", StringComparison.Ordinal));

    private static TheoryData<string> Select(Func<string, bool> predicate) => [.. TrustVectors.Names.Where(predicate)];

    private static string[] Sequence(string name) =>
        [.. TrustVectors.Get(name).GetProperty("inputs").GetProperty("sequence").EnumerateArray().Select(step => TrustVectors.Text(step.GetString()!))];

    private static TrustDriver Prepare(JsonElement vector)
    {
        uint self = TrustVectors.Input(vector, "receiver_node_id");
        Identity identity = TrustVectors.IdentityOf(self);
        DateTimeOffset now = DateTimeOffset.FromUnixTimeSeconds(vector.GetProperty("inputs").GetProperty("now_unix").GetInt64());
        TrustedPeer[] trusted = TrustVectors.Input(vector, "receiver_trusts") is var peer and not 0
            ? [new TrustedPeer { NodeId = peer, PublicKey = TrustVectors.IdentityOf(peer).PublicKeyText, ApprovedAt = now, Mutual = true }]
            : [];
        var receiver = new TrustDriver(self, identity, new TrustBook(identity, trusted, [], TrustExtension.Empty), now);
        if (TrustVectors.Input(vector, "receiver_has_outgoing_to") is var asked and not 0)
        {
            Ask(receiver, asked);
        }

        return receiver;
    }

    private static void Ask(TrustDriver receiver, uint peer)
    {
        receiver.Book.Request(receiver.Clock, peer, "");
        Assert.True(receiver.Book.Snapshot.HasOutgoingMark(peer));
    }

    private static MessageVerdict Deliver(TrustDriver receiver, string text)
    {
        byte[] payload = Encoding.UTF8.GetBytes(text);

        // The tunnel is with whoever the message names, so that only the message itself can be at fault.
        uint sender = TrustMessage.TryParse(payload, out TrustMessage? message) ? message!.NodeId : 1001;
        bool isUnknown = sender is 555 or 4_000_000_000;
        ReadOnlySpan<byte> key = isUnknown ? default : TrustVectors.IdentityOf(sender).PublicKeySpan;
        return receiver.Book.ReceiveDirect(receiver.Clock, payload, sender, key);
    }

    private static void AssertState(JsonElement state, IReadOnlyList<TrustedPeer> trusted, IReadOnlyList<PendingRequest> pending)
    {
        Assert.Equal(
            Entries(state.GetProperty("trusted")).Select(e => (e.GetProperty("node_id").GetUInt32(), e.GetProperty("public_key").GetString()!, e.GetProperty("mutual").GetBoolean(), (int)e.GetProperty("network").GetUInt16())),
            trusted.Select(peer => (peer.NodeId, peer.PublicKey, peer.Mutual, (int)peer.Network)));
        Assert.Equal(
            Entries(state.GetProperty("pending")).Select(e => (e.GetProperty("node_id").GetUInt32(), e.GetProperty("public_key").GetString()!, e.GetProperty("justification").GetString()!)),
            pending.Select(request => (request.NodeId, request.PublicKey, request.Justification)));
    }

    private static JsonElement[] Entries(JsonElement list) => list.ValueKind == JsonValueKind.Null ? [] : [.. list.EnumerateArray()];
}
