using Pilot.Cli.Commands;

namespace Pilot.Cli.CommandLine;

/// <summary>All commands: parser, help, <c>context</c> and dispatch read this one table.</summary>
internal static class CommandTable
{
    private const string Bootstrap = "Bootstrap";
    private const string Daemon = "Daemon";
    private const string Identity = "Identity and discovery";
    private const string Trust = "Trust";
    private const string Messages = "Communication";
    private const string Diagnostics = "Diagnostics";

    private static readonly FlagSpec Timeout30 = new("timeout", "dur", "limit for dial and waiting, e.g. 30s (default 30s)");
    private static CommandSpec[]? _all;

    public static CommandSpec[] All => _all ??= Build();

    public static CommandSpec? Find(string name) => Array.Find(All, c => string.Equals(c.Name, name, StringComparison.Ordinal));

    /// <summary>Hints of a command group: for a missing and for an unknown sub-command. Null when the word is no group.</summary>
    public static (string Missing, string Unknown)? GroupHint(string name) => name switch
    {
        "daemon" => ("available: pilotctl daemon start | stop | status", "available: start, stop, status"),
        "trust" => ("available: pilotctl trust [list | add | remove | pending | approve | reject]", "available: list, add, remove, pending, approve, reject"),
        _ => null,
    };

