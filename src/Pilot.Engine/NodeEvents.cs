using Pilot.Engine.Streams;
using Pilot.Protocol;

namespace Pilot.Engine;

/// <summary>What a <see cref="NodeEvent"/> tells.</summary>
public enum NodeEventKind : byte
{
    /// <summary>No event.</summary>
    None,

    /// <summary><see cref="NodeEvent.Connection"/> has new <see cref="NodeEvent.Signals"/>.</summary>
    Connection,

    /// <summary>A connection waits at the listener of <see cref="NodeEvent.Port"/>: call <see cref="Node.Accept"/>.</summary>
    Incoming,

    /// <summary>A datagram arrived: <see cref="NodeEvent.Datagram"/>.</summary>
    Datagram,

    /// <summary>Question: the endpoint of <see cref="NodeEvent.NodeId"/>; answer with <see cref="Node.CompleteResolve"/>.</summary>
    ResolveNeeded,

    /// <summary>Question: key and networks of <see cref="NodeEvent.NodeId"/>; answer with <see cref="Node.CompleteLookup"/>.</summary>
    LookupNeeded,

    /// <summary>Question: does the registry hold a trust pair with <see cref="NodeEvent.NodeId"/>; answer with <see cref="Node.CompleteTrustCheck"/>.</summary>
    TrustCheckNeeded,

    /// <summary>The tunnel with <see cref="NodeEvent.NodeId"/> has a key that the peer proved to hold.</summary>
    PeerConnected,

    /// <summary>The best path to <see cref="NodeEvent.NodeId"/> is now <see cref="NodeEvent.Path"/>.</summary>
    PathChanged,

    /// <summary>The beacon sees this socket at <see cref="NodeEvent.Endpoint"/>: register again.</summary>
    MappingChanged,

    /// <summary>The beacon at <see cref="NodeEvent.Endpoint"/> stopped answering.</summary>
    BeaconUnreachable,

    /// <summary>What is known about the NAT changed: see <see cref="Node.Nat"/>.</summary>
    NatChanged,

    /// <summary>The beacon at <see cref="NodeEvent.Endpoint"/> was asked to make us and <see cref="NodeEvent.NodeId"/> punch.</summary>
    PunchRequested,

    /// <summary>A punch of <see cref="NodeEvent.NodeId"/> came through from <see cref="NodeEvent.Endpoint"/>.</summary>
    PunchReceived,

    /// <summary>The outcome of <see cref="Node.Ping"/> with <see cref="NodeEvent.Token"/>.</summary>
    PingResult,

    /// <summary>A refusal that an operator may want to see: <see cref="NodeEvent.Detail"/> is the event's name (spec 02 section 22).</summary>
    Refused,
}

/// <summary>How frames reach a peer.</summary>
public enum PathKind : byte
{
    /// <summary>An address of the same local network.</summary>
    Lan,

    /// <summary>The peer's public or punched address.</summary>
    Direct,

    /// <summary>Through a beacon.</summary>
    Relay,
}

/// <summary>A path as the host may show it.</summary>
/// <param name="Kind">LAN, direct or relay.</param>
/// <param name="Endpoint">The peer's endpoint; for a relay the beacon's.</param>
/// <param name="Rtt">Smoothed round trip, if any ping was answered.</param>
/// <param name="IsConfirmed">Whether a ping sent on this path was answered (spec 01 section 15.2).</param>
/// <param name="IsPunched">A direct path that only opened because both sides punched.</param>
public readonly record struct PathStatus(PathKind Kind, UdpEndpoint Endpoint, TimeSpan? Rtt, bool IsConfirmed, bool IsPunched = false);

/// <summary>A path with its counters, for lists.</summary>
/// <param name="Path">The path.</param>
/// <param name="IsUsed">Whether frames go this way now.</param>
/// <param name="IsFailed">Whether its pings stopped being answered.</param>
/// <param name="Loss">Share of the last pings that were not answered, 0 to 1; null before the first.</param>
/// <param name="BytesSent">Bytes of UDP payload sent on it.</param>
/// <param name="BytesReceived">Authenticated bytes received on it.</param>
/// <param name="SinceLastReceived">Time since the last authenticated frame on it; null if there was none.</param>
public sealed record PathDetail(PathStatus Path, bool IsUsed, bool IsFailed, double? Loss, ulong BytesSent, ulong BytesReceived, TimeSpan? SinceLastReceived);

