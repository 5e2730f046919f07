using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Pilot.Ipc;

/// <summary>
/// One line from the daemon as the client reads it: a reply (<see cref="Event"/> null), or an event. Success:
/// <c>{"id":1,"ok":true,"data":{…}}</c>; failure: <c>{"id":1,"ok":false,"code":"…","error":"…","hint":"…"}</c>;
/// raw hand-over: <c>{"id":1,"ok":true,"raw":true,"conn":17,"local":"0:…:49160","remote":"0:…:1000","path":"direct",…}</c>.
/// </summary>
public sealed record IpcReply
{
    /// <summary>Echo of the request's id.</summary>
    public JsonElement? Id { get; init; }

    /// <summary>Name of the event, or null for a reply: <c>progress</c>, <c>datagram</c>, <c>trust</c>, <c>peer</c>.</summary>
    public string? Event { get; init; }

    /// <summary>True for success.</summary>
    public bool Ok { get; init; }

    /// <summary>Result of a command without hand-over; shape per <see cref="IpcCommand"/>.</summary>
    public JsonElement? Data { get; init; }

    /// <summary>Stable error code, see <see cref="IpcErrorCode"/>.</summary>
    public string? Code { get; init; }

    /// <summary>Error text for people, in the words of 08 §5 (without the driver's prefixes).</summary>
    public string? Error { get; init; }

    /// <summary>What to do about the error.</summary>
    public string? Hint { get; init; }

    /// <summary>True: every byte after this line's newline is stream data, both ways (08 §10.3).</summary>
    public bool Raw { get; init; }

    /// <summary>Connection id of the handed-over stream.</summary>
    public uint Conn { get; init; }

    /// <summary>Own end as <c>address:port</c>.</summary>
    public string? Local { get; init; }

    /// <summary>Peer's end as <c>address:port</c>.</summary>
    public string? Remote { get; init; }

    /// <summary>Path in use at the hand-over, see <see cref="PathName"/>.</summary>
    public string? Path { get; init; }

    /// <summary>Smoothed round trip of that path in milliseconds; null before the first measurement.</summary>
    public double? RttMs { get; init; }

    /// <summary>UDP endpoint in use, <c>ip:port</c>; the beacon's when relayed.</summary>
    public string? Endpoint { get; init; }

    /// <summary>Milliseconds from the request to the established stream.</summary>
    public double? SetupMs { get; init; }

    /// <summary>Hostname of the peer, when known.</summary>
    public string? Hostname { get; init; }

    /// <summary>True: the peer negotiated half-close, so a shutdown of one direction reaches it (08 §10.3 item 5).</summary>
    public bool? HalfClose { get; init; }

    /// <summary>Parses one line (without newline). False when it is not an object of this shape.</summary>
    public static bool TryParse(ReadOnlySpan<byte> line, [NotNullWhen(true)] out IpcReply? reply)
    {
        try
        {
            reply = JsonSerializer.Deserialize(line, IpcJson.Context.IpcReply);
            return reply is not null;
        }
        catch (JsonException)
        {
            reply = null;
            return false;
        }
    }

    /// <summary>Reads <see cref="Data"/> as the type that the command answers, for example <c>IpcJson.Context.InfoData</c>.</summary>
    /// <exception cref="JsonException">The reply has no data or data of another shape.</exception>
    public T GetData<T>(JsonTypeInfo<T> type)
        where T : class
        => Data is { } data ? data.Deserialize(type) ?? throw new JsonException("data is null") : throw new JsonException("reply has no data");

    /// <summary>True when <see cref="Id"/> is the given number.</summary>
    public bool HasId(long id) => Id is { ValueKind: JsonValueKind.Number } element && element.TryGetInt64(out var value) && value == id;
}

/// <summary>Words for a path (04 §11): used in raw replies, <c>peers</c>, <c>info</c> and <c>ping</c>.</summary>
public static class PathName
{
    /// <summary>The own node.</summary>
    public const string Loopback = "loopback";

    /// <summary>An address of the same local network.</summary>
    public const string Lan = "lan";

    /// <summary>The peer's public or registered endpoint.</summary>
    public const string Direct = "direct";

    /// <summary>An endpoint opened by hole punching.</summary>
    public const string HolePunch = "hole-punch";

    /// <summary>Through the beacon.</summary>
    public const string Relay = "relay";

    /// <summary>No confirmed path.</summary>
    public const string None = "none";
}
