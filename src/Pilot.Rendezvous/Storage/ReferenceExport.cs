using System.Buffers;
using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using Pilot.Protocol;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Storage;

/// <summary>The state at one moment, as a standby gets it. Taken under the registry's lock, written anywhere.</summary>
/// <param name="Records">The state as events.</param>
/// <param name="LastSeen">Of the live nodes.</param>
/// <param name="OneConsentIsTrust">A single report counts as a pair (the reference's rule).</param>
/// <param name="Started">Start of the process.</param>
/// <param name="Requests">Answered since the beginning.</param>
internal sealed record Replica(RegistryEvent[] Records, Dictionary<uint, DateTimeOffset> LastSeen, bool OneConsentIsTrust, DateTimeOffset Started, long Requests)
{
    public static Replica Take(RegistryCore core) => new(
        [.. StoredState.Of(core.State)],
        core.State.Nodes.Values.Where(n => n.Status == NodeStatus.Live).ToDictionary(n => n.Id, n => n.LastSeen),
        core.OneConsentIsTrust,
        core.Started,
        core.State.StoredRequests + core.RequestCount);
}

/// <summary>Writes the state in the reference's snapshot format (spec 03 section 9.2), for its standbys. Trust given in one direction only does not become a pair, and requests by hostname are left out: the format would give them a meaning they do not have.</summary>
internal static class ReferenceExport
{
    /// <summary>The snapshot as compact JSON.</summary>
    /// <param name="replica">The state.</param>
    /// <param name="isPush">True for the pushed form: version 1 with key index, statistics and checksum; false for the first answer to a standby.</param>
    public static byte[] Write(Replica replica, bool isPush)
    {
        byte[] body = Serialize(replica, isPush, null);
        return isPush ? Serialize(replica, isPush, Convert.ToHexStringLower(SHA256.HashData(body))) : body;
    }

