using System.Text.Json;
using Pilot.Flags;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Startup;

/// <summary>The flags of <c>rendezvous</c> (spec 03 section 12, and our own); the configuration file has the same names.</summary>
internal static class RendezvousFlags
{
    private static readonly Settings Defaults = new();
    private static readonly FlagSet All = new("rendezvous", emptyCounts: true);
    private static readonly Flag<string> Config = All.Text("config", "FILE", "JSON file with the same names; flags win");

    private static readonly Action<Settings, FlagValues>[] Rows =
    [
        Row(All.Text("registry-addr", "ADDR", "TCP address of the registry; port 0 = any", Defaults.RegistryAddress), (s, v) => s.RegistryAddress = v),
        Row(All.Text("beacon-addr", "ADDR", "UDP address of the beacon; port 0 = any", Defaults.BeaconAddress), (s, v) => s.BeaconAddress = v),
        Row(All.Text("beacon-second-addr", "ADDR", "another address of this host, IP or IP:PORT: with it nodes can tell all kinds of NAT apart"), (s, v) => s.BeaconSecondAddress = v),
        Row(All.Text("beacon-peers", "ADDRS", "other beacons to share nodes with, host:port, comma-separated"), (s, v) => s.BeaconPeers = v),
        Row(All.Text("beacon-key-file", "FILE", "shared secret of all beacons of the cluster; without it they know each other by address"), (s, v) => s.BeaconKeyFile = v),
        Row(All.Text("http", "ADDR", "HTTP address of the dashboard, its API, health and metrics; empty = off"), (s, v) => s.HttpAddress = v),
        Row(All.Switch("tls", "serve the registry over TLS"), (s, v) => s.Tls = v),
        Row(All.Text("tls-cert", "FILE", "certificate, PEM; without it one is made and kept under -data"), (s, v) => s.TlsCertificate = v),
        Row(All.Text("tls-key", "FILE", "private key, PEM"), (s, v) => s.TlsKey = v),
        Row(All.Text("admin-token", "TOKEN", "token for administration (better: -admin-token-file, or PILOT_ADMIN_TOKEN)", variable: "PILOT_ADMIN_TOKEN"), (s, v) => s.AdminToken = v),
        Row(All.Text("admin-token-file", "FILE", "file that holds the admin token"), (s, v) => s.AdminTokenFile = v),
        Row(All.Text("replication-token", "TOKEN", "standbys that know it may follow this server; with -standby the primary's (better: PILOT_REPLICATION_TOKEN)", variable: "PILOT_REPLICATION_TOKEN"), (s, v) => s.ReplicationToken = v),
        Row(All.Text("standby", "ADDR", "follow the primary at this address: reads are answered, changes refused"), (s, v) => s.Standby = v),
        Row(All.Text("standby-fingerprint", "HEX", "SHA-256 of the primary's certificate; empty = plain TCP"), (s, v) => s.StandbyFingerprint = v.Replace(":", "", StringComparison.Ordinal).ToLowerInvariant()),
        Row(All.Word("policy", "NAME", "strict or reference (default strict)", Defaults.ReferencePolicy, ToPolicy), (s, v) => s.ReferencePolicy = v),
        Row(All.Sum("policy-except", "RULES", "rules to switch the other way, comma-separated: " + RuleNames(), Defaults.Exceptions, ToRules), (s, v) => s.Exceptions |= v),
        Row(All.Sum("beacon-allow", "ADDRS", "beacon addresses that any source may register, comma-separated", [], ToList), (s, v) => s.AllowedBeacons.AddRange(v)),
        Row(All.Text("data", "DIR", "directory for files of this server (default: ~/.pilot/rendezvous)"), (s, v) => s.DataDirectory = v),
        Row(All.Text("store", "STORE", "where the state is kept: empty = registry.db under -data (SQLite); a file (SQLite); Host=... or postgres://... (PostgreSQL, shared by several servers; better by PILOT_STORE); memory", variable: "PILOT_STORE"), (s, v) => s.Store = v),
        Row(All.Switch("store-nosync", "do not force each commit to the disk: faster, and a power failure may cost the last moments (SQLite)"), (s, v) => s.StoreSync = !v),
        Row(All.Text("beacon-advertise", "ADDR", "address at which other servers on the same PostgreSQL reach this beacon (default: the bound one)"), (s, v) => s.BeaconAdvertise = v),
        Row(All.Text("audit-log", "FILE", "JSON lines of all changes are appended here; empty = off"), (s, v) => s.AuditLog = v),
        Row(All.Text("ready-file", "FILE", "written as JSON with the bound addresses when all sockets are open"), (s, v) => s.ReadyFile = v),
        Row(All.Text("log-level", "LEVEL", "debug, info, warn or error", Defaults.LogLevel), (s, v) => s.LogLevel = v),
        Row(All.Text("log-format", "FORMAT", "text or json", Defaults.LogFormat), (s, v) => s.LogFormat = v),
        Row(All.Number("limit-registrations", "registrations per minute and address; 0 = unlimited", Defaults.Limits.RegistrationsPerMinute), (s, v) => s.Limits = s.Limits with { RegistrationsPerMinute = v }),
        Row(All.Number("limit-queries", "queries per minute", Defaults.Limits.QueriesPerMinute), (s, v) => s.Limits = s.Limits with { QueriesPerMinute = v }),
        Row(All.Number("limit-resolves", "resolves per minute", Defaults.Limits.ResolvesPerMinute), (s, v) => s.Limits = s.Limits with { ResolvesPerMinute = v }),
        Row(All.Number("limit-heartbeats", "heartbeats per minute", Defaults.Limits.HeartbeatsPerMinute), (s, v) => s.Limits = s.Limits with { HeartbeatsPerMinute = v }),
        Row(All.Number("limit-signed", "other signed requests per minute and node", Defaults.Limits.SignedPerMinute), (s, v) => s.Limits = s.Limits with { SignedPerMinute = v }),
        Row(All.Number("limit-unsigned", "other unsigned requests per minute and address", Defaults.Limits.UnsignedPerMinute), (s, v) => s.Limits = s.Limits with { UnsignedPerMinute = v }),
        Row(All.Number("limit-failures", "failed signatures per minute and address", Defaults.Limits.FailuresPerMinute), (s, v) => s.Limits = s.Limits with { FailuresPerMinute = v }),
        Row(All.Number("limit-named-handshakes", "handshakes by hostname per minute and node", Defaults.Limits.NamedHandshakesPerMinute), (s, v) => s.Limits = s.Limits with { NamedHandshakesPerMinute = v }),
        Row(All.Number("limit-polo-delta", "largest polo change of one request", Defaults.Limits.MaxPoloDelta), (s, v) => s.Limits = s.Limits with { MaxPoloDelta = v }),
        Row(All.Number("limit-polo-day", "polo changes per pair and day", Defaults.Limits.MaxPoloPerPairAndDay), (s, v) => s.Limits = s.Limits with { MaxPoloPerPairAndDay = v }),
        Row(All.Number("limit-beacon-requests", "DISCOVER and PUNCH_REQUEST per second and address", Defaults.Beacon.RequestsPerSecond), (s, v) => s.Beacon = s.Beacon with { RequestsPerSecond = v }),
        Row(All.Number("limit-beacon-punches", "PUNCH_COMMAND per second and target", Defaults.Beacon.PunchesPerSecond), (s, v) => s.Beacon = s.Beacon with { PunchesPerSecond = v }),
        Row(All.Number("limit-relay-bytes", "relayed bytes per second and sender", Defaults.Beacon.RelayBytesPerSecond), (s, v) => s.Beacon = s.Beacon with { RelayBytesPerSecond = v }),
        Row(All.Number("max-connections", "open registry connections", Defaults.Connections.MaxConnections), (s, v) => s.Connections = s.Connections with { MaxConnections = Math.Max(1, v) }),
        Row(All.Number("max-connections-per-address", "the same per source address", Defaults.Connections.MaxPerAddress), (s, v) => s.Connections = s.Connections with { MaxPerAddress = v }),
        Row(All.Number("max-nodes", "node records", Defaults.Limits.MaxNodes), (s, v) => s.Limits = s.Limits with { MaxNodes = v }),
        Row(All.Number("max-inbox", "handshake messages per node", Defaults.Limits.MaxInbox), (s, v) => s.Limits = s.Limits with { MaxInbox = v }),
        Row(All.Number("max-consents", "trusted peers per node", Defaults.Limits.MaxConsentsPerNode), (s, v) => s.Limits = s.Limits with { MaxConsentsPerNode = v }),
        Row(All.Number("max-beacons", "registered beacons", Defaults.Limits.MaxBeacons), (s, v) => s.Limits = s.Limits with { MaxBeacons = v }),
    ];

