using System.Text;
using System.Text.Json;

namespace Pilot.Engine.Trust;

/// <summary>What <c>trust-ext.json</c> holds beyond the reference's file.</summary>
/// <param name="Marks">Own requests that wait for a peer.</param>
/// <param name="Keys">Pinned keys (standard base64) by node id. They win over the keys in <c>trust.json</c>, which a reference may have rewritten.</param>
/// <param name="Former">Deny list, peers that revoked us, peers whose key changed.</param>
/// <param name="Hostnames">Last known hostnames by node id: hints for commands.</param>
/// <param name="NodeId">The id that this node had, 0 if none: what a registry that lost its memory is asked for again.</param>
public sealed record TrustExtension(
    IReadOnlyList<OutgoingMark> Marks,
    IReadOnlyDictionary<uint, string> Keys,
    IReadOnlyList<FormerPeer> Former,
    IReadOnlyDictionary<uint, string> Hostnames,
    uint NodeId = 0)
{
    /// <summary>Nothing.</summary>
    public static TrustExtension Empty { get; } = new([], new Dictionary<uint, string>(), [], new Dictionary<uint, string>());
}

/// <summary>
/// <c>trust-ext.json</c>, ours only (spec 05 section 11): kept beside <c>trust.json</c>, mode 0600, no secrets. Text only.
/// Unlike the reference's file it is read strictly: an entry that makes no sense makes the file unreadable.
/// </summary>
public static class TrustExtensionFile
{
    private const int Version = 1;

    private static readonly (FormerPeerState State, string Name)[] StateNames =
    [
        (FormerPeerState.Revoked, "revoked"),
        (FormerPeerState.RevokedByPeer, "revoked_by_peer"),
        (FormerPeerState.KeyChanged, "key_changed"),
    ];

    /// <summary>Formats the file, every list sorted.</summary>
    public static string Format(TrustExtension extension)
    {
        var text = new StringBuilder($"{{\n  \"version\": {Version}");
        if (extension.NodeId != 0)
        {
            text.Append($",\n  \"node_id\": {extension.NodeId}");
        }

        AppendList(text, "marks", extension.Marks.OrderBy(mark => mark.NodeId).ThenBy(mark => mark.Hostname, StringComparer.Ordinal), (line, mark) =>
        {
            line.Append(mark.NodeId != 0 ? $"\"node_id\": {mark.NodeId}" : "\"hostname\": ");
            if (mark.NodeId == 0)
            {
                ReferenceJson.AppendString(line, mark.Hostname);
            }

            AppendMember(line, "justification", mark.Justification);
            AppendMember(line, "since", TrustFile.FormatTime(mark.Since));
        });
        AppendList(text, "keys", extension.Keys.OrderBy(pair => pair.Key), (line, pair) =>
        {
            line.Append($"\"node_id\": {pair.Key}");
            AppendMember(line, "public_key", pair.Value);
        });
        AppendList(text, "former", extension.Former.OrderBy(peer => peer.NodeId), (line, peer) =>
        {
            line.Append($"\"node_id\": {peer.NodeId}");
            AppendMember(line, "state", StateNames.First(name => name.State == peer.State).Name);
            AppendMember(line, "public_key", peer.PublicKey);
            AppendMember(line, "new_public_key", peer.NewPublicKey);
            AppendMember(line, "since", TrustFile.FormatTime(peer.Since));
        });
        AppendList(text, "hostnames", extension.Hostnames.OrderBy(pair => pair.Key), (line, pair) =>
        {
            line.Append($"\"node_id\": {pair.Key}");
            AppendMember(line, "hostname", pair.Value);
        });
        return text.Append("\n}").ToString();
    }

