using System.Text.Json;
using System.Text.Json.Serialization;

namespace Pilot.Ipc;

/// <summary>The line with which the daemon hands over a stream; the client reads it as <see cref="IpcReply"/>, where the members are explained.</summary>
public sealed record RawReply
{
    /// <summary>Echo of the request's id.</summary>
    public JsonElement? Id { get; init; }

    /// <summary>Always true.</summary>
    public bool Ok { get; init; } = true;

    /// <summary>Always true.</summary>
    public bool Raw { get; init; } = true;

    /// <summary>Connection id.</summary>
    public required uint Conn { get; init; }

    /// <summary>Own end, <c>address:port</c>.</summary>
    public required string Local { get; init; }

    /// <summary>Peer's end, <c>address:port</c>.</summary>
    public required string Remote { get; init; }

    /// <summary>See <see cref="PathName"/>.</summary>
    public string? Path { get; init; }

    /// <summary>Round trip in milliseconds.</summary>
    public double? RttMs { get; init; }

    /// <summary>UDP endpoint in use.</summary>
    public string? Endpoint { get; init; }

    /// <summary>Milliseconds to the established stream.</summary>
    public double? SetupMs { get; init; }

    /// <summary>Peer's hostname, when known.</summary>
    public string? Hostname { get; init; }

    /// <summary>True: half-close was negotiated.</summary>
    public bool? HalfClose { get; init; }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(RawReply))]
internal sealed partial class IpcRawContext : JsonSerializerContext;
