using System.Text.Json;

namespace Pilot.Ipc;

/// <summary>Values of <see cref="IpcReply.Event"/>.</summary>
public static class IpcEvent
{
    /// <summary><see cref="ProgressEvent"/>.</summary>
    public const string Progress = "progress";

    /// <summary><see cref="DatagramEvent"/>.</summary>
    public const string Datagram = "datagram";

    /// <summary><see cref="TrustEvent"/>.</summary>
    public const string Trust = "trust";

    /// <summary><see cref="PeerEvent"/>.</summary>
    public const string Peer = "peer";

    /// <summary>Name member of <c>subscribe</c>'s event list for <see cref="PeerEvent"/> and <see cref="TrustEvent"/> alike.</summary>
    public static bool IsSubscribable(string name) => name is Trust or Peer;
}

/// <summary>A step of a running <c>dial</c>: <c>{"event":"progress","id":1,"stage":"resolving","elapsed_ms":0.4}</c>.</summary>
public sealed record ProgressEvent
{
    /// <summary>Always <c>progress</c>.</summary>
    public string Event { get; init; } = IpcEvent.Progress;

    /// <summary>Id of the request.</summary>
    public JsonElement? Id { get; init; }

    /// <summary><c>resolving</c> (name or endpoint), <c>resolved</c> (the node is known), <c>connecting</c> (the dial runs), <c>tunnel</c> (a key is agreed), <c>path</c> (a path is in use).</summary>
    public required string Stage { get; init; }

    /// <summary>Milliseconds since the request.</summary>
    public required double ElapsedMs { get; init; }

    /// <summary>Node, once known.</summary>
    public uint? NodeId { get; init; }

    /// <summary>Address, once known.</summary>
    public string? Address { get; init; }

    /// <summary>See <see cref="PathName"/>, once known.</summary>
    public string? Path { get; init; }

    /// <summary>UDP endpoint, once known.</summary>
    public string? Endpoint { get; init; }

    /// <summary>Round trip in milliseconds, once known.</summary>
    public double? RttMs { get; init; }
}

/// <summary>A datagram for a subscribed port.</summary>
public sealed record DatagramEvent
{
    /// <summary>Always <c>datagram</c>.</summary>
    public string Event { get; init; } = IpcEvent.Datagram;

    /// <summary>Sender's address.</summary>
    public required string Src { get; init; }

    /// <summary>Sender's port.</summary>
    public required ushort SrcPort { get; init; }

    /// <summary>Own port.</summary>
    public required ushort DstPort { get; init; }

    /// <summary>Payload, base64 on the line.</summary>
    public required ReadOnlyMemory<byte> Data { get; init; }
}

/// <summary>A change of trust (05 §13.2).</summary>
public sealed record TrustEvent
{
    /// <summary>Always <c>trust</c>.</summary>
    public string Event { get; init; } = IpcEvent.Trust;

    /// <summary><c>pending</c>, <c>established</c>, <c>rejected</c>, <c>revoked</c>, <c>revoked_by_peer</c>, <c>key_changed</c>.</summary>
    public required string Change { get; init; }

    /// <summary>Peer.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Its hostname, when known.</summary>
    public string? Hostname { get; init; }

    /// <summary>Justification or reason of the peer, when there is one.</summary>
    public string? Text { get; init; }
}

/// <summary>A change of a tunnel's path.</summary>
public sealed record PeerEvent
{
    /// <summary>Always <c>peer</c>.</summary>
    public string Event { get; init; } = IpcEvent.Peer;

    /// <summary>Peer.</summary>
    public required uint NodeId { get; init; }

    /// <summary>See <see cref="PathName"/>; <c>none</c> when the peer was dropped.</summary>
    public required string Path { get; init; }

    /// <summary>UDP endpoint; empty for <c>none</c>.</summary>
    public required string Endpoint { get; init; }
}