    public static string Usage => All.Usage;

    /// <summary>Reads the command line over the configuration file over the environment over the defaults.</summary>
    /// <exception cref="HelpRequestedException">The flag list is asked for.</exception>
    /// <exception cref="UsageException">A flag is unknown, lacks its value or has a bad one.</exception>
    /// <exception cref="StartException">The configuration file cannot be used.</exception>
    public static Settings Parse(IReadOnlyList<string> args, Func<string, string?> environment)
    {
        FlagValues line = All.Read(args);
        if (line.IsHelpWanted)
        {
            throw new HelpRequestedException();
        }

        if (line.Error is not null)
        {
            throw new UsageException(line.Error);
        }

        var settings = new Settings();
        Apply(settings, All.ReadEnvironment(environment), reason => new StartException(reason));
        ApplyFile(settings, line.Get(Config));
        Apply(settings, line, reason => new UsageException(reason));
        if (settings.AdminTokenFile.Length > 0)
        {
            settings.AdminToken = ReadToken(settings.AdminTokenFile);
        }

        return settings;
    }

    private static void ApplyFile(Settings settings, string path)
    {
        if (path.Length == 0)
        {
            return;
        }

        settings.ConfigFile = path;
        try
        {
            Apply(settings, All.Read(FlagFile.Read(path), path), reason => new StartException($"load config: {reason}"));
        }
        catch (FlagException e)
        {
            throw new StartException(e.Message);
        }
    }

