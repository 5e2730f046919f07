using System.Text;
using System.Text.Json;

namespace Pilot.Engine.Trust;

/// <summary>
/// <c>trust.json</c>, byte for byte as the reference writes it (spec 05 section 11). Text only; the host reads and
/// writes the file and keeps a backup. A text that cannot be read is reported and must never be overwritten.
/// </summary>
public static class TrustFile
{
    /// <summary>Formats the file: two-space indentation, no final newline, sorted by node id.</summary>
    public static string Format(IEnumerable<TrustedPeer> trusted, IEnumerable<PendingRequest> pending)
    {
        var text = new StringBuilder("{\n  \"trusted\": ");
        int count = 0;
        foreach (TrustedPeer peer in trusted.OrderBy(peer => peer.NodeId))
        {
            text.Append(count++ == 0 ? "[\n" : ",\n").Append($"    {{\n      \"node_id\": {peer.NodeId},\n      \"public_key\": ");
            ReferenceJson.AppendString(text, peer.PublicKey);
            text.Append($",\n      \"approved_at\": \"{FormatTime(peer.ApprovedAt)}\",\n      \"mutual\": {(peer.Mutual ? "true" : "false")}");
            if (peer.Network != 0)
            {
                text.Append($",\n      \"network\": {peer.Network}");
            }

            text.Append("\n    }");
        }

        text.Append(count == 0 ? "null" : "\n  ]");
        count = 0;
        foreach (PendingRequest request in pending.OrderBy(request => request.NodeId))
        {
            text.Append(count++ == 0 ? ",\n  \"pending\": [\n" : ",\n").Append($"    {{\n      \"node_id\": {request.NodeId}");
            AppendOptional(text, "public_key", request.PublicKey);
            AppendOptional(text, "justification", request.Justification);
            text.Append($",\n      \"received_at\": \"{FormatTime(request.ReceivedAt)}\"\n    }}");
        }

        return text.Append(count == 0 ? "\n}" : "\n  ]\n}").ToString();
    }

    /// <summary>
    /// Reads the file as leniently as the reference: members without regard to case, unknown ones ignored, last duplicate
    /// wins, an unreadable date is year 1. Stricter in one thing: a text without any of its members is no trust file, not an
    /// empty one (the reference always writes <c>trusted</c>). Never throws.
    /// </summary>
    /// <param name="text">The file's text.</param>
    /// <param name="trusted">The trust records; empty on failure.</param>
    /// <param name="pending">The pending requests; empty on failure.</param>
    /// <param name="error">What is wrong, when false is returned: then the file must be kept and the start refused.</param>
    public static bool TryParse(string text, out IReadOnlyList<TrustedPeer> trusted, out IReadOnlyList<PendingRequest> pending, out string? error)
    {
        var peers = new SortedDictionary<uint, TrustedPeer>();
        var requests = new SortedDictionary<uint, PendingRequest>();
        bool success = TrustJson.TryRead(text, root =>
        {
            bool isTrustFile = false;
            foreach (JsonProperty member in root.EnumerateObject())
            {
                if (TrustJson.Is(member, "trusted"))
                {
                    isTrustFile = true;
                    peers.Clear();
                    foreach (JsonElement entry in TrustJson.Objects(member))
                    {
                        TrustedPeer peer = ReadTrusted(entry);
                        peers[peer.NodeId] = peer;
                    }
                }
                else if (TrustJson.Is(member, "pending"))
                {
                    isTrustFile = true;
                    requests.Clear();
                    foreach (JsonElement entry in TrustJson.Objects(member))
                    {
                        PendingRequest request = ReadPending(entry);
                        requests[request.NodeId] = request;
                    }
                }
            }

            if (!isTrustFile)
            {
                throw new JsonException("neither \"trusted\" nor \"pending\" is there");
            }
        }, out error);
        trusted = success ? [.. peers.Values] : [];
        pending = success ? [.. requests.Values] : [];
        return success;
    }

    internal static string FormatTime(DateTimeOffset time) =>
        time.Offset == TimeSpan.Zero
            ? time.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", System.Globalization.CultureInfo.InvariantCulture)
            : time.ToString("yyyy-MM-dd'T'HH:mm:sszzz", System.Globalization.CultureInfo.InvariantCulture);

    private static void AppendOptional(StringBuilder text, string name, string value)
    {
        if (value.Length > 0)
        {
            text.Append($",\n      \"{name}\": ");
            ReferenceJson.AppendString(text, value);
        }
    }

    private static TrustedPeer ReadTrusted(JsonElement entry)
    {
        var peer = new TrustedPeer { NodeId = 0, ApprovedAt = default };
        foreach (JsonProperty member in TrustJson.Members(entry))
        {
            peer = member switch
            {
                _ when TrustJson.Is(member, "node_id") => peer with { NodeId = TrustJson.UInt32(member) },
                _ when TrustJson.Is(member, "public_key") => peer with { PublicKey = TrustJson.Text(member) },
                _ when TrustJson.Is(member, "approved_at") => peer with { ApprovedAt = TrustJson.Time(member) },
                _ when TrustJson.Is(member, "mutual") => peer with { Mutual = TrustJson.Boolean(member) },
                _ when TrustJson.Is(member, "network") => peer with { Network = TrustJson.UInt16(member) },
                _ => peer,
            };
        }

        return peer;
    }

    private static PendingRequest ReadPending(JsonElement entry)
    {
        var request = new PendingRequest { NodeId = 0, ReceivedAt = default };
        foreach (JsonProperty member in TrustJson.Members(entry))
        {
            request = member switch
            {
                _ when TrustJson.Is(member, "node_id") => request with { NodeId = TrustJson.UInt32(member) },
                _ when TrustJson.Is(member, "public_key") => request with { PublicKey = TrustJson.Text(member) },
                _ when TrustJson.Is(member, "justification") => request with { Justification = TrustJson.Text(member) },
                _ when TrustJson.Is(member, "received_at") => request with { ReceivedAt = TrustJson.Time(member) },
                _ => request,
            };
        }

        return request;
    }
}
