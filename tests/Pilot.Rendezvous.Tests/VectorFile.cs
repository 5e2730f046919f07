using System.Text.Json;

namespace Pilot.Rendezvous.Tests;

/// <summary>Golden vectors, copied next to the tests.</summary>
internal static class VectorFile
{
    public static IReadOnlyList<JsonElement> Load(string file, string prefix = "")
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Vectors", file)));
        return [.. document.RootElement.GetProperty("vectors").EnumerateArray()
            .Where(v => v.GetProperty("name").GetString()!.StartsWith(prefix, StringComparison.Ordinal))
            .Select(v => v.Clone())];
    }

    public static string Name(this JsonElement vector) => vector.GetProperty("name").GetString()!;

    public static string Text(this JsonElement element, string member) =>
        element.TryGetProperty(member, out JsonElement value) ? value.GetString()! : "";

    public static JsonElement Find(string file, string name) => Load(file, name).Single(v => v.Name() == name);
}
