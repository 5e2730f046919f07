using System.Globalization;
using System.Text.Json;
using Pilot.Ipc;

namespace Pilot.Daemon.Configuration;

/// <summary>What the command line came to.</summary>
internal sealed record LoadedSettings(DaemonSettings? Settings, bool ShowHelp, bool ShowVersion, string? UsageError);

/// <summary>Merges flag, environment, config.json and default, in this order (07 §3.2 "Better").</summary>
internal sealed class SettingsLoader
{
    /// <summary>Flag → takes a value. Flags of services of later versions are known, so that scripts of the reference start.</summary>
    private static readonly Dictionary<string, bool> Flags = new(StringComparer.Ordinal)
    {
        ["config"] = true, ["home"] = true, ["registry"] = true, ["beacon"] = true, ["listen"] = true, ["socket"] = true, ["endpoint"] = true,
        ["encrypt"] = false, ["registry-tls"] = false, ["registry-fingerprint"] = true, ["identity"] = true, ["email"] = true, ["owner"] = true,
        ["keepalive"] = true, ["idle-timeout"] = true, ["syn-rate-limit"] = true, ["max-conns-per-port"] = true, ["max-conns-total"] = true,
        ["time-wait"] = true, ["public"] = false, ["hostname"] = true, ["no-echo"] = false, ["no-dataexchange"] = false, ["no-eventstream"] = false,
        ["no-tasksubmit"] = false, ["webhook"] = true, ["admin-token"] = true, ["networks"] = true, ["log-level"] = true, ["log-format"] = true,
        ["log-file"] = true, ["log-console"] = false, ["trust-auto-approve"] = true, ["accept-registry-trust"] = false, ["version"] = false,
    };

    private static readonly string[] LaterFlags = ["webhook", "networks"];

    private readonly GoFlags _flags;
    private readonly IReadOnlyDictionary<string, string> _environment;
    private readonly List<string> _warnings = [];
    private Dictionary<string, string> _config = new(StringComparer.Ordinal);

    private SettingsLoader(GoFlags flags, IReadOnlyDictionary<string, string> environment)
    {
        _flags = flags;
        _environment = environment;
    }

    /// <exception cref="FatalException">A value is invalid, or the config file is unusable.</exception>
    public static LoadedSettings Load(IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string> environment)
    {
        var flags = GoFlags.Parse(arguments, Flags, out var error);
        if (flags is null)
        {
            return new LoadedSettings(null, false, false, error);
        }

        if (flags.Help || flags.Has("version"))
        {
            return new LoadedSettings(null, flags.Help, !flags.Help, null);
        }

        return new LoadedSettings(new SettingsLoader(flags, environment).Merge(), false, false, null);
    }

    /// <summary>The flag list, one per line.</summary>
    public static string Usage => "Usage of pilot-daemon:\n" + string.Join('\n', Flags.OrderBy(static flag => flag.Key, StringComparer.Ordinal).Select(flag => flag.Value ? $"  -{flag.Key} value" : $"  -{flag.Key}")) + "\n";

    private DaemonSettings Merge()
    {
        var home = Path.GetFullPath(NonEmpty(_flags.Text("home")) ?? Environment("PILOT_HOME") ?? DefaultHome());
        var configPath = NonEmpty(_flags.Text("config"));
        _config = ReadConfig(configPath ?? Path.Combine(home, "config.json"), mustExist: configPath is not null);

        var registries = List(Setting("registry", "PILOT_REGISTRY") ?? $"127.0.0.1:{DaemonSettings.RegistryPort}", DaemonSettings.RegistryPort, "registry");
        if (registries.Count == 0)
        {
            throw new FatalException("no registry address given");
        }

        var identity = NonEmpty(_flags.Text("identity")) ?? Path.Combine(home, "identity.json");
        if (!Bool("encrypt", true))
        {
            throw new FatalException("-encrypt=false is not supported: tunnels are always encrypted");
        }

        var tls = Bool("registry-tls", false);
        var fingerprint = Setting("registry-fingerprint")?.Replace(":", string.Empty, StringComparison.Ordinal);
        if (tls && fingerprint is null)
        {
            throw new FatalException("registry TLS requires RegistryFingerprint for certificate pinning");
        }

        if (fingerprint is not null && (fingerprint.Length != 64 || !fingerprint.All(char.IsAsciiHexDigit)))
        {
            throw new FatalException("invalid -registry-fingerprint: 64 hex digits of a SHA-256 are needed");
        }

        foreach (var later in LaterFlags)
        {
            if (Setting(later) is not null)
            {
                _warnings.Add($"{later} is set, but this version does not use it");
            }
        }

        var logFile = _flags.Text("log-file") ?? _config.GetValueOrDefault("log-file") ?? Path.Combine(home, "pilot.log");
        return new DaemonSettings
        {
            Home = home,
            Registries = registries,
            Beacons = Beacons(registries),
            Listen = Setting("listen") ?? ":0",
            SocketPath = Path.GetFullPath(Setting("socket", "PILOT_SOCKET") ?? IpcProtocol.DefaultSocketPath),
            Endpoint = Setting("endpoint"),
            RegistryTls = tls,
            RegistryFingerprint = fingerprint,
            IdentityPath = Path.GetFullPath(identity),
            Email = NonEmpty(_flags.Text("email")) ?? NonEmpty(_flags.Text("owner")) ?? Environment("PILOT_EMAIL") ?? NonEmpty(_config.GetValueOrDefault("email")),
            Hostname = Setting("hostname", "PILOT_HOSTNAME"),
            Public = Bool("public", Environment("PILOT_PUBLIC") is { } text && FlagValue.TryBool(text, out var isPublic) && isPublic),
            NoEcho = Bool("no-echo", false),
            KeepAlive = Duration("keepalive") is { Ticks: > 0 } keepAlive ? keepAlive : TimeSpan.FromSeconds(30),
            IdleTimeout = Duration("idle-timeout") ?? TimeSpan.Zero,
            TimeWait = Duration("time-wait") is { Ticks: > 0 } timeWait ? timeWait : null,
            SynRateLimit = Number("syn-rate-limit"),
            MaxConnectionsPerPort = Number("max-conns-per-port"),
            MaxConnections = Number("max-conns-total"),
            AutoApprove = AutoApprove(Setting("trust-auto-approve")),
            AcceptRegistryTrust = Bool("accept-registry-trust", false),
            LogLevel = Setting("log-level") ?? "info",
            LogJson = Setting("log-format") == "json",
            LogFile = logFile.Length == 0 ? null : Path.GetFullPath(logFile),
            LogConsole = Bool("log-console", true),
            Warnings = _warnings,
        };
    }

