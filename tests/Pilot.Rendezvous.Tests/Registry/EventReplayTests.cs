using System.Text.Json;
using System.Text.Json.Nodes;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Storage;

namespace Pilot.Rendezvous.Tests.Registry;

/// <summary>The events are the whole truth: serialised, read back and applied to an empty state they give an equal one.</summary>
public sealed class EventReplayTests
{
    [Theory]
    [InlineData(RegistryPolicy.Strict)]
    [InlineData(RegistryPolicy.Reference)]
    public void Replaying_all_events_rebuilds_an_equal_state(RegistryPolicy policy)
    {
        var random = new Random(20261121);
        var session = new RegistrySession(policy, new RegistryLimits { RegistrationsPerMinute = 0, MaxNodes = 60, MaxInbox = 5 });
        var nodes = new List<TestNode>();
        for (int step = 0; step < 5000; step++)
        {
            Act(session, nodes, random, step);
        }

        Assert.True(session.Events.Count > 1000);
        var rebuilt = new RegistryState(session.Machine.Core.Started);
        foreach (RegistryEvent happened in session.Events)
        {
            byte[] stored = JsonSerializer.SerializeToUtf8Bytes(happened, RegistryEventContext.Default.RegistryEvent);
            Assert.InRange(stored.Length, 10, 4096);
            rebuilt.Apply(JsonSerializer.Deserialize(stored, RegistryEventContext.Default.RegistryEvent)!);
        }

        Assert.Equal(Dump(session.State), Dump(rebuilt));

        // A snapshot says the same as the history.
        var restored = new RegistryState(DateTimeOffset.UnixEpoch);
        foreach (RegistryEvent[] part in StoredState.Of(session.State).Chunk(50))
        {
            byte[] stored = EventCodec.Encode(part);
            foreach (RegistryEvent happened in EventCodec.Decode(stored, EventCodec.Checksum(stored), "part"))
            {
                restored.Apply(happened);
            }
        }

        Assert.Equal(Dump(session.State), Dump(restored));
        Assert.Equal(session.State.Created, restored.Created);
        CheckIndexes(restored);
        Type[] kinds = [.. session.Events.Select(e => e.GetType()).Distinct()];
        Assert.True(kinds.Length >= 19, $"only {kinds.Length} kinds of events happened");
        CheckIndexes(session.State);
    }

    private static void Act(RegistrySession session, List<TestNode> nodes, Random random, int step)
    {
        if (nodes.Count < 5 || (nodes.Count < 80 && random.Next(20) == 0))
        {
            var fresh = new TestNode(session, session.NewIdentity(), $"192.0.2.{random.Next(200)}");
            if (fresh.Register(random.Next(2) == 0 ? $"h{random.Next(40)}" : "", random.Next(3) == 0 ? $"o{random.Next(10)}@x" : "").IsOk())
            {
                nodes.Add(fresh);
            }

            return;
        }

        TestNode node = nodes[random.Next(nodes.Count)];
        TestNode peer = nodes[random.Next(nodes.Count)];
        switch (random.Next(20))
        {
            case 0: node.Register(random.Next(2) == 0 ? $"h{random.Next(40)}" : ""); break;
            case 1: node.SetHostname(random.Next(3) == 0 ? "" : $"h{random.Next(40)}"); break;
            case 2: node.SetVisibility(random.Next(2) == 0); break;
            case 3: node.Signed($"set_tags:{node.Id}", new JsonObject { ["type"] = "set_tags", ["node_id"] = node.Id, ["tags"] = new JsonArray($"t{step}") }); break;
            case 4: node.Report(peer.Id); break;
            case 5: node.Revoke(peer.Id); break;
            case 6 or 7: node.Ask(peer.Id, $"j{step}"); break;
            case 8: node.AskByName($"h{random.Next(40)}"); break;
            case 9 or 10: node.Poll(); break;
            case 11 or 12: node.Respond(peer.Id, random.Next(2) == 0); break;
            case 13: node.Deregister(); break;
            case 14: node.Send(new JsonObject { ["type"] = "update_polo_score", ["node_id"] = peer.Id, ["delta"] = random.Next(-5, 6) }); break;
            case 15: node.Signed($"set_task_exec:{node.Id}", new JsonObject { ["type"] = "set_task_exec", ["node_id"] = node.Id, ["enabled"] = random.Next(2) == 0 }); break;
            case 16:
                node.Signed($"rotate:{node.Id}", new JsonObject { ["type"] = "rotate_key", ["node_id"] = node.Id, ["new_public_key"] = session.NewIdentity().PublicKeyText });
                break;
            case 17: session.Advance(TimeSpan.FromSeconds(random.Next(120))); break;
            case 18:
                session.Connection(node.Address);
                session.Close(node.Address);
                break;
            default: node.Heartbeat(); break;
        }
    }

    private static string Dump(RegistryState state)
    {
        var options = new JsonSerializerOptions { WriteIndented = true };
        JsonNode dump = JsonSerializer.SerializeToNode(
            new
            {
                state.NextNode,
                state.LiveCount,
                state.Nodes,
                Keys = state.Keys.ToDictionary(k => k.Key.ToString(), k => k.Value),
                state.KeyAliases,
                state.Owners,
                state.Hostnames,
                state.Inboxes,
                state.Networks,
                state.Trust,
            },
            options)!;
        return Ordered(dump).ToJsonString(options);
    }

    private static JsonNode Ordered(JsonNode node) => node switch
    {
        JsonObject o => new JsonObject(o.OrderBy(m => m.Key, StringComparer.Ordinal).Select(m => KeyValuePair.Create(m.Key, m.Value is null ? null : Ordered(m.Value)))),
        JsonArray a when a.All(e => e is JsonValue v && v.GetValueKind() == JsonValueKind.Number) =>
            new JsonArray([.. a.Select(e => e!.GetValue<uint>()).Order().Select(e => (JsonNode)e)]),
        JsonArray a => new JsonArray([.. a.Select(e => e is null ? null : Ordered(e))]),
        _ => node.DeepClone(),
    };

    private static void CheckIndexes(RegistryState state)
    {
        Assert.Equal(state.Nodes.Values.Count(n => n.Status == NodeStatus.Live), state.LiveCount);
        Assert.All(state.Hostnames, h => Assert.Equal(h.Key, state.Nodes[h.Value].Hostname));
        Assert.Equal(state.Nodes.Values.Count(n => n.Hostname.Length > 0), state.Hostnames.Count);
        Assert.All(state.Nodes.Values, n => Assert.True(state.TryGetByKey(n.Key, n.KeyAlias, out NodeRecord? found) && found == n));
        Assert.All(state.Owners, o => Assert.Equal(o.Key, state.Nodes[o.Value].Owner));
        int links = state.Trust.Consents.SelectMany(c => c.Value.Select(to => (Math.Min(c.Key, to), Math.Max(c.Key, to)))).Distinct().Count();
        Assert.Equal(links, state.Trust.LinkCount);
    }
}
