using System.Globalization;
using System.Text.Json;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Streams;

/// <summary>One packet of a captured exchange with a reference (spec chapter 02 section 21).</summary>
internal sealed record ScriptStep(bool FromReference, string Hex, int Milliseconds)
{
    public byte[] Bytes => Convert.FromHexString(Hex);

    public PacketHeader Header
    {
        get
        {
            Assert.True(Packet.TryParse(Bytes, out PacketHeader header, out _));
            return header;
        }
    }

    public byte[] Payload => Bytes[Packet.HeaderSize..];
}

/// <summary>The vectors of chapter 02 that are replayed here, copied from the specification.</summary>
internal static class ScriptVectors
{
    private static readonly Dictionary<string, JsonElement> All = Load();

    public static IEnumerable<string> Names => All.Keys;

    public static JsonElement Get(string name) => All[name];

    /// <summary>The packets of a script by their step numbers; notes are null.</summary>
    public static ScriptStep?[] Script(string name) =>
        [.. All["script-" + name].GetProperty("steps").EnumerateArray().Select(Step)];

    private static ScriptStep? Step(JsonElement step)
    {
        if (!step.TryGetProperty("dir", out JsonElement direction))
        {
            return null;
        }
        string hex;
        if (step.TryGetProperty("hex", out JsonElement whole))
        {
            hex = whole.GetString()!;
        }
        else
        {
            string fill = step.GetProperty("payload_fill").GetString()!; // "4096 bytes, all 0x7a"
            string value = fill[(fill.IndexOf("0x", StringComparison.Ordinal) + 2)..];
            hex = step.GetProperty("hex_header").GetString()! + string.Concat(Enumerable.Repeat(value, int.Parse(fill.Split(' ')[0], CultureInfo.InvariantCulture)));
        }
        return new ScriptStep(direction.GetString() == "ref->peer", hex, step.GetProperty("t_ms_approx").GetInt32());
    }

    private static Dictionary<string, JsonElement> Load()
    {
        using Stream stream = typeof(ScriptVectors).Assembly.GetManifestResourceStream("Vectors/streams-scripts.json")!;
        using JsonDocument document = JsonDocument.Parse(stream);
        return document.RootElement.GetProperty("vectors").EnumerateArray()
            .ToDictionary(vector => vector.GetProperty("name").GetString()!, vector => vector.Clone());
    }
}
