using System.Text.Json;

namespace Pilot.Flags;

/// <summary>Configuration file with the names of flags (07 §8): a flat JSON object, names with hyphens or underscores, texts, numbers and booleans.</summary>
public static class FlagFile
{
    /// <summary>Pairs of flag name and text; members of other types are left out.</summary>
    /// <exception cref="FlagException">The file cannot be read, or holds no JSON object.</exception>
    public static IReadOnlyList<KeyValuePair<string, string>> Read(string path)
    {
        try
        {
            using var document = JsonDocument.Parse(File.ReadAllBytes(path));
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new FlagException($"load config: {path} does not hold a JSON object");
            }

            return
            [
                .. from member in document.RootElement.EnumerateObject()
                   let text = Text(member.Value)
                   where text is not null
                   select KeyValuePair.Create(member.Name.Replace('_', '-'), text),
            ];
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or IOException or UnauthorizedAccessException) // InvalidOperation: no valid Unicode
        {
            throw new FlagException($"load config: {path}: {exception.Message}");
        }
    }

    private static string? Text(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString(),
        JsonValueKind.Number => value.GetRawText(),
        JsonValueKind.True => "true",
        JsonValueKind.False => "false",
        _ => null,
    };
}