    private static CommandSpec[] Build() =>
    [
        new()
        {
            Name = "init", Section = Bootstrap, Summary = "write ~/.pilot/config.json; existing values stay", NeedsDaemon = false,
            Flags =
            [
                new("registry", "addr", "registry host:port"), new("beacon", "addr", "beacon host:port"),
                new("hostname", "name", "hostname of this node"), new("socket", "path", "daemon socket"),
            ],
            Returns = "config_path, registry, beacon, socket, hostname", Run = BootstrapCommands.Init,
        },
        new()
        {
            Name = "config", Section = Bootstrap, Summary = "show the configuration, or set one key", NeedsDaemon = false,
            Flags = [new("set", "key=value", "store one key as text")],
            Synopsis = "config [--set key=value]",
            Returns = "current configuration as JSON, effective {key: {value, source}}", Run = BootstrapCommands.ShowOrSetConfig,
        },
        new()
        {
            Name = "context", Section = Bootstrap, Summary = "all commands, flags and error codes as JSON, for agents", NeedsDaemon = false,
            Returns = "version, commands, error_codes, global_flags, environment, config_file", Run = BootstrapCommands.ShowContext,
        },
        new()
        {
            Name = "version", Section = Bootstrap, Summary = "version of pilotctl", NeedsDaemon = false, Since = "2.0",
            Returns = "version, ipc_version, runtime", Run = BootstrapCommands.ShowVersion,
        },
        new()
        {
            Name = "help", Section = Bootstrap, Summary = "this page, or the page of one command", NeedsDaemon = false, Since = "2.0",
            Arguments = ["[command]"], IgnoresExtraArguments = true, // names of two words
            Returns = "command, usage, args, flags, returns", Run = BootstrapCommands.ShowHelp,
        },
        new()
        {
            Name = "daemon start", Section = Daemon, Summary = "start the daemon in the background and wait until it is ready", NeedsDaemon = false,
            Flags = DaemonCommands.StartFlags, Synopsis = "daemon start [--hostname <name>] [--email <addr>] [--registry <addr>] [--foreground] ...",
            Returns = "node_id, address, pid, socket, hostname, log_file", Run = DaemonCommands.Start,
        },
        new()
        {
            Name = "daemon stop", Section = Daemon, Summary = "stop the daemon", NeedsDaemon = false,
            Flags = [new("socket", "path", "daemon socket")],
            Synopsis = "daemon stop", Returns = "pid, forced (bool)", Run = DaemonCommands.Stop,
        },
        new()
        {
            Name = "daemon status", Section = Daemon, Summary = "is the daemon running; --check only sets the exit status", NeedsDaemon = false,
            Flags = [new("check", "level", "exit 0 when it is live (default), ready or reachable, else 1; alone it prints nothing"), new("socket", "path", "daemon socket")],
            Returns = "running (bool), responsive (bool), pid, pid_file, socket, node_id, address, hostname, uptime_secs, peers, connections",
            Run = DaemonCommands.Status,
        },
        new()
        {
            Name = "info", Section = Identity, Summary = "everything about this node",
            Returns = "node_id, address, hostname, uptime_secs, connections, ports, peers, encrypt, bytes_sent, bytes_recv, conn_list, peer_list",
            Run = NodeCommands.Info,
        },
        new()
        {
            Name = "status", Section = Identity, Summary = "NAT type, endpoint and how peers reach this node", Since = "2.0",
            Returns = "nat_type, endpoint, strategy, port_mapping, state, node_id, address, hostname, registry, registry_connected, beacon_answering", Run = NetworkCommands.Status,
        },
        new()
        {
            Name = "netcheck", Section = Diagnostics, Summary = "the network that this node is in: UDP, NAT, port mapping, beacons, and what follows", Since = "2.0",
            Returns = "udp, ipv4, ipv6, nat {type, mapping, filtering, ...}, port_mapping, beacons [{name, endpoint, answering, rtt_ms}], endpoint, strategy, meaning",
            Run = NetworkCommands.Netcheck,
        },
        new()
        {
            Name = "set-hostname", Section = Identity, Summary = "name this node", Arguments = ["<hostname>"],
            Returns = "hostname, node_id", Run = NodeCommands.SetHostname,
        },
        new()
        {
            Name = "clear-hostname", Section = Identity, Summary = "give the name up", Returns = "hostname", Run = NodeCommands.ClearHostname,
        },
        new()
        {
            Name = "set-public", Section = Identity, Summary = "let everybody find and dial this node", Returns = "type, node_id, visibility",
            IgnoresExtraArguments = true, Run = NodeCommands.SetPublic,
        },
        new()
        {
            Name = "set-private", Section = Identity, Summary = "let only trusted peers find and dial this node", Returns = "type, node_id, visibility",
            IgnoresExtraArguments = true, Run = NodeCommands.SetPrivate,
        },
        new()
        {
            Name = "find", Section = Identity, Summary = "node behind a hostname", Arguments = ["<hostname>"],
            Returns = "hostname, node_id, address, public", Run = NodeCommands.Find,
        },
        new()
        {
            Name = "lookup", Section = Identity, Summary = "the registry's record of a node", Arguments = ["<node_id>"], NeedsDaemon = false,
            Returns = "node_id, address, real_addr, public, hostname", Run = NodeCommands.Lookup,
        },
        new()
        {
            Name = "deregister", Section = Identity, Summary = "remove this node from the registry", Returns = "type", Run = NodeCommands.Deregister,
        },
        new()
        {
            Name = "handshake", Section = Trust, Summary = "ask a node for mutual trust",
            Arguments = ["<node_id|address|hostname>", "[justification]"], Returns = "status, node_id", Run = TrustCommands.Handshake,
        },
        new()
        {
            Name = "pending", Section = Trust, Summary = "requests that wait for a decision", Returns = "pending [{node_id, justification, received_at}]",
            Run = TrustCommands.Pending,
        },
        new()
        {
            Name = "approve", Section = Trust, Summary = "accept a request", Arguments = ["<node_id>"], Returns = "status, node_id",
            Run = TrustCommands.Approve,
        },
        new()
        {
            Name = "reject", Section = Trust, Summary = "refuse a request", Arguments = ["<node_id>", "[reason]"], Returns = "status, node_id",
            Run = TrustCommands.Reject,
        },
        new()
        {
            Name = "untrust", Section = Trust, Summary = "end the trust in a node", Arguments = ["<node_id>"], Returns = "node_id",
            Run = TrustCommands.Untrust,
        },
        new()
        {
            Name = "trust", Section = Trust, Summary = "trusted peers", Returns = "trusted [{node_id, mutual, network, approved_at}]",
            Run = TrustCommands.List,
        },
        new()
        {
            Name = "trust list", Section = Trust, Summary = "same as trust", Since = "2.0",
            Returns = "trusted [{node_id, mutual, network, approved_at}]", Run = TrustCommands.List,
        },
        new()
        {
            Name = "trust add", Section = Trust, Summary = "handshake, or approval when the peer has already asked", Since = "2.0",
            Arguments = ["<node_id|address|hostname>", "[justification]"],
            Flags = [new("wait", "dur", "wait until the peer trusts this node too")],
            Returns = "status (sent, approved, already_trusted), node_id", Run = TrustCommands.Add,
        },
        new()
        {
            Name = "trust remove", Section = Trust, Summary = "untrust; or reject, or withdraw an own request", Since = "2.0",
            Arguments = ["<node_id|address|hostname>"], Returns = "status, node_id", Run = TrustCommands.Remove,
        },
        new()
        {
            Name = "trust pending", Section = Trust, Summary = "same as pending", Since = "2.0",
            Returns = "pending [{node_id, justification, received_at}]", Run = TrustCommands.Pending,
        },
        new()
        {
            Name = "trust approve", Section = Trust, Summary = "same as approve", Since = "2.0", Arguments = ["<node_id|address|hostname>"],
            Returns = "status, node_id", Run = TrustCommands.Approve,
        },
        new()
        {
            Name = "trust reject", Section = Trust, Summary = "same as reject", Since = "2.0", Arguments = ["<node_id|address|hostname>", "[reason]"],
            Returns = "status, node_id", Run = TrustCommands.Reject,
        },
        new()
        {
            Name = "connect", Section = Messages, Summary = "send a message (or standard input) over a stream and print the answer",
            Arguments = ["<address|hostname>", "[port]"],
            Flags = [new("message", "msg", "text to send; without it, standard input"), Timeout30],
            Returns = "target, port, sent, response, path, rtt_ms", Run = MessageCommands.Connect,
        },
        new()
        {
            Name = "send", Section = Messages, Summary = "send data to a port and print the answer",
            Arguments = ["<address|hostname>", "<port>"],
            Synopsis = "send <address|hostname> <port> --data <msg> [--timeout <dur>]",
            Flags =
            [
                new("data", "msg", "text to send; - for standard input"), new("file", "path", "file to send; - for standard input"), Timeout30,
            ],
            Returns = "target, port, sent, response, path, rtt_ms", Run = MessageCommands.Send,
        },
        new()
        {
            Name = "recv", Section = Messages, Summary = "wait for streams on a port and print what they bring", Arguments = ["<port>"],
            Synopsis = "recv <port> [--count <n>] [--timeout <dur>]", IgnoresExtraArguments = true, // it sends nothing; "recv -timeout 5s" is told about its port
            Flags =
            [
                new("count", "n", "messages to wait for (default 1)"), Timeout30,
                new("raw", null, "write the bytes exactly as they come"), new("out", "path", "write the bytes to a file"),
            ],
            Returns = "messages [{seq, port, data, bytes}], timeout (bool)", Run = MessageCommands.Receive,
        },
        new()
        {
            Name = "listen", Section = Messages, Summary = "print datagrams and streams that arrive on a port", Arguments = ["<port>"],
            Flags = [new("count", "n", "stop after n (default: endless)"), new("timeout", "dur", "stop after this time (default: never)")],
            Returns = "messages [{src_addr, src_port, data, bytes}], timeout (bool). Unbounded: NDJSON per line", Run = MessageCommands.Listen,
        },
        new()
        {
            Name = "ping", Section = Diagnostics, Summary = "round trip to a node's echo port", Arguments = ["<address|hostname>"],
            Flags = [new("count", "n", "probes (default 4)"), new("timeout", "dur", "limit for the whole run (default 30s)"), new("interval", "dur", "pause between probes (default 1s)"),
                new("until-direct", null, "probe until no relay is between; exit 1 when it stays")],
            Synopsis = "ping <address|hostname> [--count <n>] [--timeout <dur>]",
            Returns = "target, results [{seq, bytes, rtt_ms, path, endpoint, via, error}], timeout (bool), sent, received, loss, min_ms, avg_ms, max_ms, path, path_changes",
            Run = PingCommand.Run,
        },
        new()
        {
            Name = "bench", Section = Diagnostics, Summary = "throughput both ways through a node's echo port",
            Arguments = ["<address|hostname>", "[size_mb]"],
            Flags = [new("timeout", "dur", "limit for the whole run (default 120s)")],
            Returns = "target, sent_bytes, recv_bytes, send_duration_ms, total_duration_ms, send_mbps, total_mbps, send_mib_s, total_mib_s, verified",
            Run = BenchCommand.Run,
        },
        new()
        {
            Name = "health", Section = Diagnostics, Summary = "counters of the daemon", Returns = "status, uptime_seconds, connections, peers, bytes_sent, bytes_recv",
            Run = NodeCommands.Health,
        },
        new()
        {
            Name = "peers", Section = Diagnostics, Summary = "tunnel peers",
            Flags = [new("search", "query", "only peers whose id, endpoint, name or address contains this")],
            Returns = "peers [{node_id, endpoint, encrypted, authenticated, path, via, rtt_ms, loss, bytes_sent, bytes_recv, paths}], total", Run = PeerCommands.Peers,
        },
        new()
        {
            Name = "connections", Section = Diagnostics, Summary = "streams of this node",
            Returns = "connections [{id, local_port, remote_addr, remote_port, state, ...}], total", Run = PeerCommands.Connections,
        },
        new()
        {
            Name = "disconnect", Section = Diagnostics, Summary = "close a stream", Arguments = ["<conn_id>"], Returns = "conn_id",
            Run = PeerCommands.Disconnect,
        },
    ];
}