    private IReadOnlyList<string> Beacons(IReadOnlyList<string> registries)
    {
        // An explicit empty value means: no beacon at all (07 §3.2).
        var given = _flags.Text("beacon") ?? (_environment.TryGetValue("PILOT_BEACON", out var fromEnvironment) ? fromEnvironment : null) ?? _config.GetValueOrDefault("beacon");
        return given is not null
            ? List(given, DaemonSettings.BeaconPort, "beacon")
            : [.. registries.Select(registry => $"{registry[..registry.LastIndexOf(':')]}:{DaemonSettings.BeaconPort}")];
    }

    private string? Setting(string key, string? variable = null) =>
        NonEmpty(_flags.Text(key)) ?? (variable is null ? null : Environment(variable)) ?? NonEmpty(_config.GetValueOrDefault(key));

    private bool Bool(string key, bool otherwise)
    {
        var text = _flags.Text(key) ?? _config.GetValueOrDefault(key);
        if (text is null)
        {
            return otherwise;
        }

        return FlagValue.TryBool(text, out var value) ? value : throw new FatalException($"invalid boolean value \"{text}\" for -{key}");
    }

    private TimeSpan? Duration(string key)
    {
        var text = Setting(key);
        if (text is null)
        {
            return null;
        }

        return FlagValue.TryDuration(text, out var value) ? value : throw new FatalException($"invalid value \"{text}\" for -{key}: not a duration");
    }

    private int? Number(string key)
    {
        var text = Setting(key);
        if (text is null)
        {
            return null;
        }

        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var value)
            ? (value == 0 ? null : value)
            : throw new FatalException($"invalid value \"{text}\" for -{key}: not a number");
    }

    private static TrustAutoApprove AutoApprove(string? text) => text switch
    {
        null or "off" or "false" => TrustAutoApprove.Off,
        "same-network" => TrustAutoApprove.SameNetwork,
        "all" or "true" => TrustAutoApprove.All,
        _ => throw new FatalException($"invalid value \"{text}\" for -trust-auto-approve: off, same-network or all"),
    };

    private static List<string> List(string text, int defaultPort, string what)
    {
        var list = new List<string>();
        foreach (var item in text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            var colon = item.LastIndexOf(':');
            var hasPort = colon >= 0 && !item.EndsWith(']');
            var full = hasPort ? item : $"{item}:{defaultPort}";
            var port = full[(full.LastIndexOf(':') + 1)..];
            if (!ushort.TryParse(port, NumberStyles.None, CultureInfo.InvariantCulture, out _) || full.StartsWith(':'))
            {
                throw new FatalException($"invalid {what} address \"{item}\": host:port is needed");
            }

            list.Add(full);
        }

        return list;
    }

    private static Dictionary<string, string> ReadConfig(string path, bool mustExist)
    {
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        if (!File.Exists(path))
        {
            return mustExist ? throw new FatalException($"load config: {path} does not exist") : values;
        }

        try
        {
            using var document = JsonDocument.Parse(File.ReadAllBytes(path));
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new FatalException($"load config: {path} does not hold a JSON object");
            }

            foreach (var member in document.RootElement.EnumerateObject())
            {
                var text = member.Value.ValueKind switch
                {
                    JsonValueKind.String => member.Value.GetString(),
                    JsonValueKind.Number => member.Value.GetRawText(),
                    JsonValueKind.True => "true",
                    JsonValueKind.False => "false",
                    _ => null, // wrong-typed values are ignored (07 §3.1)
                };
                if (text is not null)
                {
                    values[member.Name.Replace('_', '-')] = text;
                }
            }

            return values;
        }
        catch (Exception exception) when (exception is JsonException or IOException or UnauthorizedAccessException)
        {
            throw new FatalException($"load config: {path}: {exception.Message}", exception);
        }
    }

    private string? Environment(string name) => _environment.TryGetValue(name, out var value) ? NonEmpty(value) : null;

    private string DefaultHome()
    {
        var home = Environment("HOME") ?? System.Environment.GetFolderPath(System.Environment.SpecialFolder.UserProfile);
        return home.Length == 0 ? throw new FatalException("cannot determine home directory: set HOME or PILOT_HOME") : Path.Combine(home, ".pilot");
    }

    private static string? NonEmpty(string? text) => string.IsNullOrEmpty(text) ? null : text;
}
