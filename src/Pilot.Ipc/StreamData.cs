namespace Pilot.Ipc;

/// <summary>Answer of <c>listen</c> and <c>unlisten</c>.</summary>
public sealed record ListenData
{
    /// <summary>The bound port (the chosen one when 0 was asked for).</summary>
    public required ushort Port { get; init; }

    /// <summary>Streams that may wait for an accept.</summary>
    public int Backlog { get; init; }
}

/// <summary>Answer of <c>send_to</c>: the datagram was handed to the tunnel (or queued until the key is there); delivery is not confirmed.</summary>
public sealed record SendToData
{
    /// <summary>Payload bytes.</summary>
    public required int Bytes { get; init; }

    /// <summary>Node that it goes to.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Source port used.</summary>
    public required ushort SrcPort { get; init; }
}

/// <summary>Answer of <c>subscribe</c>.</summary>
public sealed record SubscribeData
{
    /// <summary>Ports whose datagrams come as events; null when none are wanted, empty for all.</summary>
    public IReadOnlyList<ushort>? Datagrams { get; init; }

    /// <summary>Other events that come.</summary>
    public required IReadOnlyList<string> Events { get; init; }
}

/// <summary>Answer of <c>ping</c>.</summary>
public sealed record PingData
{
    /// <summary>Pinged node.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Round trip in milliseconds, tunnel set-up not included.</summary>
    public required double RttMs { get; init; }

    /// <summary>Milliseconds from the command to the answer, tunnel set-up included.</summary>
    public required double TotalMs { get; init; }

    /// <summary>See <see cref="PathName"/>.</summary>
    public required string Path { get; init; }

    /// <summary>UDP endpoint in use.</summary>
    public required string Endpoint { get; init; }

    /// <summary>Name of the beacon of a relayed path, as configured (additive).</summary>
    public string? Via { get; init; }
}

/// <summary>Answer of <c>peers</c>.</summary>
public sealed record PeersData
{
    /// <summary>Peers, at most 1,000.</summary>
    public required IReadOnlyList<PeerData> Peers { get; init; }

    /// <summary>Number of all peers.</summary>
    public required int Total { get; init; }
}

/// <summary>One tunnel peer.</summary>
public sealed record PeerData
{
    /// <summary>Node id.</summary>
    public required uint NodeId { get; init; }

    /// <summary>UDP endpoint in use <c>ip:port</c>; empty when none is known.</summary>
    public required string Endpoint { get; init; }

    /// <summary>True: there is a key.</summary>
    public required bool Encrypted { get; init; }

    /// <summary>True: the identity is proven.</summary>
    public required bool Authenticated { get; init; }

    /// <summary>See <see cref="PathName"/> (additive).</summary>
    public string? Path { get; init; }

    /// <summary>Smoothed round trip in milliseconds; null before the first measurement (additive).</summary>
    public double? RttMs { get; init; }

    /// <summary>True: by relay (additive).</summary>
    public bool Relay { get; init; }

    /// <summary>True: the user trusts this node (additive).</summary>
    public bool Trusted { get; init; }

    /// <summary>Hostname, when known (additive).</summary>
    public string? Hostname { get; init; }

    /// <summary>Address (additive).</summary>
    public string? Address { get; init; }

    /// <summary>Name of the beacon of a relayed path, as configured (additive).</summary>
    public string? Via { get; init; }

    /// <summary>Share of the last probes of the path in use that were not answered, 0 to 1; null before the first (additive).</summary>
    public double? Loss { get; init; }

    /// <summary>Bytes of UDP payload sent to the peer (additive).</summary>
    public long BytesSent { get; init; }

    /// <summary>Authenticated bytes received from the peer (additive).</summary>
    public long BytesRecv { get; init; }

    /// <summary>Every known path, the one in use first; left out when the list of peers is long (additive).</summary>
    public IReadOnlyList<PathData>? Paths { get; init; }
}

/// <summary>Answer of <c>connections</c>.</summary>
public sealed record ConnectionsData
{
    /// <summary>Streams, at most 1,000.</summary>
    public required IReadOnlyList<ConnectionData> Connections { get; init; }

