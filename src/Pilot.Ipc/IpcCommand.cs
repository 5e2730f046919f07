namespace Pilot.Ipc;

/// <summary>Values of <see cref="IpcRequest.Cmd"/>. The members each command reads and the data it answers are listed here.</summary>
public static class IpcCommand
{
    /// <summary>Optional greeting. Reads <c>version</c>. Answers <see cref="HelloData"/>. Works in every daemon state.</summary>
    public const string Hello = "hello";

    /// <summary>Answers <see cref="InfoData"/> with peer and connection lists. Works in every daemon state.</summary>
    public const string Info = "info";

    /// <summary>Answers <see cref="HealthData"/> from counters only, never queued behind other work.</summary>
    public const string Health = "health";

    /// <summary>Answers <see cref="StatusData"/>: state, pid, registration, last error. Works in every daemon state.</summary>
    public const string Status = "status";

    /// <summary>Reads any subset of <c>hostname</c> (empty clears), <c>public</c>, <c>tags</c>, <c>task_exec</c>. Answers <see cref="SetData"/>.
    /// Keys are applied in that order; the first failure ends the command with an error, keys applied before it stay applied.</summary>
    public const string Set = "set";

    /// <summary>Reads <c>name</c> or <c>to</c>. Answers <see cref="ResolveData"/>; unknown and not permitted are both <c>not_found</c>.</summary>
    public const string Resolve = "resolve";

    /// <summary>Reads <c>node</c> or <c>to</c>. Answers the registry's <c>lookup_ok</c> object unchanged (03 §6.1).</summary>
    public const string Lookup = "lookup";

    /// <summary>Reads <c>to</c> or <c>node</c>, <c>justification</c>. Answers <see cref="TrustActionData"/> with status <c>sent</c>,
    /// <c>approved</c> (the peer was pending) or <c>already_trusted</c>. A hostname that does not resolve is asked by name (03 §6.5).</summary>
    public const string Handshake = "handshake";

    /// <summary>Reads <c>to</c> or <c>node</c>. Answers <see cref="TrustActionData"/> status <c>approved</c>; <c>not_found</c> when nothing is pending.</summary>
    public const string Approve = "approve";

    /// <summary>Reads <c>to</c> or <c>node</c>, <c>reason</c>. Answers <see cref="TrustActionData"/> status <c>rejected</c>; <c>not_found</c> when nothing is pending.</summary>
    public const string Reject = "reject";

    /// <summary>Answers <see cref="PendingData"/>.</summary>
    public const string Pending = "pending";

    /// <summary>Answers <see cref="TrustedData"/>.</summary>
    public const string Trusted = "trusted";

    /// <summary>Reads <c>to</c> or <c>node</c>. Answers <see cref="TrustActionData"/> status <c>revoked</c>; <c>not_found</c> when not trusted.</summary>
    public const string Untrust = "untrust";

    /// <summary>Reads <c>to</c> (hostname, for a request by name) or <c>node</c>: drops an own outgoing request. Answers <see cref="TrustActionData"/> status <c>withdrawn</c>.</summary>
    public const string Withdraw = "withdraw";

    /// <summary>Reads <c>to</c>, <c>port</c>, <c>timeout_ms</c>, <c>progress</c>. Answers a raw reply (see <see cref="IpcReply.Raw"/>): from then on the connection is the stream.
    /// With <c>progress</c> true, <see cref="ProgressEvent"/> lines may come before the reply. On failure the connection stays in command mode.</summary>
    public const string Dial = "dial";

    /// <summary>Reads <c>port</c> (0 = any free), <c>backlog</c>. Answers <see cref="ListenData"/>. The port is bound until this connection ends or <c>unlisten</c>.</summary>
    public const string Listen = "listen";

    /// <summary>Reads <c>port</c>. Releases a port bound on this connection. Answers <see cref="ListenData"/>.</summary>
    public const string Unlisten = "unlisten";

    /// <summary>Reads <c>port</c>, <c>timeout_ms</c> (0 or absent = no limit). On its own connection; answers a raw reply when a stream comes in.
    /// The port must be bound by a <c>listen</c> of another connection; when that ends, waiting accepts fail with <c>cancelled</c>.</summary>
    public const string Accept = "accept";

    /// <summary>Reads <c>to</c>, <c>port</c>, <c>src_port</c> (absent = ephemeral), <c>data</c> (base64) or <c>text</c>. Answers <see cref="SendToData"/>.</summary>
    public const string SendTo = "send_to";

    /// <summary>Reads <c>datagrams</c> (list of ports, empty list = every port) and <c>events</c> (list of <c>trust</c>, <c>peer</c>,
    /// <c>punch</c>, <c>nat</c>). Answers <see cref="SubscribeData"/>, then <see cref="DatagramEvent"/>, <see cref="TrustEvent"/>, <see cref="PeerEvent"/>, <see cref="PunchEvent"/> and <see cref="NatEvent"/> lines on this connection.
    /// The oldest events are dropped when the client does not keep up.</summary>
    public const string Subscribe = "subscribe";

    /// <summary>Reads <c>to</c>, <c>timeout_ms</c>. One control ping through the tunnel (01 §3.7), which is built if needed.
    /// Answers <see cref="PingData"/>. The stream echo of 07 §6.5 is a <c>dial</c> to port 7.</summary>
    public const string Ping = "ping";

    /// <summary>Reads <c>to</c>. Answers <see cref="PathData"/>: the path to a peer at this moment. Nothing is sent; a peer without tunnel has path <c>none</c>.</summary>
    public const string Path = "path";

    /// <summary>Asks the beacons once more, then answers <see cref="NetData"/>: what is known about the network that this node is in.</summary>
    public const string Net = "net";

    /// <summary>Answers <see cref="PeersData"/>.</summary>
    public const string Peers = "peers";

    /// <summary>Answers <see cref="ConnectionsData"/>.</summary>
    public const string Connections = "connections";

    /// <summary>Reads <c>conn</c>. Closes a stream with FIN. Answers <see cref="DisconnectData"/>; an unknown id is not an error (07 §2.4).</summary>
    public const string Disconnect = "disconnect";

    /// <summary>Reads <c>conn</c>. Answers <see cref="ConnResultData"/>: how a stream ended (kept for 60 s after its end).</summary>
    public const string ConnResult = "conn_result";

    /// <summary>Removes the node from the registry; the daemon keeps running. Answers the registry's object unchanged.</summary>
    public const string Deregister = "deregister";

    /// <summary>Clean stop: FIN on streams, registry connection closed without deregister. Answers <c>{}</c> before the daemon stops.</summary>
    public const string Shutdown = "shutdown";
}
