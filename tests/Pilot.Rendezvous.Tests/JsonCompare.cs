using System.Text.Json.Nodes;

namespace Pilot.Rendezvous.Tests;

/// <summary>Equality of answers as spec 03 section 15 wants it: member order free, volatile members by presence and kind, our extension members ignored.</summary>
internal static class JsonCompare
{
    private static readonly string[] Extensions = ["code", "retry_after_ms", "next_cursor", "from_hostname"];

    /// <summary>Null when equal, else what differs.</summary>
    public static string? Difference(string expected, string actual, IReadOnlyCollection<string> volatilePaths)
    {
        JsonNode wanted = JsonNode.Parse(expected)!;
        JsonNode got = JsonNode.Parse(actual)!;
        if (volatilePaths.Contains("nodes order"))
        {
            Sort(wanted);
            Sort(got);
        }

        return Compare(wanted, got, "", volatilePaths);
    }

    private static string? Compare(JsonNode? wanted, JsonNode? got, string path, IReadOnlyCollection<string> volatilePaths)
    {
        switch (wanted, got)
        {
            case (null, null):
                return null;
            case (JsonObject a, JsonObject b):
                foreach ((string name, JsonNode? value) in a)
                {
                    if (!b.ContainsKey(name))
                    {
                        return $"{path}.{name} missing";
                    }

                    if (Compare(value, b[name], path.Length == 0 ? name : $"{path}.{name}", volatilePaths) is { } difference)
                    {
                        return difference;
                    }
                }

                string? surplus = b.Select(m => m.Key).FirstOrDefault(k => !a.ContainsKey(k) && !Extensions.Contains(k));
                return surplus is null ? null : $"{path}.{surplus} surplus";
            case (JsonArray a, JsonArray b):
                if (a.Count != b.Count)
                {
                    return $"{path} has {b.Count} entries instead of {a.Count}";
                }

                for (int i = 0; i < a.Count; i++)
                {
                    if (Compare(a[i], b[i], $"{path}[]", volatilePaths) is { } difference)
                    {
                        return difference;
                    }
                }

                return null;
            case (JsonValue a, JsonValue b):
                bool isVolatile = volatilePaths.Contains(path) || (path == "error" && volatilePaths.Contains("timestamp in error"));
                return isVolatile
                    ? a.GetValueKind() == b.GetValueKind() ? null : $"{path} is {b.GetValueKind()}"
                    : JsonNode.DeepEquals(a, b) ? null : $"{path} is {b.ToJsonString()} instead of {a.ToJsonString()}";
            default:
                return $"{path} is {got?.ToJsonString() ?? "null"} instead of {wanted?.ToJsonString() ?? "null"}";
        }
    }

    private static void Sort(JsonNode answer)
    {
        if (answer["nodes"] is JsonArray nodes)
        {
            JsonNode?[] sorted = [.. nodes.OrderBy(n => n!["node_id"]!.GetValue<uint>()).Select(n => n!.DeepClone())];
            answer["nodes"] = new JsonArray(sorted);
        }
    }
}
