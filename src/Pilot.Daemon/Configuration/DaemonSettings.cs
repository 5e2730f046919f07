namespace Pilot.Daemon.Configuration;

/// <summary>Whom the daemon trusts without asking its operator (05 §10.1).</summary>
internal enum TrustAutoApprove
{
    /// <summary>Nobody.</summary>
    Off,

    /// <summary>Members of a shared network other than 0.</summary>
    SameNetwork,

    /// <summary>Everybody who asks.</summary>
    All,
}

/// <summary>The daemon's effective settings, after flag, environment, config.json and default were merged (07 §3.2).</summary>
internal sealed record DaemonSettings
{
    /// <summary>Default registry port (07 §8).</summary>
    public const int RegistryPort = 9000;

    /// <summary>Default beacon port (07 §8).</summary>
    public const int BeaconPort = 9001;

    /// <summary>State base directory: <c>-home</c>, PILOT_HOME, else <c>$HOME/.pilot</c>.</summary>
    public required string Home { get; init; }

    /// <summary>Registries in order of preference, <c>host:port</c>.</summary>
    public required IReadOnlyList<string> Registries { get; init; }

    /// <summary>Beacons, <c>host:port</c>; empty = no discovery, punch or relay.</summary>
    public required IReadOnlyList<string> Beacons { get; init; }

    /// <summary>Tunnel socket <c>host:port</c>, host may be empty; port 0 = last used one, else any.</summary>
    public string Listen { get; init; } = DaemonFlags.Listen.Default;

    public required string SocketPath { get; init; }

    /// <summary>Fixed public endpoint; its port is registered (04 §5). Null = what the beacon sees.</summary>
    public string? Endpoint { get; init; }

    public bool RegistryTls { get; init; }

    /// <summary>SHA-256 of the registry's certificate, 64 hex digits.</summary>
    public string? RegistryFingerprint { get; init; }

    public required string IdentityPath { get; init; }

    public string? Email { get; init; }

    public string? Hostname { get; init; }

    public bool Public { get; init; }

    public bool NoEcho { get; init; }

    /// <summary>The gateway is not asked to map the tunnel's port.</summary>
    public bool NoPortMapping { get; init; }

    /// <summary>Registry heartbeat interval (07 §8).</summary>
    public TimeSpan KeepAlive { get; init; } = DaemonFlags.KeepAlive.Default;

    /// <summary>Zero = streams are never closed for being idle (00 §10 rule 16).</summary>
    public TimeSpan IdleTimeout { get; init; }

    public TimeSpan TimeWait { get; init; } = DaemonFlags.TimeWait.Default;

    public int SynRateLimit { get; init; } = DaemonFlags.SynRateLimit.Default;

    public int MaxConnectionsPerPort { get; init; } = DaemonFlags.MaxConnectionsPerPort.Default;

    public int MaxConnections { get; init; } = DaemonFlags.MaxConnections.Default;

    public TrustAutoApprove AutoApprove { get; init; }

    public bool AcceptRegistryTrust { get; init; }

    public string LogLevel { get; init; } = DaemonFlags.LogLevel.Default;

    public bool LogJson { get; init; }

    /// <summary>Null = no log file.</summary>
    public string? LogFile { get; init; }

    /// <summary>Log lines on stderr as well.</summary>
    public bool LogConsole { get; init; } = DaemonFlags.LogConsole.Default;

    /// <summary>Things to say once the log is open.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];
}