/// <summary>A datagram of protocol 2 (spec 02 section 16).</summary>
public sealed record ReceivedDatagram(PilotAddress Source, ushort SourcePort, ushort DestinationPort, byte[] Data);

/// <summary>One message of the node to its host.</summary>
public readonly record struct NodeEvent
{
    /// <summary>What happened.</summary>
    public NodeEventKind Kind { get; init; }

    /// <summary>The peer concerned.</summary>
    public uint NodeId { get; init; }

    /// <summary>The local port concerned.</summary>
    public ushort Port { get; init; }

    /// <summary>The connection concerned.</summary>
    public Connection? Connection { get; init; }

    /// <summary>What changed on the connection since the last event about it.</summary>
    public ConnectionSignals Signals { get; init; }

    /// <summary>The datagram received.</summary>
    public ReceivedDatagram? Datagram { get; init; }

    /// <summary>An endpoint: our mapping, or a beacon.</summary>
    public UdpEndpoint Endpoint { get; init; }

    /// <summary>The path concerned.</summary>
    public PathStatus Path { get; init; }

    /// <summary>The caller's token of <see cref="Node.Ping"/>.</summary>
    public long Token { get; init; }

    /// <summary>The outcome for <see cref="NodeEventKind.PingResult"/>.</summary>
    public ConnectionError Error { get; init; }

    /// <summary>The round trip of a successful ping.</summary>
    public TimeSpan Rtt { get; init; }

    /// <summary>A name or text that belongs to the event.</summary>
    public string? Detail { get; init; }
}

/// <summary>How a resolve at the registry ended.</summary>
public enum ResolveOutcome : byte
{
    /// <summary>Endpoints are known.</summary>
    Found,

    /// <summary>The registry answered that it does not know the node, or will not tell us.</summary>
    Refused,

    /// <summary>The registry could not be asked.</summary>
    Unavailable,
}

/// <summary>Answer to <see cref="NodeEventKind.ResolveNeeded"/>.</summary>
/// <param name="Outcome">How it ended.</param>
/// <param name="PublicEndpoint">The registered endpoint (<c>real_addr</c>), if any.</param>
/// <param name="LanEndpoints">The registered LAN endpoints that match one of ours.</param>
/// <param name="Error">The registry's text when refused.</param>
public sealed record ResolveAnswer(ResolveOutcome Outcome, UdpEndpoint? PublicEndpoint, IReadOnlyList<UdpEndpoint> LanEndpoints, string? Error = null)
{
    /// <summary>Further endpoints that the peer registered: a port mapping, global IPv6 addresses.</summary>
    public IReadOnlyList<UdpEndpoint> OtherEndpoints { get; init; } = [];

    /// <summary>The registry knows that the node runs our software: it may be talked to by relay and directly at once.</summary>
    public bool IsOurs { get; init; }
}

/// <summary>Answer to <see cref="NodeEventKind.LookupNeeded"/>.</summary>
/// <param name="IsAvailable">False when the registry could not be asked.</param>
/// <param name="PublicKey">The node's Ed25519 key (32 bytes), or null when the registry does not know the node.</param>
/// <param name="Networks">Its networks, network 0 included or not.</param>
public sealed record LookupAnswer(bool IsAvailable, byte[]? PublicKey, IReadOnlyList<ushort> Networks);

/// <summary>Where the bytes of <see cref="Node.Transmit"/> go.</summary>
/// <param name="Destination">The UDP destination of every datagram in the batch.</param>
/// <param name="SegmentSize">Size of each datagram; only the last may be shorter.</param>
/// <param name="MayFragment">
/// One datagram that is larger than the path is known to carry and cannot be made smaller (a user's datagram, or a
/// segment toward a reference whose boundaries are fixed): IP may cut it. Everything else must not be fragmented.
/// </param>
public readonly record struct Transmit(UdpEndpoint Destination, int SegmentSize, bool MayFragment = false);