    /// <summary>Reads the file. Never throws.</summary>
    /// <param name="text">The file's text.</param>
    /// <param name="extension">Its content; empty on failure.</param>
    /// <param name="error">What is wrong, when false is returned: then the file must be kept and the start refused, because it holds the deny list.</param>
    public static bool TryParse(string text, out TrustExtension extension, out string? error)
    {
        var marks = new List<OutgoingMark>();
        var keys = new SortedDictionary<uint, string>();
        var former = new List<FormerPeer>();
        var hostnames = new SortedDictionary<uint, string>();
        uint nodeId = 0;
        bool success = TrustJson.TryRead(text, root =>
        {
            bool hasVersion = false;
            foreach (JsonProperty member in root.EnumerateObject())
            {
                switch (member.Name)
                {
                    case "version":
                        hasVersion = TrustJson.UInt32(member) == Version;
                        break;
                    case "node_id":
                        nodeId = TrustJson.UInt32(member);
                        break;
                    case "marks":
                        marks.AddRange(TrustJson.Objects(member).Select(ReadMark));
                        break;
                    case "keys":
                        foreach (FormerPeer entry in TrustJson.Objects(member).Select(ReadFormer))
                        {
                            keys[Require(entry.NodeId)] = entry.PublicKey;
                        }

                        break;
                    case "former":
                        former.AddRange(TrustJson.Objects(member).Select(ReadFormer));
                        former.ForEach(entry => Require(entry.NodeId));
                        break;
                    case "hostnames":
                        foreach (OutgoingMark entry in TrustJson.Objects(member).Select(ReadNamed))
                        {
                            hostnames[Require(entry.NodeId)] = entry.Hostname;
                        }

                        break;
                    default:
                        break;
                }
            }

            if (!hasVersion)
            {
                throw new JsonException($"\"version\" is not {Version}");
            }
        }, out error);
        extension = success ? new TrustExtension(marks, keys, former, hostnames, nodeId) : TrustExtension.Empty;
        return success;
    }

    private static uint Require(uint nodeId) => nodeId != 0 ? nodeId : throw new JsonException("an entry names no node");

    private static OutgoingMark ReadMark(JsonElement entry)
    {
        OutgoingMark mark = ReadNamed(entry);
        return (mark.NodeId != 0) != (mark.Hostname.Length > 0) ? mark : throw new JsonException("a mark needs either a node id or a hostname");
    }

    private static OutgoingMark ReadNamed(JsonElement entry)
    {
        var mark = new OutgoingMark { Since = default };
        foreach (JsonProperty member in TrustJson.Members(entry))
        {
            mark = member.Name switch
            {
                "node_id" => mark with { NodeId = TrustJson.UInt32(member) },
                "hostname" => mark with { Hostname = TrustJson.Text(member) },
                "justification" => mark with { Justification = TrustJson.Text(member) },
                "since" => mark with { Since = TrustJson.Time(member) },
                _ => mark,
            };
        }

        return mark;
    }

    private static FormerPeer ReadFormer(JsonElement entry)
    {
        var peer = new FormerPeer { NodeId = 0, State = FormerPeerState.Revoked, Since = default };
        foreach (JsonProperty member in TrustJson.Members(entry))
        {
            peer = member.Name switch
            {
                "node_id" => peer with { NodeId = TrustJson.UInt32(member) },
                "public_key" => peer with { PublicKey = TrustJson.Text(member) },
                "new_public_key" => peer with { NewPublicKey = TrustJson.Text(member) },
                "state" => peer with { State = ReadState(member) },
                "since" => peer with { Since = TrustJson.Time(member) },
                _ => peer,
            };
        }

        return peer;
    }

    private static FormerPeerState ReadState(JsonProperty member)
    {
        string text = TrustJson.Text(member);
        foreach ((FormerPeerState state, string name) in StateNames)
        {
            if (string.Equals(name, text, StringComparison.Ordinal))
            {
                return state;
            }
        }

        throw new JsonException($"unknown state \"{TrustText.Printable(text)}\"");
    }

    private static void AppendList<T>(StringBuilder text, string name, IEnumerable<T> entries, Action<StringBuilder, T> append)
    {
        text.Append($",\n  \"{name}\": [");
        int count = 0;
        foreach (T entry in entries)
        {
            text.Append(count++ == 0 ? "\n    { " : ",\n    { ");
            append(text, entry);
            text.Append(" }");
        }

        text.Append(count == 0 ? "]" : "\n  ]");
    }

    private static void AppendMember(StringBuilder text, string name, string value)
    {
        if (value.Length > 0)
        {
            text.Append($", \"{name}\": ");
            ReferenceJson.AppendString(text, value);
        }
    }
}
