using System.Globalization;
using Pilot.Daemon.Ipc;
using Pilot.Daemon.State;
using Pilot.Flags;
using Pilot.Protocol.Registry;

namespace Pilot.Daemon.Configuration;

/// <summary>What the command line came to.</summary>
internal sealed record LoadedSettings(DaemonSettings? Settings, bool ShowHelp, bool ShowVersion, string? UsageError, bool IsChecked = false);

/// <summary>Merges flag, environment, config.json and default, in this order (07 §3.2 "Better").</summary>
internal sealed class SettingsLoader
{
    private readonly FlagValues _line;
    private readonly FlagValues _environment;
    private readonly string? _userHome;
    private FlagValues _config = DaemonFlags.All.Read([], "no file");

    private SettingsLoader(FlagValues line, IReadOnlyDictionary<string, string> environment)
    {
        _line = line;
        _environment = DaemonFlags.All.ReadEnvironment(environment.GetValueOrDefault);
        _userHome = environment.GetValueOrDefault("HOME");
    }

    /// <exception cref="FatalException">A value is invalid, or the config file is unusable.</exception>
    public static LoadedSettings Load(IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string> environment)
    {
        var line = DaemonFlags.All.Read(arguments);
        if (line.Error is not null || line.IsHelpWanted)
        {
            return new LoadedSettings(null, line.IsHelpWanted, false, line.Error);
        }

        try
        {
            if (line.Get(DaemonFlags.Version))
            {
                return new LoadedSettings(null, false, true, null);
            }

            if (line.Get(DaemonFlags.Check))
            {
                RefuseHostname(new SettingsLoader(line, environment.Where(static pair => pair.Key is "HOME" or "PILOT_HOME").ToDictionary()).Merge().Hostname);
                return new LoadedSettings(null, false, false, null, IsChecked: true);
            }

            return new LoadedSettings(new SettingsLoader(line, environment).Merge(), false, false, null);
        }
        catch (FlagException exception)
        {
            throw new FatalException(exception.Message, exception);
        }
    }