    /// <summary>Number of all streams.</summary>
    public required int Total { get; init; }
}

/// <summary>One stream: the 24 members of 07 §6.5. Windows and flight in bytes, times in whole milliseconds.</summary>
public sealed record ConnectionData
{
    /// <summary>Connection id.</summary>
    public required uint Id { get; init; }

    /// <summary>Own port.</summary>
    public required ushort LocalPort { get; init; }

    /// <summary>Peer's address.</summary>
    public required string RemoteAddr { get; init; }

    /// <summary>Peer's port.</summary>
    public required ushort RemotePort { get; init; }

    /// <summary><c>CLOSED LISTEN SYN_SENT SYN_RECV ESTABLISHED FIN_WAIT CLOSE_WAIT TIME_WAIT</c>.</summary>
    public required string State { get; init; }

    /// <summary>Congestion window.</summary>
    public required long CongWin { get; init; }

    /// <summary>Slow start threshold.</summary>
    public required long Ssthresh { get; init; }

    /// <summary>Unacknowledged bytes.</summary>
    public required long InFlight { get; init; }

    /// <summary>Smoothed round trip.</summary>
    public required long SrttMs { get; init; }

    /// <summary>Round trip variation.</summary>
    public required long RttvarMs { get; init; }

    /// <summary>Unacknowledged segments.</summary>
    public required int Unacked { get; init; }

    /// <summary>Segments waiting out of order.</summary>
    public required int OooBuf { get; init; }

    /// <summary>Window of the peer.</summary>
    public required long PeerRecvWin { get; init; }

    /// <summary>Own receive window.</summary>
    public required long RecvWin { get; init; }

    /// <summary>True during loss recovery.</summary>
    public required bool InRecovery { get; init; }

    /// <summary>Stream bytes sent.</summary>
    public required long BytesSent { get; init; }

    /// <summary>Stream bytes received.</summary>
    public required long BytesRecv { get; init; }

    /// <summary>Segments sent.</summary>
    public required long SegsSent { get; init; }

    /// <summary>Segments received.</summary>
    public required long SegsRecv { get; init; }

    /// <summary>Retransmitted segments.</summary>
    public required long Retransmits { get; init; }

    /// <summary>Fast retransmissions.</summary>
    public required long FastRetx { get; init; }

    /// <summary>SACK payloads received.</summary>
    public required long SackRecv { get; init; }

    /// <summary>SACK payloads sent.</summary>
    public required long SackSent { get; init; }

    /// <summary>Duplicate acknowledgements received.</summary>
    public required long DupAcks { get; init; }

    /// <summary>Path of the peer, see <see cref="PathName"/> (additive).</summary>
    public string? Path { get; init; }
}

/// <summary>Answer of <c>disconnect</c>.</summary>
public sealed record DisconnectData
{
    /// <summary>The id asked for.</summary>
    public required uint ConnId { get; init; }

    /// <summary>False: there was no such stream.</summary>
    public required bool Closed { get; init; }
}

/// <summary>Answer of <c>conn_result</c>.</summary>
public sealed record ConnResultData
{
    /// <summary>The id asked for.</summary>
    public required uint ConnId { get; init; }

    /// <summary>True while the stream lives; then <see cref="Reason"/> is <c>open</c>.</summary>
    public required bool Open { get; init; }

    /// <summary><c>open</c>, <c>closed</c> (both directions ended with FIN), <c>reset</c> (RST of the peer), <c>timeout</c> (peer silent),
    /// <c>untrusted</c>, <c>aborted</c> (local client went away or <c>disconnect</c>), <c>shutdown</c> (daemon stopped).</summary>
    public required string Reason { get; init; }

    /// <summary>Text for people; empty for <c>open</c> and <c>closed</c>.</summary>
    public required string Error { get; init; }

    /// <summary>Stream bytes sent and acknowledged or in flight.</summary>
    public required long BytesSent { get; init; }

    /// <summary>Stream bytes received.</summary>
    public required long BytesRecv { get; init; }
}

/// <summary>Answer without content.</summary>
public sealed record EmptyData;
