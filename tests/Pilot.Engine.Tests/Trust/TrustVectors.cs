using System.Text.Json;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Trust;

/// <summary>The golden vectors of spec 05 section 17.</summary>
internal static class TrustVectors
{
    private static readonly Dictionary<string, JsonElement> All = Load();

    public static readonly Identity A = Seeded(1);
    public static readonly Identity B = Seeded(2);
    public static readonly Identity C = Seeded(3);

    public static IEnumerable<string> Names => All.Keys;

    public static JsonElement Get(string name) => All[name];

    public static string Text(string name) => All[name].GetProperty("text").GetString()!;

    public static Identity IdentityOf(uint nodeId) => nodeId switch
    {
        1 or 1001 => A,
        2 or 1002 => B,
        _ => C,
    };

    public static uint Input(JsonElement vector, string name) =>
        vector.GetProperty("inputs").TryGetProperty(name, out JsonElement value) ? value.GetUInt32() : 0;

    private static Identity Seeded(byte value)
    {
        byte[] seed = new byte[32];
        Array.Fill(seed, value);
        return new Identity(seed);
    }

    private static Dictionary<string, JsonElement> Load()
    {
        using Stream stream = typeof(TrustVectors).Assembly.GetManifestResourceStream("Vectors/trust.json")!;
        using JsonDocument document = JsonDocument.Parse(stream);
        return document.RootElement.GetProperty("vectors").EnumerateArray()
            .ToDictionary(vector => vector.GetProperty("name").GetString()!, vector => vector.Clone());
    }
}
