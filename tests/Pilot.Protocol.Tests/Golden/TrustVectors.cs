using System.Text;
using System.Text.Json;
using Pilot.Protocol.Trust;

namespace Pilot.Protocol.Tests.Golden;

/// <summary>trust.json, the codec, signature and challenge part (spec 05 section 17).</summary>
internal static class TrustVectors
{
    private const long MaxAge = 300; // seconds, spec 05 section 5
    private const long MaxFuture = 30;

    // What the registry of the vectors knows.
    private static readonly Dictionary<uint, byte[]> RegistryKeys = new()
    {
        [1001] = new Identity(Seed(1)).PublicKey,
        [1002] = new Identity(Seed(2)).PublicKey,
        [1003] = new Identity(Seed(3)).PublicKey,
        [1] = new Identity(Seed(1)).PublicKey,
        [2] = new Identity(Seed(2)).PublicKey,
    };

    // Valid only for the reference: the codec reads them, a correct receiver refuses or ignores them (marked INSECURE).
    private static readonly string[] UnsignedForms = ["msg_request_unsigned_no_key", "msg_revoke_unsigned_no_key", "insecure_unknown_node_falls_back_to_own_key"];

    // Refused because of state (replay cache) or of a type that is unknown, although codec and signature are fine.
    private static readonly string[] RefusedByState = ["neg_replayed_accept"];

    public static IReadOnlyList<VectorRule> Rules { get; } =
    [
        VectorRule.Here("identity", VectorRule.Prefix("identity_"), IdentityKey),
        VectorRule.Here("challenge", VectorRule.Prefix("challenge_"), ChallengeText),
        VectorRule.Here("message", v => IsDirect(v) && v.Valid, GoodMessage),
        VectorRule.Here("refused message", v => IsDirect(v) && !v.Valid, BadMessage),
        VectorRule.Here("registry", VectorRule.Prefix("reg_", "neg_reg_"), Registry),
        VectorRule.Elsewhere("ipc", VectorRule.Prefix("ipc_"), "Pilot.Daemon.Tests"),
        VectorRule.Elsewhere("relayed state", VectorRule.Prefix("relayed_"), "Pilot.Daemon.Tests"),
        VectorRule.Elsewhere("trust file", VectorRule.Prefix("trust_json_"), "Pilot.Daemon.Tests"),
    ];

    private static byte[] Seed(byte value) => [.. Enumerable.Repeat(value, Ed25519.SeedSize)];

    private static bool IsDirect(Vector v) =>
        v.Name.StartsWith("msg_", StringComparison.Ordinal)
        || v.Name.StartsWith("ts_", StringComparison.Ordinal)
        || v.Name.StartsWith("insecure_", StringComparison.Ordinal)
        || (v.Name.StartsWith("neg_", StringComparison.Ordinal) && !v.Name.StartsWith("neg_reg_", StringComparison.Ordinal));

    private static void IdentityKey(Vector v)
    {
        var identity = new Identity(v.Inputs.HexOf("seed_hex"));
        Assert.Equal(v.Hex, identity.PublicKey);
        Assert.Equal(v.Text("text"), identity.PublicKeyText);
        Assert.Equal(RegistryKeys[v.Inputs.U32("node_id")], identity.PublicKey);
    }

    private static void ChallengeText(Vector v)
    {
        string challenge = v.Inputs.Str("challenge");
        var identity = new Identity(Seed((byte)(v.Inputs.Str("signer")[^1] - 'A' + 1)));
        Assert.Equal(challenge, RegistryVectors.Rebuild(challenge));
        Assert.Equal(v.Text("text"), identity.SignText(challenge));
        Assert.Equal(v.Hex, Convert.FromBase64String(identity.SignText(challenge)));
    }

    private static byte[] Bytes(Vector v) => v.HasHex ? v.Hex : Encoding.UTF8.GetBytes(v.Text("text"));

    private static void GoodMessage(Vector v)
    {
        byte[] bytes = Bytes(v);
        Assert.True(TrustMessage.TryParse(bytes, out TrustMessage? message));
        uint receiver = v.Inputs.U32("receiver_node_id");
        bool signed = RegistryKeys.TryGetValue(message!.NodeId, out byte[]? key) && message.IsSignedBy(key, receiver);
        Assert.Equal(!UnsignedForms.Contains(v.Name), signed);
        Assert.InRange(v.Inputs.GetProperty("now_unix").GetInt64() - message.Timestamp, -MaxFuture, MaxAge);

        // Free key order and unknown members come out canonical; everything else byte for byte.
        if (v.Name == "msg_reordered_keys_and_extra_fields")
        {
            Assert.True(TrustMessage.TryParse(message.Encode(), out TrustMessage? again));
            Assert.Equal(message, again);
            Assert.NotEqual(bytes, message.Encode());
        }
        else
        {
            Assert.Equal(Encoding.UTF8.GetString(bytes), Encoding.UTF8.GetString(message.Encode()));
        }

        if (signed)
        {
            byte seed = (byte)(message.NodeId >= 1000 ? message.NodeId - 1000 : message.NodeId);
            string text = message.Type == TrustMessageType.Request ? message.Justification : message.Reason;
            Assert.Equal(message, TrustMessage.Create(message.Type, new Identity(Seed(seed)), message.NodeId, receiver, text, message.Timestamp));
        }

        CheckPendingText(v, message);
    }

    private static void CheckPendingText(Vector v, TrustMessage message)
    {
        JsonElement pending = v.Expect.GetProperty("state_after").GetProperty("pending");
        if (pending.ValueKind == JsonValueKind.Array && pending.GetArrayLength() == 1 && message.Type == TrustMessageType.Request)
        {
            Assert.Equal(pending[0].Str("justification"), message.Justification);
            Assert.Equal(pending[0].U32("node_id"), message.NodeId);
        }
    }

    private static void BadMessage(Vector v)
    {
        bool parsed = TrustMessage.TryParse(Bytes(v), out TrustMessage? message);
        bool decodeError = v.Json.TryGetProperty("expect", out JsonElement expect) && expect.TryGetProperty("json_decode_error", out JsonElement e) && e.GetBoolean();
        Assert.Equal(!decodeError, parsed);
        if (!parsed)
        {
            Assert.Null(message);
            return;
        }

        bool signed = RegistryKeys.TryGetValue(message!.NodeId, out byte[]? key) && message.IsSignedBy(key, v.Inputs.U32("receiver_node_id"));
        long age = v.Inputs.GetProperty("now_unix").GetInt64() - message.Timestamp;
        bool accepted = signed && age is >= -MaxFuture and <= MaxAge && message.Type != TrustMessageType.Unknown;
        Assert.Equal(RefusedByState.Contains(v.Name), accepted);
    }

    private static void Registry(Vector v)
    {
        RegistryCodec.CheckRequest(v.Inputs.Str("request_text"));
        if (v.Inputs.Str("request_text").Contains("signature", StringComparison.Ordinal) || !v.Name.Contains("unsigned", StringComparison.Ordinal))
        {
            RegistryCodec.CheckRequestRecord(v.Inputs.Str("request_text"));
        }

        RegistryCodec.CheckResponse(v.Text("text"));
    }
}