    private static void Apply(Settings settings, FlagValues values, Func<string, Exception> fail)
    {
        try
        {
            foreach (Action<Settings, FlagValues> row in Rows)
            {
                row(settings, values);
            }
        }
        catch (FlagException e)
        {
            throw fail(e.Message);
        }
    }

    private static Action<Settings, FlagValues> Row<T>(Flag<T> flag, Action<Settings, T> set) => (settings, values) =>
    {
        if (values.Has(flag))
        {
            set(settings, values.Get(flag));
        }
    };

    private static string ReadToken(string path)
    {
        try
        {
            return File.ReadAllText(path).Trim();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StartException($"admin token: {e.Message}");
        }
    }

    private static bool ToPolicy(string value) => value switch
    {
        "strict" => false,
        "reference" => true,
        _ => throw new FormatException("must be strict or reference"),
    };

    private static string[] ToList(IReadOnlyList<string> values) =>
        [.. values.SelectMany(value => value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))];

    private static RegistryPolicy ToRules(IReadOnlyList<string> values)
    {
        RegistryPolicy rules = 0;
        foreach (string name in ToList(values))
        {
            rules |= SingleRules().FirstOrDefault(r => RuleName(r) == name) is var rule && rule != 0
                ? rule
                : throw new FormatException($"unknown rule {name}");
        }

        return rules;
    }

    private static string RuleNames() => string.Join(", ", SingleRules().Select(RuleName));

    private static IEnumerable<RegistryPolicy> SingleRules() =>
        Enum.GetValues<RegistryPolicy>().Where(r => r is not (RegistryPolicy.Reference or RegistryPolicy.Strict));

    private static string RuleName(RegistryPolicy rule) => JsonNamingPolicy.KebabCaseLower.ConvertName(rule.ToString());
}

/// <summary>The command line is wrong: usage and exit code 2.</summary>
internal sealed class UsageException(string message) : Exception(message);

/// <summary>The command line asks for help: usage and exit code 0.</summary>
internal sealed class HelpRequestedException : Exception;

/// <summary>The server cannot start: exit code 1.</summary>
internal sealed class StartException(string message) : Exception(message);
