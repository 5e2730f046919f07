using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Pilot.Ipc;

/// <summary>Serialisation of all lines: snake_case members, null members left out, no reflection.</summary>
public static class IpcJson
{
    /// <summary>The context to use. It writes non-ASCII text raw, which a JSON line may hold; it never writes a newline.</summary>
    public static IpcJsonContext Context { get; } = new(new JsonSerializerOptions(IpcJsonContext.Default.Options)
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}

/// <summary>Source-generated metadata of every line's types.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(IpcRequest))]
[JsonSerializable(typeof(IpcReply))]
[JsonSerializable(typeof(HelloData))]
[JsonSerializable(typeof(StatusData))]
[JsonSerializable(typeof(PortMappingData))]
[JsonSerializable(typeof(HealthData))]
[JsonSerializable(typeof(InfoData))]
[JsonSerializable(typeof(SetData))]
[JsonSerializable(typeof(ResolveData))]
[JsonSerializable(typeof(TrustActionData))]
[JsonSerializable(typeof(PendingData))]
[JsonSerializable(typeof(TrustedData))]
[JsonSerializable(typeof(ListenData))]
[JsonSerializable(typeof(SendToData))]
[JsonSerializable(typeof(SubscribeData))]
[JsonSerializable(typeof(PingData))]
[JsonSerializable(typeof(PeersData))]
[JsonSerializable(typeof(ConnectionsData))]
[JsonSerializable(typeof(DisconnectData))]
[JsonSerializable(typeof(ConnResultData))]
[JsonSerializable(typeof(EmptyData))]
[JsonSerializable(typeof(ProgressEvent))]
[JsonSerializable(typeof(DatagramEvent))]
[JsonSerializable(typeof(TrustEvent))]
[JsonSerializable(typeof(PeerEvent))]
[JsonSerializable(typeof(PunchEvent))]
[JsonSerializable(typeof(NatEvent))]
[JsonSerializable(typeof(NetData))]
[JsonSerializable(typeof(PathData))]
[JsonSerializable(typeof(JsonElement))]
public sealed partial class IpcJsonContext : JsonSerializerContext;
