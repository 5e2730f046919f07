namespace Pilot.Ipc;

/// <summary>Answer of <c>hello</c>.</summary>
public sealed record HelloData
{
    /// <summary>Protocol version, <see cref="IpcProtocol.Version"/>.</summary>
    public required int Version { get; init; }

    /// <summary>Version of the daemon program.</summary>
    public required string DaemonVersion { get; init; }

    /// <summary>Process id of the daemon.</summary>
    public required int Pid { get; init; }

    /// <summary>See <see cref="DaemonState"/>.</summary>
    public required string State { get; init; }

    /// <summary>Features, <see cref="IpcProtocol.Features"/>.</summary>
    public required IReadOnlyList<string> Features { get; init; }
}

/// <summary>Words for the daemon's state.</summary>
public static class DaemonState
{
    /// <summary>Not registered yet; commands that need the network answer <c>registry_unavailable</c>.</summary>
    public const string Starting = "starting";

    /// <summary>Registered at least once in this run.</summary>
    public const string Ready = "ready";

    /// <summary>Clean stop in progress.</summary>
    public const string Stopping = "stopping";
}

/// <summary>Answer of <c>status</c>.</summary>
public sealed record StatusData
{
    /// <summary>See <see cref="DaemonState"/>.</summary>
    public required string State { get; init; }

    /// <summary>Process id of the daemon.</summary>
    public required int Pid { get; init; }

    /// <summary>Version of the daemon program.</summary>
    public required string Version { get; init; }

    /// <summary>Node id; 0 before the first registration.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Own address; empty before the first registration.</summary>
    public required string Address { get; init; }

    /// <summary>Hostname; empty if none.</summary>
    public required string Hostname { get; init; }

    /// <summary>Whole seconds since the start.</summary>
    public required long UptimeSecs { get; init; }

    /// <summary>Known tunnel peers.</summary>
    public required int Peers { get; init; }

    /// <summary>Streams established or half open.</summary>
    public required int Connections { get; init; }

    /// <summary>Registry address in use.</summary>
    public required string Registry { get; init; }

    /// <summary>True while the registry connection is up and registered.</summary>
    public required bool RegistryConnected { get; init; }

    /// <summary>Beacon address in use; empty if none.</summary>
    public required string Beacon { get; init; }

    /// <summary>Own endpoint as the beacon saw it; empty if unknown.</summary>
    public required string Endpoint { get; init; }

    /// <summary>Last error that keeps the daemon from being ready or connected (registry text, dial failure); empty if none.</summary>
    public required string LastError { get; init; }

    /// <summary>Socket path.</summary>
    public required string Socket { get; init; }

    /// <summary>State directory.</summary>
    public required string Home { get; init; }

    /// <summary>Log file; empty if none.</summary>
    public required string LogFile { get; init; }

    /// <summary>See <see cref="InfoData.NatType"/> (additive).</summary>
    public string? NatType { get; init; }

    /// <summary>Whether a beacon answers; null without one (additive).</summary>
    public bool? BeaconAnswering { get; init; }

    /// <summary>The port mapping at the gateway (additive).</summary>
    public PortMappingData? PortMapping { get; init; }

    /// <summary>Bytes of managed memory allocated since the start: with the packet counters of <c>info</c>, the garbage per packet.</summary>
    public long AllocatedBytes { get; init; }

    /// <summary>The part of it that the thread which handles packets and streams allocated.</summary>
    public long LoopAllocatedBytes { get; init; }
}

/// <summary>Answer of <c>health</c> (08 §4.2).</summary>
public sealed record HealthData
{
    /// <summary>Always <c>ok</c>.</summary>
    public required string Status { get; init; }

    /// <summary>Whole seconds since the start.</summary>
    public required long UptimeSeconds { get; init; }

    /// <summary>Streams established or half open.</summary>
    public required int Connections { get; init; }

    /// <summary>Known tunnel peers.</summary>
    public required int Peers { get; init; }

    /// <summary>Tunnel bytes sent.</summary>
    public required long BytesSent { get; init; }

    /// <summary>Tunnel bytes received.</summary>
    public required long BytesRecv { get; init; }

    /// <summary>See <see cref="DaemonState"/> (additive).</summary>
    public string? State { get; init; }
}

/// <summary>Answer of <c>info</c> (07 §6.5, 08 §4.1), with additive members after <c>conn_list</c>.</summary>
public sealed record InfoData
{
    /// <summary>Node id; 0 before the first registration.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Own backbone address; empty before the first registration.</summary>
    public required string Address { get; init; }

    /// <summary>Hostname; empty if none.</summary>
    public required string Hostname { get; init; }

    /// <summary>Whole seconds since the start.</summary>
    public required long UptimeSecs { get; init; }

    /// <summary>Streams established or half open.</summary>
    public required int Connections { get; init; }

    /// <summary>Bound virtual ports, built-in services included.</summary>
    public required int Ports { get; init; }