    private DaemonSettings Merge()
    {
        var home = Path.GetFullPath(NonEmpty(Value(DaemonFlags.Home)) ?? DefaultHome());
        _config = ReadConfig(home);

        var registries = List(Value(DaemonFlags.Registry), DaemonSettings.RegistryPort, DaemonFlags.Registry);
        if (registries.Count == 0)
        {
            throw new FatalException("no registry address given");
        }

        if (!Value(DaemonFlags.Encrypt))
        {
            throw new FatalException("-encrypt=false is not supported: tunnels are always encrypted");
        }

        var tls = Value(DaemonFlags.RegistryTls);
        var fingerprint = NonEmpty(Value(DaemonFlags.RegistryFingerprint).Replace(":", string.Empty, StringComparison.Ordinal));
        if (tls && fingerprint is null)
        {
            throw new FatalException("registry TLS requires RegistryFingerprint for certificate pinning");
        }

        if (fingerprint is not null && (fingerprint.Length != 64 || !fingerprint.All(char.IsAsciiHexDigit)))
        {
            throw new FatalException("invalid -registry-fingerprint: 64 hex digits of a SHA-256 are needed");
        }

        var listen = Value(DaemonFlags.Listen);
        if (!IsHostAndPort(listen))
        {
            throw new FatalException($"tunnel listen: invalid address \"{listen}\": host:port is needed");
        }

        var endpoint = NonEmpty(Value(DaemonFlags.Endpoint));
        if (endpoint is not null && (!IsHostAndPort(endpoint) || endpoint.StartsWith(':') || endpoint.EndsWith(":0", StringComparison.Ordinal)))
        {
            throw new FatalException($"invalid -endpoint \"{endpoint}\": host:port is needed");
        }

        var email = NonEmpty(_line.Get(DaemonFlags.Email)) ?? NonEmpty(_line.Get(DaemonFlags.Owner)) ?? NonEmpty(Value(DaemonFlags.Email));
        if (email is not null && AccountFile.Validate(email) is { } problem)
        {
            throw new FatalException($"invalid email: {problem}");
        }

        var socket = Path.GetFullPath(Value(DaemonFlags.Socket));
        IpcSocket.RefuseLongPath(socket);
        var logFile = IsGiven(DaemonFlags.LogFile) ? Value(DaemonFlags.LogFile) : Path.Combine(home, "pilot.log");
        return new DaemonSettings
        {
            Home = home,
            Registries = registries,
            Beacons = IsGiven(DaemonFlags.Beacon)
                ? List(Value(DaemonFlags.Beacon), DaemonSettings.BeaconPort, DaemonFlags.Beacon)
                : [.. registries.Select(registry => $"{registry[..registry.LastIndexOf(':')]}:{DaemonSettings.BeaconPort}")],
            Listen = listen,
            SocketPath = socket,
            Endpoint = endpoint,
            RegistryTls = tls,
            RegistryFingerprint = fingerprint,
            IdentityPath = Path.GetFullPath(NonEmpty(_line.Get(DaemonFlags.Identity)) ?? Path.Combine(home, "identity.json")),
            Email = email,
            Hostname = NonEmpty(Value(DaemonFlags.Hostname)),
            Public = Value(DaemonFlags.Public),
            NoEcho = Value(DaemonFlags.NoEcho),
            NoPortMapping = Value(DaemonFlags.NoPortMapping),
            KeepAlive = OrDefault(DaemonFlags.KeepAlive),
            IdleTimeout = Value(DaemonFlags.IdleTimeout),
            TimeWait = OrDefault(DaemonFlags.TimeWait),
            SynRateLimit = OrDefault(DaemonFlags.SynRateLimit),
            MaxConnectionsPerPort = OrDefault(DaemonFlags.MaxConnectionsPerPort),
            MaxConnections = OrDefault(DaemonFlags.MaxConnections),
            AutoApprove = Value(DaemonFlags.AutoApprove),
            AcceptRegistryTrust = Value(DaemonFlags.AcceptRegistryTrust),
            LogLevel = Value(DaemonFlags.LogLevel),
            LogJson = Value(DaemonFlags.LogFormat) == "json",
            LogFile = logFile.Length == 0 ? null : Path.GetFullPath(logFile),
            LogConsole = Value(DaemonFlags.LogConsole),
            Warnings =
            [
                .. new[] { DaemonFlags.Webhook, DaemonFlags.Networks }.Where(IsGiven).Select(flag => $"{flag.FlagName} is set, but this version does not use it"),
            ],
        };
    }

    /// <summary>A start with a name that no registry takes only lacks the name; a check is stricter.</summary>
    private static void RefuseHostname(string? hostname)
    {
        if (hostname is not null && !HostnameRules.TryValidate(hostname, out var problem))
        {
            throw new FatalException($"invalid hostname \"{hostname}\": {problem}");
        }
    }

    private static bool IsHostAndPort(string text) =>
        text.LastIndexOf(':') is >= 0 and var colon && ushort.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out _);

    private bool IsGiven<T>(Flag<T> flag) => _line.Has(flag) || _environment.Has(flag) || _config.Has(flag);

    private T Value<T>(Flag<T> flag) => (_line.Has(flag) ? _line : _environment.Has(flag) ? _environment : _config).Get(flag);

    /// <summary>For flags where 0 means the default (07 §8).</summary>
    private T OrDefault<T>(Flag<T> flag)
        where T : struct => Value(flag) is var value && value.Equals(default(T)) ? flag.Default : value;

    private FlagValues ReadConfig(string home)
    {
        var given = NonEmpty(_line.Get(DaemonFlags.Config));
        var path = given ?? Path.Combine(home, "config.json");
        if (File.Exists(path))
        {
            return DaemonFlags.All.Read(FlagFile.Read(path), path);
        }

        return given is null ? _config : throw new FatalException($"load config: {path} does not exist");
    }

    private static List<string> List(string text, int defaultPort, Flag<string> flag)
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
                throw new FatalException($"invalid {flag.FlagName} address \"{item}\": host:port is needed");
            }

            list.Add(full);
        }

        return list;
    }

    private string DefaultHome()
    {
        var home = NonEmpty(_userHome) ?? Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        return home.Length == 0 ? throw new FatalException("cannot determine home directory: set HOME or PILOT_HOME") : Path.Combine(home, ".pilot");
    }

    private static string? NonEmpty(string? text) => string.IsNullOrEmpty(text) ? null : text;
}
