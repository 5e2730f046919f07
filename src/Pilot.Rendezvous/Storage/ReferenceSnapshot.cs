using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Pilot.Protocol;
using Pilot.Protocol.Registry;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Storage;

/// <summary>Reads the state file of the reference (spec 03 section 9.2), so that an operator can move over.</summary>
internal static class ReferenceSnapshot
{
    private const string ChecksumMember = ",\"checksum\":\"";

    /// <summary>Reads a file whole.</summary>
    /// <param name="file">Its bytes.</param>
    /// <param name="note">What the operator should know, empty or beginning with a line break.</param>
    /// <exception cref="InvalidDataException">It is damaged, or no such file. The text says where.</exception>
    public static RegistryState Read(byte[] file, out string note)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(file);
            JsonElement root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object || Number(root, "next_node") == 0 || !root.TryGetProperty("nodes", out JsonElement nodes) || nodes.ValueKind != JsonValueKind.Object)
            {
                throw new InvalidDataException("no snapshot of the reference: next_node or nodes is missing");
            }

            note = CheckChecksum(file, root);
            var state = new RegistryState(DateTimeOffset.UnixEpoch);
            DateTimeOffset created = root.TryGetProperty("networks", out JsonElement networks) && networks.TryGetProperty("0", out JsonElement backbone)
                ? Time(backbone, "created") ?? DateTimeOffset.UtcNow
                : throw new InvalidDataException("network 0 is missing");
            state.Apply(new CountersStored((uint)Number(root, "next_node"), created, Number(root, "total_requests")));
            ReadNetworks(state, networks);
            HashSet<string> hostnames = new(StringComparer.Ordinal);
            HashSet<string> owners = new(StringComparer.Ordinal);
            foreach (JsonProperty node in nodes.EnumerateObject())
            {
                state.Apply(ReadNode(node, state, hostnames, owners));
            }

            ReadDeparted(state, root);
            ReadTrust(state, root);
            ReadInboxes(state, root);
            if (state.Nodes.Keys.Any(id => id >= state.NextNode))
            {
                throw new InvalidDataException("next_node is not above all node ids");
            }

            return state;
        }
        catch (Exception e) when (e is JsonException or FormatException or InvalidOperationException or ArgumentException or OverflowException)
        {
            throw new InvalidDataException($"no readable snapshot of the reference: {e.Message}", e);
        }
    }

    // The reference writes compact JSON with the checksum last: what stands before it is what was hashed.
    private static string CheckChecksum(byte[] file, JsonElement root)
    {
        if (!root.TryGetProperty("checksum", out JsonElement stored))
        {
            return "\nthe file has no checksum";
        }

        ReadOnlySpan<byte> text = file.AsSpan().TrimEnd(" \r\n\t"u8);
        int at = text.LastIndexOf(Encoding.ASCII.GetBytes(ChecksumMember));
        if (at < 0)
        {
            throw new InvalidDataException("the checksum cannot be verified: the file is not as the reference writes it. To import it all the same, remove its member checksum");
        }

        byte[] hashed = [.. text[..at], (byte)'}'];
        if (!string.Equals(Convert.ToHexStringLower(SHA256.HashData(hashed)), stored.GetString(), StringComparison.OrdinalIgnoreCase))
        {
            throw new InvalidDataException("the checksum is wrong: the file is damaged or was changed. To import it all the same, remove its member checksum");
        }

        return "";
    }

    private static void ReadNetworks(RegistryState state, JsonElement networks)
    {
        foreach (JsonProperty network in networks.EnumerateObject().Where(n => n.Name != "0").OrderBy(n => ushort.Parse(n.Name, CultureInfo.InvariantCulture)))
        {
            var roles = new Dictionary<uint, string>();
            if (network.Value.TryGetProperty("member_roles", out JsonElement given) && given.ValueKind == JsonValueKind.Object)
            {
                foreach (JsonProperty role in given.EnumerateObject())
                {
                    roles[Id(role.Name)] = role.Value.GetString() ?? "member";
                }
            }

            uint[] members = Ids(network.Value, "members");
            if (roles.Count == 0)
            {
                // Without roles the first member is the owner (spec 03 section 9.3).
                for (int i = 0; i < members.Length; i++)
                {
                    roles[members[i]] = i == 0 ? "owner" : "member";
                }
            }

            state.Apply(new NetworkStored(
                ushort.Parse(network.Name, CultureInfo.InvariantCulture),
                Text(network.Value, "name"),
                Text(network.Value, "join_rule"),
                Flag(network.Value, "enterprise"),
                Time(network.Value, "created") ?? DateTimeOffset.UtcNow,
                members,
                roles));
        }
    }

    private static NodeStored ReadNode(JsonProperty node, RegistryState state, HashSet<string> hostnames, HashSet<string> owners)
    {
        JsonElement value = node.Value;
        uint id = Id(node.Name);
        if (value.ValueKind != JsonValueKind.Object)
        {
            throw new InvalidDataException($"node {id} is empty");
        }

        PublicKey key = ReadKey(Text(value, "public_key"), id);
        string owner = Text(value, "owner");
        string hostname = Text(value, "hostname");
        return new NodeStored(id, key, NodeStatus.Live)
        {
            KeyIndexed = !state.Keys.ContainsKey(key),
            Owner = owner,
            OwnerIndexed = owner.Length > 0 && owners.Add(owner),
            Endpoint = Text(value, "real_addr"),
            LanAddresses = Texts(value, "lan_addrs"),
            Public = Flag(value, "public"),
            Proven = true, // it was a node of the old server; nothing tells which ones ever signed
            Hostname = hostname.Length > 0 && HostnameRules.TryValidate(hostname, out _) && hostnames.Add(hostname) ? hostname : null,
            Tags = Texts(value, "tags"),
            PoloScore = Math.Clamp(Number(value, "polo_score"), -NodeRecord.MaxPoloScore, NodeRecord.MaxPoloScore),
            TaskExec = Flag(value, "task_exec"),
            ExternalId = Text(value, "external_id"),
            KeyCreated = Time(value, "key_created") ?? DateTimeOffset.UtcNow,
            KeyRotated = Time(value, "key_rotated"),
            KeyRotations = (int)Number(value, "key_rot_count"),
            KeyExpires = Time(value, "key_expires"),
            Networks = [.. Ids(value, "networks").Where(n => n != 0 && n <= ushort.MaxValue && state.Networks.ContainsKey((ushort)n)).Select(n => (ushort)n)],
        };
    }

    // Keys of nodes that left: the same key is to get the same id again.
    private static void ReadDeparted(RegistryState state, JsonElement root)
    {
        if (!root.TryGetProperty("pub_key_idx", out JsonElement index) || index.ValueKind != JsonValueKind.Object)
        {
            return;
        }

        foreach (JsonProperty entry in index.EnumerateObject())
        {
            uint id = entry.Value.GetUInt32();
            if (!state.Nodes.ContainsKey(id) && StandardBase64.TryDecode(entry.Name, out byte[]? bytes) && bytes.Length == PublicKey.Size)
            {
                PublicKey key = PublicKey.Read(bytes);
                state.Apply(new NodeStored(id, key, NodeStatus.Departed) { KeyIndexed = !state.Keys.ContainsKey(key), KeyCreated = DateTimeOffset.UtcNow, SilentSince = DateTimeOffset.UtcNow });
            }
        }
    }

    // The reference knows pairs only: both have consented then.
    private static void ReadTrust(RegistryState state, JsonElement root)
    {
        foreach (string pair in Texts(root, "trust_pairs") ?? [])
        {
            string[] ends = pair.Split(':');
            if (ends.Length != 2)
            {
                throw new InvalidDataException($"trust pair {pair}");
            }

            state.Apply(new ConsentGiven(Id(ends[0]), Id(ends[1])));
            state.Apply(new ConsentGiven(Id(ends[1]), Id(ends[0])));
        }
    }

    private static void ReadInboxes(RegistryState state, JsonElement root)
    {
        if (root.TryGetProperty("handshake_inbox", out JsonElement requests) && requests.ValueKind == JsonValueKind.Object)
        {
            foreach ((JsonProperty inbox, JsonElement message) in requests.EnumerateObject().SelectMany(i => i.Value.EnumerateArray().Select(m => (i, m))))
            {
                state.Apply(new HandshakeRequested((uint)Number(message, "from_node_id"), Id(inbox.Name), Text(message, "justification"), ByName: false, Time(message, "timestamp") ?? DateTimeOffset.UtcNow));
            }
        }

        if (root.TryGetProperty("handshake_responses", out JsonElement responses) && responses.ValueKind == JsonValueKind.Object)
        {
            foreach ((JsonProperty inbox, JsonElement message) in responses.EnumerateObject().SelectMany(i => i.Value.EnumerateArray().Select(m => (i, m))))
            {
                state.Apply(new HandshakeResponded((uint)Number(message, "from_node_id"), Id(inbox.Name), Flag(message, "accept"), Replace: true, Time(message, "timestamp") ?? DateTimeOffset.UtcNow));
            }
        }
    }

    private static PublicKey ReadKey(string text, uint id) =>
        StandardBase64.TryDecode(text, out byte[]? bytes) && bytes.Length == PublicKey.Size
            ? PublicKey.Read(bytes)
            : throw new InvalidDataException($"the key of node {id} is not 32 bytes of base64");

    private static uint Id(string text) => uint.Parse(text, NumberStyles.None, CultureInfo.InvariantCulture);

    private static string Text(JsonElement value, string name) =>
        value.TryGetProperty(name, out JsonElement member) && member.ValueKind == JsonValueKind.String ? member.GetString()! : "";

    private static bool Flag(JsonElement value, string name) => value.TryGetProperty(name, out JsonElement member) && member.ValueKind == JsonValueKind.True;

    private static long Number(JsonElement value, string name) =>
        value.TryGetProperty(name, out JsonElement member) && member.ValueKind == JsonValueKind.Number ? member.GetInt64() : 0;

    private static DateTimeOffset? Time(JsonElement value, string name) =>
        DateTimeOffset.TryParse(Text(value, name), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset time) ? time : null;

    private static string[]? Texts(JsonElement value, string name) =>
        value.TryGetProperty(name, out JsonElement member) && member.ValueKind == JsonValueKind.Array && member.GetArrayLength() > 0
            ? [.. member.EnumerateArray().Select(e => e.GetString() ?? "")]
            : null;

    private static uint[] Ids(JsonElement value, string name) =>
        value.TryGetProperty(name, out JsonElement member) && member.ValueKind == JsonValueKind.Array ? [.. member.EnumerateArray().Select(e => e.GetUInt32())] : [];
}
