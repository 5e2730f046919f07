using Pilot.Engine;
using Pilot.Engine.Streams;
using Pilot.Flags;
using Pilot.Ipc;

namespace Pilot.Daemon.Configuration;

/// <summary>The flags of <c>pilot-daemon</c> (07 §8, and our own); a configuration file has the same names.</summary>
internal static class DaemonFlags
{
    private static readonly NodeOptions Engine = new();

    public static readonly FlagSet All = new("pilot-daemon");

    public static readonly Flag<string> Config = All.Text("config", "FILE", "JSON file with the same names; flags and environment win (default: config.json under -home, if there is one)");
    public static readonly Flag<string> Home = All.Text("home", "DIR", "directory of identity, trust, settings and log (default: .pilot in the home directory)", variable: "PILOT_HOME");
    public static readonly Flag<string> Registry = All.Text("registry", "HOST:PORT", "registry; several in order of preference, comma-separated", $"127.0.0.1:{DaemonSettings.RegistryPort}", "PILOT_REGISTRY");
    public static readonly Flag<string> Beacon = All.Text("beacon", "HOST:PORT", $"beacon; several comma-separated; empty = no discovery, punch or relay (default: the registry's host, port {DaemonSettings.BeaconPort})", variable: "PILOT_BEACON", emptyCounts: true);
    public static readonly Flag<string> Listen = All.Text("listen", "HOST:PORT", "UDP socket of the tunnels; port 0 = the last one used, else any", ":0");
    public static readonly Flag<string> Socket = All.Text("socket", "PATH", "Unix socket for local programs", IpcProtocol.DefaultSocketPath, "PILOT_SOCKET");
    public static readonly Flag<string> Endpoint = All.Text("endpoint", "HOST:PORT", "fixed public endpoint; empty = what the beacon sees");
    public static readonly Flag<bool> Encrypt = All.Switch("encrypt", "false is refused: tunnels are always encrypted", otherwise: true);
    public static readonly Flag<bool> RegistryTls = All.Switch("registry-tls", "TLS to the registry; needs -registry-fingerprint");
    public static readonly Flag<string> RegistryFingerprint = All.Text("registry-fingerprint", "HEX", "SHA-256 of the registry's certificate");
    public static readonly Flag<string> Identity = All.Text("identity", "FILE", "identity; account and trust lie beside it (default: identity.json under -home)");
    public static readonly Flag<string> Email = All.Text("email", "ADDRESS", "account e-mail (optional)", variable: "PILOT_EMAIL");
    public static readonly Flag<string> Owner = All.Text("owner", "ADDRESS", "older name of -email");
    public static readonly Flag<string> Hostname = All.Text("hostname", "NAME", "name of this node", variable: "PILOT_HOSTNAME");
    public static readonly Flag<bool> Public = All.Switch("public", "let everybody find and dial this node", variable: "PILOT_PUBLIC");
    public static readonly Flag<TimeSpan> KeepAlive = All.Duration("keepalive", "interval of registry heartbeats; 0 = default", TimeSpan.FromSeconds(30));
    public static readonly Flag<TimeSpan> IdleTimeout = All.Duration("idle-timeout", "closes streams that are idle for this long; 0 = never", TimeSpan.Zero);
    public static readonly Flag<TimeSpan> TimeWait = All.Duration("time-wait", "time in TIME_WAIT; 0 = default", new ConnectionOptions().TimeWait);
    public static readonly Flag<int> SynRateLimit = All.Number("syn-rate-limit", "new streams per second; 0 = default", Engine.SynRatePerSecond);
    public static readonly Flag<int> MaxConnectionsPerPort = All.Number("max-conns-per-port", "streams per port; 0 = default", Engine.MaxConnectionsPerPort);
    public static readonly Flag<int> MaxConnections = All.Number("max-conns-total", "streams in all; 0 = default", Engine.MaxConnections);
    public static readonly Flag<TrustAutoApprove> AutoApprove = All.Word("trust-auto-approve", "WHOM", "off, same-network or all: whom to trust without asking (default off)", TrustAutoApprove.Off, ToAutoApprove);
    public static readonly Flag<bool> AcceptRegistryTrust = All.Switch("accept-registry-trust", "accept trust that the registry reports");
    public static readonly Flag<bool> NoEcho = All.Switch("no-echo", "no echo service on port 7");
    public static readonly Flag<bool> NoDataExchange = All.Switch("no-dataexchange", "no data-exchange service on port 1001");
    public static readonly Flag<bool> NoEventStream = All.Switch("no-eventstream", "no event-stream service on port 1002");
    public static readonly Flag<bool> NoTaskSubmit = All.Switch("no-tasksubmit", "no task service on port 1003");
    public static readonly Flag<bool> NoPortMapping = All.Switch("no-port-mapping", "leave the gateway alone: no PCP, NAT-PMP or UPnP", variable: "PILOT_NO_PORT_MAPPING");
    public static readonly Flag<string> Webhook = All.Text("webhook", "URL", "known, but not used by this version");
    public static readonly Flag<string> AdminToken = All.Text("admin-token", "TOKEN", "known, but not used by this version");
    public static readonly Flag<string> Networks = All.Text("networks", "IDS", "known, but not used by this version");
    public static readonly Flag<string> LogLevel = All.Text("log-level", "LEVEL", "debug, info, warn or error", "info");
    public static readonly Flag<string> LogFormat = All.Text("log-format", "FORMAT", "text or json", "text");
    public static readonly Flag<string> LogFile = All.Text("log-file", "FILE", "log file; empty = none (default: pilot.log under -home)", emptyCounts: true);
    public static readonly Flag<bool> LogConsole = All.Switch("log-console", "log lines on standard error as well", otherwise: true);
    public static readonly Flag<bool> Check = All.Switch("check", "ends with status 0 when a daemon would take the flags and the file, else says why not; the environment does not count");
    public static readonly Flag<bool> Version = All.Switch("version", "prints the version");

    private static TrustAutoApprove ToAutoApprove(string text) => text switch
    {
        "off" or "false" => TrustAutoApprove.Off,
        "same-network" => TrustAutoApprove.SameNetwork,
        "all" or "true" => TrustAutoApprove.All,
        _ => throw new FormatException("off, same-network or all"),
    };
}
