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

    /// <summary><see cref="PunchEvent"/>.</summary>
    public const string Punch = "punch";

    /// <summary><see cref="NatEvent"/>.</summary>
    public const string Nat = "nat";

    /// <summary>Whether <c>subscribe</c> takes the name in its event list.</summary>
    public static bool IsSubscribable(string name) => name is Trust or Peer or Punch or Nat;
}

/// <summary>A step of a running <c>dial</c>: <c>{"event":"progress","id":1,"stage":"resolving","elapsed_ms":0.4}</c>.</summary>
public sealed record ProgressEvent
{
    /// <summary>Always <c>progress</c>.</summary>
    public string Event { get; init; } = IpcEvent.Progress;

    /// <summary>Id of the request.</summary>
    public JsonElement? Id { get; init; }

    /// <summary><c>resolving</c> (name or endpoint), <c>resolved</c> (the node is known), <c>connecting</c> (the dial runs), <c>punching</c> (the beacon was asked), <c>punched</c> (the peer's punch came), <c>tunnel</c> (a key is agreed), <c>path</c> (a path is in use).</summary>
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

    /// <summary>Name of the beacon of a relayed path, as configured; null otherwise.</summary>
    public string? Via { get; init; }

    /// <summary>Smoothed round trip of the path in milliseconds, once known.</summary>
    public double? RttMs { get; init; }
}

/// <summary>A step of hole punching.</summary>
public sealed record PunchEvent
{
    /// <summary>The beacon was asked to make both sides punch.</summary>
    public const string Requested = "requested";

    /// <summary>A punch of the peer came through.</summary>
    public const string Received = "received";

    /// <summary>Always <c>punch</c>.</summary>
    public string Event { get; init; } = IpcEvent.Punch;

    /// <summary>Peer.</summary>
    public required uint NodeId { get; init; }

    /// <summary><see cref="Requested"/> or <see cref="Received"/>.</summary>
    public required string Step { get; init; }

    /// <summary>The beacon, or where the punch came from.</summary>
    public required string Endpoint { get; init; }
}

/// <summary>What is known about the NAT in front of this node changed.</summary>
public sealed record NatEvent
{
    /// <summary>Always <c>nat</c>.</summary>
    public string Event { get; init; } = IpcEvent.Nat;

    /// <summary>The same words as <see cref="InfoData.NatType"/>.</summary>
    public required string NatType { get; init; }

    /// <summary>Own endpoint as the beacon saw it; empty if unknown.</summary>
    public required string Endpoint { get; init; }
}