    private static byte[] Serialize(Replica replica, bool isPush, string? checksum)
    {
        NodeStored[] nodes = [.. replica.Records.OfType<NodeStored>()];
        NodeStored[] live = [.. nodes.Where(n => n.Status == NodeStatus.Live).OrderBy(n => Name(n.Node), StringComparer.Ordinal)];
        CountersStored counters = replica.Records.OfType<CountersStored>().Single();
        List<string> pairs = Pairs(replica);
        var buffer = new ArrayBufferWriter<byte>(4096);
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = ReferenceJsonEncoder.Instance }))
        {
            json.WriteStartObject();
            json.WriteNumber("version", isPush ? 1 : 0);
            json.WriteNumber("next_node", counters.NextNode);
            NetworkStored[] networks = [.. replica.Records.OfType<NetworkStored>().OrderBy(n => Name(n.Network), StringComparer.Ordinal)];
            json.WriteNumber("next_net", networks.Length == 0 ? 1 : networks.Max(n => n.Network) + 1);
            WriteMap(json, "nodes", live, n => Name(n.Node), n => WriteNode(json, n, replica.LastSeen));
            json.WriteStartObject("networks");
            WriteNetwork(json, new NetworkStored(0, "backbone", "open", false, counters.Created, [.. live.Select(n => n.Node).Order()], []));
            Array.ForEach(networks, n => WriteNetwork(json, n));
            json.WriteEndObject();
            WriteTexts(json, "trust_pairs", pairs);
            if (isPush)
            {
                (string Key, uint Node)[] keys = [.. nodes.Where(n => n.KeyIndexed).Select(n => (n.KeyAlias ?? n.Key.ToString(), n.Node)).OrderBy(k => k.Item1, StringComparer.Ordinal)];
                if (keys.Length > 0)
                {
                    json.WriteStartObject("pub_key_idx");
                    Array.ForEach(keys, k => json.WriteNumber(k.Key, k.Node));
                    json.WriteEndObject();
                }
            }

            WriteInboxes(json, replica);
            if (isPush)
            {
                WriteCount(json, "total_requests", replica.Requests);
                WriteCount(json, "total_nodes", live.Length);
                WriteCount(json, "online_nodes", live.Length);
                WriteCount(json, "trust_links", pairs.Count);
                WriteCount(json, "unique_tags", live.SelectMany(n => n.Tags ?? []).Distinct(StringComparer.Ordinal).Count());
                WriteCount(json, "task_executors", live.Count(n => n.TaskExec));
                json.WriteString("start_time", Time(replica.Started));
            }

            if (checksum is not null)
            {
                json.WriteString("checksum", checksum);
            }

            json.WriteEndObject();
        }

        return buffer.WrittenSpan.ToArray();
    }

    private static void WriteNode(Utf8JsonWriter json, NodeStored node, Dictionary<uint, DateTimeOffset> lastSeen)
    {
        json.WriteStartObject();
        json.WriteNumber("id", node.Node);
        WriteText(json, "owner", node.Owner);
        json.WriteString("public_key", node.Key.ToString());
        WriteText(json, "real_addr", node.Endpoint);
        json.WriteStartArray("networks");
        json.WriteNumberValue(0);
        Array.ForEach(node.Networks ?? [], n => json.WriteNumberValue(n));
        json.WriteEndArray();
        WriteFlag(json, "public", node.Public);
        json.WriteString("last_seen", Time(lastSeen.GetValueOrDefault(node.Node)));
        WriteText(json, "hostname", node.Hostname);
        WriteTexts(json, "tags", node.Tags ?? []);
        WriteCount(json, "polo_score", node.PoloScore);
        WriteFlag(json, "task_exec", node.TaskExec);
        WriteTexts(json, "lan_addrs", node.LanAddresses ?? []);
        json.WriteString("key_created", Time(node.KeyCreated));
        if (node.KeyRotated is { } rotated)
        {
            json.WriteString("key_rotated", Time(rotated));
        }

        WriteCount(json, "key_rot_count", node.KeyRotations);
        if (node.KeyExpires is { } expires)
        {
            json.WriteString("key_expires", Time(expires));
        }

        WriteText(json, "external_id", node.ExternalId);
        json.WriteEndObject();
    }

    private static void WriteNetwork(Utf8JsonWriter json, NetworkStored network)
    {
        json.WriteStartObject(Name(network.Network));
        json.WriteNumber("id", network.Network);
        json.WriteString("name", network.Name);
        json.WriteString("join_rule", network.JoinRule);
        json.WriteStartArray("members");
        Array.ForEach(network.Members, m => json.WriteNumberValue(m));
        json.WriteEndArray();
        if (network.Roles.Count > 0)
        {
            json.WriteStartObject("member_roles");
            foreach ((uint node, string role) in network.Roles.OrderBy(r => Name(r.Key), StringComparer.Ordinal))
            {
                json.WriteString(Name(node), role);
            }

            json.WriteEndObject();
        }

        WriteFlag(json, "enterprise", network.Enterprise);
        json.WriteString("created", Time(network.Created));
        json.WriteEndObject();
    }

    private static List<string> Pairs(Replica replica)
    {
        HashSet<(uint From, uint To)> consents = [.. replica.Records.OfType<TrustStored>().SelectMany(t => (t.Consents ?? []).Select(to => (t.Node, to)))];
        return [.. consents
            .Where(c => replica.OneConsentIsTrust || consents.Contains((c.To, c.From)))
            .Select(c => (Low: Math.Min(c.From, c.To), High: Math.Max(c.From, c.To)))
            .Distinct().Order()
            .Select(p => $"{Name(p.Low)}:{Name(p.High)}")];
    }

    private static void WriteInboxes(Utf8JsonWriter json, Replica replica)
    {
        InboxStored[] inboxes = [.. replica.Records.OfType<InboxStored>().OrderBy(i => Name(i.Node), StringComparer.Ordinal)];
        WriteMap(json, "handshake_inbox", [.. inboxes.Where(i => (i.Requests ?? []).Any(r => !r.ByName))], i => Name(i.Node), i =>
        {
            json.WriteStartArray();
            foreach (QueuedRequest request in i.Requests!.Where(r => !r.ByName))
            {
                json.WriteStartObject();
                json.WriteNumber("from_node_id", request.From);
                json.WriteString("justification", request.Justification);
                json.WriteString("timestamp", Time(request.At));
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }, leaveOutEmpty: true);
        WriteMap(json, "handshake_responses", [.. inboxes.Where(i => i.Responses is { Length: > 0 })], i => Name(i.Node), i =>
        {
            json.WriteStartArray();
            foreach (QueuedResponse response in i.Responses!)
            {
                json.WriteStartObject();
                json.WriteNumber("from_node_id", response.From);
                json.WriteBoolean("accept", response.Accept);
                json.WriteString("timestamp", Time(response.At));
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }, leaveOutEmpty: true);
    }

    private static void WriteMap<T>(Utf8JsonWriter json, string name, T[] items, Func<T, string> key, Action<T> write, bool leaveOutEmpty = false)
    {
        if (items.Length == 0 && leaveOutEmpty)
        {
            return;
        }

        json.WriteStartObject(name);
        foreach (T item in items)
        {
            json.WritePropertyName(key(item));
            write(item);
        }

        json.WriteEndObject();
    }

    private static void WriteTexts(Utf8JsonWriter json, string name, IReadOnlyCollection<string> texts)
    {
        if (texts.Count > 0)
        {
            json.WriteStartArray(name);
            foreach (string text in texts)
            {
                json.WriteStringValue(text);
            }

            json.WriteEndArray();
        }
    }

    private static void WriteText(Utf8JsonWriter json, string name, string? text)
    {
        if (!string.IsNullOrEmpty(text))
        {
            json.WriteString(name, text);
        }
    }

    private static void WriteFlag(Utf8JsonWriter json, string name, bool value)
    {
        if (value)
        {
            json.WriteBoolean(name, value);
        }
    }

    private static void WriteCount(Utf8JsonWriter json, string name, long value)
    {
        if (value != 0)
        {
            json.WriteNumber(name, value);
        }
    }

    private static string Name(uint number) => number.ToString(CultureInfo.InvariantCulture);

    private static string Time(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
}
