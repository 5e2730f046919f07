using System.Text.Json;
using Pilot.Protocol;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Tests.Registry;

/// <summary>The captured sessions of registry.json, against both policies (spec 03 section 15).</summary>
public sealed class SessionReplayTests
{
    // Under the strict policy these steps answer otherwise, and only these: the named rule, or a state that an earlier one left.
    private static readonly Dictionary<string, string> StrictSteps = new()
    {
        ["006"] = "CheckAddresses: the port text is no number",
        ["018"] = "LookupPrivacy: hostname of a private node",
        ["051"] = "DirectionalConsent: node 2 has not consented to node 1",
        ["053"] = "DirectionalConsent: so node 1 may not resolve node 2",
        ["054"] = "DirectionalConsent: no trust in oneself",
        ["057"] = "DirectionalConsent: nor find it",
        ["060"] = "RequesterIdentity: the connection proved itself as node 2",
        ["073"] = "HandshakeRules: no handshake with oneself",
        ["082"] = "HandshakeRules: an accept that nobody asked for becomes a request",
        ["125"] = "PoloIdentity: only the administrator sets a score",
        ["126"] = "sum differs after 125",
        ["132"] = "PoloIdentity",
        ["139"] = "PunchPrivacy: a private stranger",
        ["152"] = "score differs after 125 and 132",
        ["156"] = "score differs after 125 and 132",
        ["163"] = "score differs after 125 and 132",
        ["166"] = "PoloIdentity",
        ["167"] = "score differs after 166",
        ["181"] = "TakeoverNeedsAbsence: node 1 is connected, so a new id is given",
        ["182"] = "node 1 keeps its key and endpoint after 181",
        ["183"] = "node 1's own heartbeat goes on after 181",
        ["185"] = "ids shifted by 181",
        ["186"] = "KeyBytes: the same key, and ids shifted",
        ["187"] = "KeyBytes: the same key, and ids shifted",
    };

    [Fact]
    public void Reference_policy_gives_every_recorded_answer() => Assert.Empty(ReplayCore(RegistryPolicy.Reference));

    [Fact]
    public void Strict_policy_differs_in_the_steps_of_its_rules_only()
    {
        Dictionary<string, string> differences = ReplayCore(RegistryPolicy.Strict);
        Assert.Equal(StrictSteps.Keys.Order(), differences.Keys.Order());
    }

    [Fact]
    public void Extra_session_of_the_reference_policy()
    {
        var session = new RegistrySession(RegistryPolicy.Reference);
        Dictionary<string, string> differences = Replay(session, "extra/", step => step switch
        {
            "002" => () => session.Machine.Core.Apply(new NetworkCreated(1, "ent", "open", true, 1, session.Now)),
            "003" => () => session.Machine.Core.Apply(new KeyExpirySet(1, session.Now + TimeSpan.FromHours(1))),
            "005" => () =>
            {
                session.Machine.Core.Apply(new KeyExpirySet(1, session.Now + TimeSpan.FromSeconds(2)));
                session.Advance(TimeSpan.FromSeconds(3));
            },
            "009" => () => session.Machine.Core.Apply(new ExternalIdChanged(1, "sub|42")),
            "011" => () =>
            {
                FillInbox(session);
                Replayed(session, "extra/011");
            },
            _ => null,
        });
        Assert.Empty(differences);
    }

    [Fact]
    public void Expired_key_neither_registers_nor_signs_under_the_strict_policy()
    {
        var session = new RegistrySession();
        TestNode node = session.Register("192.0.2.1");
        session.Machine.Core.Apply(new KeyExpirySet(node.Id, session.Now - TimeSpan.FromSeconds(1)));
        Assert.Contains("key expired at 2026-", node.Register().Error(), StringComparison.Ordinal);
        Assert.Contains("key expired at 2026-", node.SetHostname("exp").Error(), StringComparison.Ordinal);
        Assert.Equal("expired", node.Heartbeat().Code());
    }

    [Fact]
    public void Key_close_to_its_end_warns_in_the_heartbeat()
    {
        var session = new RegistrySession();
        TestNode node = session.Register("192.0.2.1");
        session.Machine.Core.Apply(new KeyExpirySet(node.Id, session.Now + TimeSpan.FromHours(23)));
        Assert.True(node.Heartbeat()["key_expiry_warning"]!.GetValue<bool>());
    }

    private static Dictionary<string, string> ReplayCore(RegistryPolicy policy)
    {
        var session = new RegistrySession(policy);
        return Replay(session, "core/", step => step switch
        {
            "154" => () => session.Machine.Core.Apply(new NetworkCreated(1, "lab", "open", false, 1, session.Now)),
            "155" => () => session.Machine.Core.Apply(new NetworkJoined(1, 4, "member")),
            _ => null,
        });
    }

    // Steps of chapter 09 set state that later steps need; until those messages exist the test sets it through the events.
    private static Dictionary<string, string> Replay(RegistrySession session, string group, Func<string, Action?> instead)
    {
        var differences = new Dictionary<string, string>();
        foreach (JsonElement vector in VectorFile.Load("registry.json", group).OrderBy(v => v.GetProperty("inputs").GetProperty("seq").GetInt32()))
        {
            string step = vector.Name()[group.Length..][..3];
            if (instead(step) is { } replacement)
            {
                replacement();
                continue;
            }

            if (Compare(session, vector) is { } difference)
            {
                differences[step] = difference;
            }
        }

        return differences;
    }

    private static void Replayed(RegistrySession session, string prefix) =>
        Assert.Null(Compare(session, VectorFile.Load("registry.json", prefix).Single()));

    private static string? Compare(RegistrySession session, JsonElement vector)
    {
        JsonElement inputs = vector.GetProperty("inputs");
        ushort port = inputs.TryGetProperty("source_port", out JsonElement given) ? (ushort)given.GetInt32() : (ushort)0;
        RegistryConnection connection = session.Connection(inputs.Text("source_ip"), port);
        string? answer = session.SendText(connection, inputs.Text("request"));
        string[] volatilePaths = vector.TryGetProperty("volatile", out JsonElement paths) ? [.. paths.EnumerateArray().Select(p => p.GetString()!)] : [];
        Assert.NotNull(answer);
        Assert.Equal(inputs.TryGetProperty("then", out _), connection.CloseRequested);
        return JsonCompare.Difference(vector.Text("text"), answer, volatilePaths);
    }

    // Nodes 2-101 with one unread request each for node 1, and node 102.
    private static void FillInbox(RegistrySession session)
    {
        for (int i = 0; i <= 100; i++)
        {
            TestNode sender = session.Register($"198.51.100.{1 + (i / 8)}", identity: RegistrySession.NewIdentity($"n{i}"));
            Assert.Equal((uint)(i + 2), sender.Id);
            if (i < 100)
            {
                Assert.True(sender.Ask(1, "x").IsOk());
            }
        }
    }
}