    /// <summary>Known tunnel peers.</summary>
    public required int Peers { get; init; }

    /// <summary>Peers with a key.</summary>
    public required int EncryptedPeers { get; init; }

    /// <summary>Peers with a proven identity.</summary>
    public required int AuthenticatedPeers { get; init; }

    /// <summary>Always true: tunnels are encrypted.</summary>
    public required bool Encrypt { get; init; }

    /// <summary>True: the identity is kept in a file.</summary>
    public required bool Identity { get; init; }

    /// <summary>Own Ed25519 key, base64.</summary>
    public required string PublicKey { get; init; }

    /// <summary>Account e-mail; empty if none.</summary>
    public required string Email { get; init; }

    /// <summary>Tunnel bytes sent.</summary>
    public required long BytesSent { get; init; }

    /// <summary>Tunnel bytes received.</summary>
    public required long BytesRecv { get; init; }

    /// <summary>Datagrams sent.</summary>
    public required long PktsSent { get; init; }

    /// <summary>Datagrams received.</summary>
    public required long PktsRecv { get; init; }

    /// <summary>Packets encrypted for sending.</summary>
    public required long TunnelEncryptionSuccess { get; init; }

    /// <summary>Packets that failed to decrypt.</summary>
    public required long TunnelEncryptionFailure { get; init; }

    /// <summary>Pending trust requests.</summary>
    public required int HandshakePendingCount { get; init; }

    /// <summary>Peers, at most 1,000.</summary>
    public required IReadOnlyList<PeerData> PeerList { get; init; }

    /// <summary>Streams, TIME_WAIT included, at most 1,000.</summary>
    public required IReadOnlyList<ConnectionData> ConnList { get; init; }

    /// <summary>True: a list above was cut to keep the line short.</summary>
    public bool Truncated { get; init; }

    /// <summary>See <see cref="DaemonState"/>.</summary>
    public string? State { get; init; }

    /// <summary>Version of the daemon program.</summary>
    public string? Version { get; init; }

    /// <summary>Process id.</summary>
    public int Pid { get; init; }

    /// <summary>Own visibility.</summary>
    public bool Public { get; init; }

    /// <summary>Own endpoint as the beacon saw it; empty if unknown.</summary>
    public string? Endpoint { get; init; }

    /// <summary>Local UDP endpoint of the tunnel socket.</summary>
    public string? Listen { get; init; }

    /// <summary><c>open</c>, <c>full-cone</c>, <c>restricted cone</c>, <c>port-restricted cone</c>, <c>symmetric</c>, <c>blocked</c> or <c>unknown</c> (04 §11).</summary>
    public string? NatType { get; init; }

    /// <summary>Beacon in use; empty if none.</summary>
    public string? Beacon { get; init; }

    /// <summary>Registry in use.</summary>
    public string? Registry { get; init; }

    /// <summary>True while the registry connection is up and registered.</summary>
    public bool RegistryConnected { get; init; }

    /// <summary>Number of trusted peers.</summary>
    public int TrustedCount { get; init; }

    /// <summary>State directory.</summary>
    public string? Home { get; init; }

    /// <summary>Features of this daemon.</summary>
    public IReadOnlyList<string>? Features { get; init; }
}

/// <summary>Answer of <c>set</c>: the registry's answer per key that was set (07 §6.2).</summary>
public sealed record SetData
{
    /// <summary>Present when the hostname was set.</summary>
    public SetHostnameData? Hostname { get; init; }

    /// <summary>Present when the visibility was set.</summary>
    public SetVisibilityData? Visibility { get; init; }

    /// <summary>Present when tags were set.</summary>
    public SetTagsData? Tags { get; init; }

    /// <summary>Present when the task flag was set.</summary>
    public SetTaskExecData? TaskExec { get; init; }
}

/// <summary>Registry answer <c>set_hostname_ok</c>.</summary>
public sealed record SetHostnameData(string Type, uint NodeId, string Hostname);

/// <summary>Registry answer <c>set_visibility_ok</c>; visibility is <c>public</c> or <c>private</c>.</summary>
public sealed record SetVisibilityData(string Type, uint NodeId, string Visibility);

/// <summary>Registry answer <c>set_tags_ok</c>.</summary>
public sealed record SetTagsData(string Type, uint NodeId, IReadOnlyList<string> Tags);

/// <summary>Registry answer <c>set_task_exec_ok</c>.</summary>
public sealed record SetTaskExecData(string Type, uint NodeId, bool TaskExec);

/// <summary>Answer of <c>resolve</c>.</summary>
public sealed record ResolveData
{
    /// <summary>Node id.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Backbone address.</summary>
    public required string Address { get; init; }

    /// <summary>Hostname as the registry or the local name table knows it; empty when the target was given as id or address.</summary>
    public required string Hostname { get; init; }

    /// <summary>Visibility of the node; false when it was not asked.</summary>
    public required bool Public { get; init; }
}
