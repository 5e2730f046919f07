using System.Text.Json;
using System.Text.Json.Serialization;

namespace Pilot.Ipc;

/// <summary>
/// One request line: <c>{"cmd":"dial","id":1,"to":"agent-b","port":1000}</c>. All commands share this flat record; which members a command
/// reads stands at <see cref="IpcCommand"/>. Unknown members are ignored. Requests with <c>id</c> may be answered in any order and the
/// reply echoes it; requests without <c>id</c> are processed and answered strictly in order (08 §10.1).
/// </summary>
public sealed record IpcRequest
{
    /// <summary>Command name, see <see cref="IpcCommand"/>.</summary>
    public string? Cmd { get; init; }

    /// <summary>Any JSON value; echoed in the reply.</summary>
    public JsonElement? Id { get; init; }

    /// <summary>Protocol version of the client (<c>hello</c>).</summary>
    public int? Version { get; init; }

    /// <summary>Target node: decimal node id (number or text), address <c>N:NNNN.HHHH.LLLL</c>, or hostname (07 §1.5).</summary>
    [JsonConverter(typeof(TargetConverter))]
    public string? To { get; init; }

    /// <summary>Target node id; same as <c>to</c> with that number.</summary>
    public uint? Node { get; init; }

    /// <summary>Hostname to resolve.</summary>
    public string? Name { get; init; }

    /// <summary>Virtual port.</summary>
    public ushort? Port { get; init; }

    /// <summary>Source port of a datagram; absent = ephemeral.</summary>
    public ushort? SrcPort { get; init; }

    /// <summary>Streams that may wait for an accept on a port; default 64, at most 1024.</summary>
    public int? Backlog { get; init; }

    /// <summary>Limit of the whole command in milliseconds.</summary>
    public int? TimeoutMs { get; init; }

    /// <summary>True: progress events before the reply of <c>dial</c>.</summary>
    public bool? Progress { get; init; }

    /// <summary>Payload in base64.</summary>
    public string? Data { get; init; }

    /// <summary>Payload as text (UTF-8 on the wire).</summary>
    public string? Text { get; init; }

    /// <summary>Ports whose datagrams are wanted (<c>subscribe</c>); empty = all.</summary>
    public IReadOnlyList<ushort>? Datagrams { get; init; }

    /// <summary>Events wanted (<c>subscribe</c>): <c>trust</c>, <c>peer</c>.</summary>
    public IReadOnlyList<string>? Events { get; init; }

    /// <summary>Connection id.</summary>
    public uint? Conn { get; init; }

    /// <summary>Text shown to the peer with a handshake; at most 1024 characters (05 §10.2).</summary>
    public string? Justification { get; init; }

    /// <summary>Text sent with a rejection.</summary>
    public string? Reason { get; init; }

    /// <summary>New hostname (<c>set</c>); empty clears it.</summary>
    public string? Hostname { get; init; }

    /// <summary>New visibility (<c>set</c>).</summary>
    public bool? Public { get; init; }

    /// <summary>New tags (<c>set</c>); empty clears them, at most 3.</summary>
    public IReadOnlyList<string>? Tags { get; init; }

    /// <summary>New task flag (<c>set</c>).</summary>
    public bool? TaskExec { get; init; }
}

/// <summary>Reads <c>to</c> from a JSON string or a whole number; writes it as string.</summary>
internal sealed class TargetConverter : JsonConverter<string>
{
    public override string? Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.TokenType switch
    {
        JsonTokenType.String => reader.GetString(),
        JsonTokenType.Number when reader.TryGetUInt32(out var node) => node.ToString(System.Globalization.CultureInfo.InvariantCulture),
        JsonTokenType.Null => null,
        _ => throw new JsonException("\"to\" must be a string or a node id"),
    };

    public override void Write(Utf8JsonWriter writer, string value, JsonSerializerOptions options) => writer.WriteStringValue(value);
}
