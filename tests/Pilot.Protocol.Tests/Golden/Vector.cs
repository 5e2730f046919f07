using System.Text.Json;

namespace Pilot.Protocol.Tests.Golden;

/// <summary>One golden vector: an object of a file under Vectors/.</summary>
public sealed class Vector(string file, JsonElement json)
{
    public string File { get; } = file;

    public JsonElement Json { get; } = json;

    public string Name => Text("name");

    public string Kind => Json.TryGetProperty("kind", out JsonElement kind) ? kind.GetString()! : "";

    /// <summary>False for vectors that a correct receiver refuses, in the words of each file.</summary>
    public bool Valid =>
        Json.TryGetProperty("valid", out JsonElement valid) ? valid.GetBoolean()
        : Json.TryGetProperty("decode_ok", out JsonElement decodes) ? decodes.GetBoolean()
        : !(Json.TryGetProperty("rejected", out JsonElement rejected) && rejected.GetBoolean())
          && !(Json.TryGetProperty("negative", out JsonElement negative) && negative.GetBoolean());

    public bool HasHex => Json.TryGetProperty("hex", out _);

    /// <summary>A fresh copy of the bytes.</summary>
    public byte[] Hex => Convert.FromHexString(Text("hex"));

    public JsonElement Inputs => Json.GetProperty("inputs");

    public JsonElement Expect => Json.GetProperty("expect");

    public string Text(string member) => Json.GetProperty(member).GetString()!;

    public override string ToString() => $"{File}/{Name}";
}

/// <summary>The vector files, embedded in the test assembly.</summary>
public static class VectorFile
{
    public static IReadOnlyList<Vector> Load(string file)
    {
        using Stream stream = typeof(VectorFile).Assembly.GetManifestResourceStream($"Vectors/{file}")
            ?? throw new InvalidOperationException($"no vector file {file}");
        using JsonDocument document = JsonDocument.Parse(stream);
        return [.. document.RootElement.GetProperty("vectors").EnumerateArray().Select(v => new Vector(file, v.Clone()))];
    }
}

public static class JsonElementExtensions
{
    public static string Str(this JsonElement element, string member) => element.GetProperty(member).GetString()!;

    public static byte[] HexOf(this JsonElement element, string member) => Convert.FromHexString(element.Str(member));

    public static uint U32(this JsonElement element, string member) => element.GetProperty(member).GetUInt32();

    public static ushort U16(this JsonElement element, string member) => element.GetProperty(member).GetUInt16();
}
