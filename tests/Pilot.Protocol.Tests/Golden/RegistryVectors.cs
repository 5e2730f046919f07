using System.Buffers;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Pilot.Protocol.Registry;

namespace Pilot.Protocol.Tests.Golden;

/// <summary>registry.json, the codec part (spec 03 section 15). The sessions are replayed against the server in Pilot.Rendezvous.Tests as well.</summary>
internal static class RegistryVectors
{
    public static IReadOnlyList<VectorRule> Rules { get; } =
    [
        VectorRule.Here("key", VectorRule.Prefix("key/"), Key),
        VectorRule.Here("signature", VectorRule.Prefix("signature/"), Signature),
        VectorRule.Here("address", VectorRule.Prefix("address/"), Address),
        VectorRule.Here("session", VectorRule.Prefix("core/", "extra/"), Session),
        VectorRule.Here("frame", VectorRule.Prefix("frame/"), Frame),
        VectorRule.Here("daemon", VectorRule.Prefix("daemon/"), Daemon),
        VectorRule.Elsewhere("mask", VectorRule.Prefix("mask/"), "Pilot.Rendezvous.Tests"),
        VectorRule.Elsewhere("ratelimit", VectorRule.Prefix("ratelimit/"), "Pilot.Rendezvous.Tests"),
        VectorRule.Elsewhere("snapshot", VectorRule.Prefix("snapshot/"), "Pilot.Rendezvous.Tests"),
        VectorRule.Elsewhere("replication", VectorRule.Prefix("replication/"), "Pilot.Rendezvous.Tests"),
        VectorRule.Elsewhere("http", VectorRule.Prefix("http/", "badge/"), "Pilot.Rendezvous.Tests"),
        VectorRule.Elsewhere("tls", VectorRule.Prefix("tls/"), "Pilot.Daemon.Tests"),
    ];

    private static byte[] SeedOf(string key)
    {
        // Key A counts up from 0x00, B from 0x20, and so on.
        int first = (key[0] - 'A') * 0x20;
        return [.. Enumerable.Range(first, Ed25519.SeedSize).Select(i => (byte)i)];
    }

    private static void Key(Vector v)
    {
        var identity = new Identity(v.Inputs.HexOf("seed_hex"));
        Assert.Equal(v.Hex, identity.PublicKey);
        Assert.Equal(v.Text("text"), identity.PublicKeyText);
        Assert.Equal(SeedOf(v.Name["key/".Length..]), v.Inputs.HexOf("seed_hex"));
    }

    private static void Signature(Vector v)
    {
        string challenge = v.Inputs.Str("challenge");
        var identity = new Identity(SeedOf(v.Inputs.Str("key")));
        Assert.Equal(challenge, Rebuild(challenge));
        Assert.Equal(v.Text("text"), identity.SignText(challenge));
        Assert.Equal(Convert.ToHexStringLower(v.Hex), Convert.ToHexStringLower(Convert.FromBase64String(identity.SignText(challenge))));
        Assert.True(Identity.VerifyText(identity.PublicKeyText, challenge, v.Text("text")));
        Assert.False(Identity.VerifyText(identity.PublicKeyText, challenge + "0", v.Text("text")));
    }

    /// <summary>The challenge through our builder; vectors of other chapters keep their text.</summary>
    internal static string Rebuild(string challenge)
    {
        string[] parts = challenge.Split(':');
        uint a = uint.Parse(parts[1], CultureInfo.InvariantCulture);
        uint b = parts.Length > 2 ? uint.Parse(parts[2], CultureInfo.InvariantCulture) : 0;
        return parts[0] switch
        {
            "handshake" => Challenge.Handshake(a, b),
            "respond" => Challenge.Respond(a, b),
            "report_trust" => Challenge.ReportTrust(a, b),
            "revoke_trust" => Challenge.RevokeTrust(a, b),
            "poll_handshakes" => Challenge.PollHandshakes(a),
            "resolve" => Challenge.Resolve(a, b),
            "heartbeat" => Challenge.Heartbeat(a),
            "punch" => Challenge.Punch(a, b),
            "rotate" => Challenge.Rotate(a),
            "set_hostname" => Challenge.SetHostname(a),
            "set_visibility" => Challenge.SetVisibility(a),
            "set_tags" => Challenge.SetTags(a),
            "set_task_exec" => Challenge.SetTaskExec(a),
            "deregister" => Challenge.Deregister(a),
            "set_key_expiry" => Challenge.SetKeyExpiry(a),
            "join_network" => Challenge.JoinNetwork(a, (ushort)b),
            _ => throw new InvalidOperationException($"no builder for {challenge}"),
        };
    }

    private static void Address(Vector v)
    {
        var address = new PilotAddress(v.Inputs.U16("network"), v.Inputs.U32("node"));
        Assert.Equal(v.Text("text"), address.ToString());
        Assert.Equal(address, PilotAddress.Parse(v.Text("text")));
    }

