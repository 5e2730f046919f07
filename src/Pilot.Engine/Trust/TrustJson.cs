using System.Globalization;
using System.Text.Json;

namespace Pilot.Engine.Trust;

/// <summary>The reading rules that the two trust files share. Wrong types are refused by <see cref="JsonException"/>, which stays inside <see cref="TryRead"/>.</summary>
internal static class TrustJson
{
    private static readonly string[] TimeFormats = ["yyyy-MM-dd'T'HH:mm:ssK", "yyyy-MM-dd'T'HH:mm:ss.FFFFFFFK"];

    public static bool TryRead(string text, Action<JsonElement> read, out string? error)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new JsonException("not an object");
            }

            read(document.RootElement);
            error = null;
            return true;
        }
        catch (JsonException exception)
        {
            error = exception.Message;
            return false;
        }
        catch (InvalidOperationException)
        {
            // JsonElement's way to say that a string holds half a surrogate pair.
            error = "a string is not valid Unicode";
            return false;
        }
    }

    public static bool Is(JsonProperty member, string name) => string.Equals(member.Name, name, StringComparison.OrdinalIgnoreCase);

    public static IEnumerable<JsonElement> Objects(JsonProperty member) => member.Value.ValueKind switch
    {
        JsonValueKind.Null => [],
        JsonValueKind.Array => member.Value.EnumerateArray(),
        _ => throw Wrong(member, "array"),
    };

    public static IEnumerable<JsonProperty> Members(JsonElement entry) => entry.ValueKind switch
    {
        JsonValueKind.Null => [],
        JsonValueKind.Object => entry.EnumerateObject(),
        _ => throw new JsonException("an entry is not an object"),
    };

    public static uint UInt32(JsonProperty member) =>
        member.Value.ValueKind == JsonValueKind.Null ? 0
        : member.Value.ValueKind == JsonValueKind.Number && IsInteger(member) && member.Value.TryGetUInt32(out uint value) ? value
        : throw Wrong(member, "node id");

    public static ushort UInt16(JsonProperty member) =>
        member.Value.ValueKind == JsonValueKind.Null ? (ushort)0
        : member.Value.ValueKind == JsonValueKind.Number && IsInteger(member) && member.Value.TryGetUInt16(out ushort value) ? value
        : throw Wrong(member, "network id");

    public static bool Boolean(JsonProperty member) => member.Value.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False or JsonValueKind.Null => false,
        _ => throw Wrong(member, "boolean"),
    };

    public static string Text(JsonProperty member) => member.Value.ValueKind switch
    {
        JsonValueKind.String => member.Value.GetString()!,
        JsonValueKind.Null => "",
        _ => throw Wrong(member, "string"),
    };

    /// <summary>An RFC 3339 time; one that cannot be read is year 1, as in the reference.</summary>
    public static DateTimeOffset Time(JsonProperty member)
    {
        string text = Text(member);
        bool hasOffset = text.EndsWith('Z') || (text.Length > 6 && text[^3] == ':' && text[^6] is '+' or '-');
        return hasOffset && DateTimeOffset.TryParseExact(text, TimeFormats, CultureInfo.InvariantCulture, DateTimeStyles.None, out DateTimeOffset time)
            ? time
            : default;
    }

    // Fractions and exponents are refused even when the value is whole.
    private static bool IsInteger(JsonProperty member) => !member.Value.GetRawText().AsSpan().ContainsAny('.', 'e', 'E');

    private static JsonException Wrong(JsonProperty member, string wanted) => new($"\"{member.Name}\" is not a {wanted}");
}
