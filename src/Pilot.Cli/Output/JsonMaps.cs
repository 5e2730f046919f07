using System.Globalization;
using System.Text.Json;

namespace Pilot.Cli.Output;

/// <summary>Reading of the daemon's answers: an absent or wrong-typed member is the empty value of its kind.</summary>
internal static class JsonMaps
{
    public static JsonMap From(JsonElement element)
    {
        JsonMap map = new();
        if (element.ValueKind == JsonValueKind.Object)
        {
            foreach (JsonProperty property in element.EnumerateObject())
            {
                map[property.Name] = property.Value;
            }
        }

        return map;
    }

    public static string Text(this JsonElement element, string key) =>
        element.TryGetProperty(key, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString()! : string.Empty;

    public static double Number(this JsonElement element, string key) =>
        element.TryGetProperty(key, out JsonElement value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : 0;

    public static long Whole(this JsonElement element, string key) =>
        element.TryGetProperty(key, out JsonElement value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long whole) ? whole : 0;

    public static string Integer(this JsonElement element, string key) => element.Whole(key).ToString(CultureInfo.InvariantCulture);

    public static bool Flag(this JsonElement element, string key) =>
        element.TryGetProperty(key, out JsonElement value) && value.ValueKind == JsonValueKind.True;
}