    private static void Session(Vector v)
    {
        RegistryCodec.CheckRequest(v.Inputs.Str("request"));
        RegistryCodec.CheckResponse(v.Text("text"));
    }

    /// <summary>Bytes in, bytes out, and whether the connection survives, through a server that knows two messages and an empty state.</summary>
    private static void Frame(Vector v)
    {
        if (v.Inputs.TryGetProperty("json", out JsonElement json))
        {
            Assert.Equal(RegistryFrameStatus.Complete, RegistryFrame.TryReadFrame(v.Hex, RegistryFrame.MaxRequestBody, out ReadOnlySpan<byte> body, out int consumed));
            Assert.Equal(v.Hex.Length, consumed);
            Assert.Equal(json.GetString(), Encoding.UTF8.GetString(body));
            if (v.Name == "frame/register_request")
            {
                RegistryCodec.CheckRequestRecord(json.GetString()!);
            }
            else
            {
                RegistryCodec.CheckResponse(json.GetString()!);
            }

            return;
        }

        byte[] sent = SentBytes(v);
        foreach (int segment in new[] { int.MaxValue, 1000, 3, 1 })
        {
            if (segment < 1000 && sent.Length > 1000)
            {
                continue;
            }

            (byte[] answered, bool open) = Serve(sent, segment);
            Assert.Equal(Convert.ToHexStringLower(v.Hex), Convert.ToHexStringLower(answered));
            Assert.Equal(v.Text("connection_after") == "open", open);
        }
    }

    private static byte[] SentBytes(Vector v)
    {
        if (v.Inputs.TryGetProperty("send_hex", out JsonElement hex))
        {
            return Convert.FromHexString(hex.GetString()!);
        }

        int n = v.Inputs.GetProperty("N").GetInt32();
        string body = v.Inputs.Str("body_template")
            .Replace("<a x N>", new string('a', n), StringComparison.Ordinal)
            .Replace("<N open brackets><N close brackets>", new string('[', n) + new string(']', n), StringComparison.Ordinal);
        byte[] bytes = Encoding.UTF8.GetBytes(body);
        if (v.Inputs.TryGetProperty("body_sha256", out JsonElement digest))
        {
            Assert.Equal(digest.GetString(), Convert.ToHexStringLower(SHA256.HashData(bytes)));
            Assert.Equal(RegistryFrame.MaxRequestBody, bytes.Length);
        }

        var frame = new ArrayBufferWriter<byte>();
        RegistryFrame.Write(frame, bytes);
        if (v.Inputs.TryGetProperty("prefix_hex", out JsonElement prefix))
        {
            Assert.Equal(prefix.GetString(), Convert.ToHexStringLower(frame.WrittenSpan[..RegistryFrame.PrefixSize]));
        }

        return frame.WrittenSpan.ToArray();
    }

    private static (byte[] Answered, bool Open) Serve(byte[] sent, int segmentSize)
    {
        var answers = new ArrayBufferWriter<byte>();
        ReadOnlySequence<byte> buffer = SegmentedSequence.Create(sent, segmentSize);
        while (true)
        {
            switch (RegistryFrame.TryReadFrame(ref buffer, RegistryFrame.MaxRequestBody, out ReadOnlySequence<byte> body))
            {
                case RegistryFrameStatus.TooLarge:
                    return (answers.WrittenSpan.ToArray(), false);
                case RegistryFrameStatus.Incomplete:
                    return (answers.WrittenSpan.ToArray(), true);
            }

            if (!RegistryRequest.TryParse(body, out RegistryRequest? request))
            {
                return (answers.WrittenSpan.ToArray(), false);
            }

            answers.Write(request!.Type switch
            {
                "beacon_list" => RegistryFrame.Encode(new BeaconListResponse(), RegistryJson.Context.BeaconListResponse),
                "check_trust" => RegistryFrame.Encode(new CheckTrustResponse(), RegistryJson.Context.CheckTrustResponse),
                _ => RegistryFrame.Encode(new ErrorResponse { Error = "request failed" }, RegistryJson.Context.ErrorResponse),
            });
        }
    }

    /// <summary>Traffic of reference daemons: our client's records give the same request bytes, our server's the same responses.</summary>
    private static void Daemon(Vector v)
    {
        using JsonDocument rows = JsonDocument.Parse(v.Text("text"));
        int checkedRows = 0;
        foreach (JsonElement row in rows.RootElement.EnumerateArray())
        {
            string request = row.Str("request");
            if (request.StartsWith("pilotctl", StringComparison.Ordinal))
            {
                continue; // marks the command that caused what follows; no registry traffic
            }

            RegistryCodec.CheckRequestRecord(request);
            RegistryCodec.CheckResponse(row.Str("response"));
            checkedRows++;
        }

        Assert.True(checkedRows >= 10);
    }
}
