using System.Text.Json;
using Pilot.Protocol;

namespace Pilot.Daemon.Registry;

/// <summary>An answer of the registry (03 §3). Anything with a string member <c>error</c> is a failure, whatever its type says.</summary>
internal sealed class RegistryAnswer
{
    public RegistryAnswer(JsonElement root)
    {
        Root = root;
        Error = root.ValueKind == JsonValueKind.Object && root.TryGetProperty("error", out var error) && error.ValueKind == JsonValueKind.String ? error.GetString() : null;
        Code = Text("code");
    }

    /// <summary>The whole object.</summary>
    public JsonElement Root { get; }

    /// <summary>Error text, or null for success.</summary>
    public string? Error { get; }

    /// <summary>Stable error code of our own registry, or empty.</summary>
    public string Code { get; }

    /// <summary>True when the registry does not know a node (03 §6.6).</summary>
    public bool IsNotFound => Error is { } error && error.Contains("not found", StringComparison.Ordinal);

    /// <summary>A string member, or empty.</summary>
    public string Text(string name) => Member(Root, name) is { ValueKind: JsonValueKind.String } member ? member.GetString()! : string.Empty;

    /// <summary>A node id, or 0.</summary>
    public uint Node(string name) => Node(Root, name);

    public bool Bool(string name) => Bool(Root, name);

    /// <summary>Items of an array member; none when it is missing or something else.</summary>
    public IEnumerable<JsonElement> Items(string name) => Member(Root, name) is { ValueKind: JsonValueKind.Array } array ? array.EnumerateArray() : [];

    public static uint Node(JsonElement element, string name) =>
        Member(element, name) is { ValueKind: JsonValueKind.Number } member && member.TryGetDouble(out var value) && value is >= 0 and <= uint.MaxValue ? (uint)value : 0;

    public static bool Bool(JsonElement element, string name) => Member(element, name) is { ValueKind: JsonValueKind.True };

    public static string Text(JsonElement element, string name) => Member(element, name) is { ValueKind: JsonValueKind.String } member ? member.GetString()! : string.Empty;

    public static long Long(JsonElement element, string name) =>
        Member(element, name) is { ValueKind: JsonValueKind.Number } member && member.TryGetDouble(out var value) && Math.Abs(value) < 1e15 ? (long)value : 0;

    /// <summary>The public key in an answer to <c>lookup</c>; null when there is none.</summary>
    public static byte[]? KeyOf(RegistryAnswer? answer)
    {
        if (answer is null || answer.Error is not null)
        {
            return null;
        }

        var key = new byte[Ed25519.PublicKeySize];
        return StandardBase64.TryDecodeExact(answer.Text("public_key"), key) ? key : null;
    }

    /// <summary>The networks in an answer to <c>lookup</c>.</summary>
    public static IReadOnlyList<ushort> NetworksOf(RegistryAnswer answer) =>
    [
        .. answer.Items("networks")
            .Where(item => item.ValueKind == JsonValueKind.Number && item.TryGetDouble(out var value) && value is >= 0 and <= ushort.MaxValue)
            .Select(item => (ushort)item.GetDouble()),
    ];

    private static JsonElement? Member(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var member) ? member : null;
}

/// <summary>The registry could not be asked: not connected, connection lost, no answer in time.</summary>
internal sealed class RegistryUnavailableException(string message) : Exception(message);

/// <summary>The registry answered with an error.</summary>
internal sealed class RegistryErrorException(RegistryAnswer answer) : Exception(answer.Error)
{
    public RegistryAnswer Answer { get; } = answer;
}
