using System.Globalization;
using System.Text;
using System.Text.Json;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Startup;

/// <summary>Flags as the reference writes them (spec 03 section 12): one or two dashes, <c>-name value</c> or <c>-name=value</c>, and the same names in the configuration file.</summary>
internal static class Flags
{
    private static readonly Flag[] All =
    [
        new("config", "FILE", "JSON file with the same names; flags win", (s, v) => s.ConfigFile = v),
        new("registry-addr", "ADDR", "TCP address of the registry (default :9000, port 0 = any)", (s, v) => s.RegistryAddress = v),
        new("beacon-addr", "ADDR", "UDP address of the beacon (default :9001)", (s, v) => s.BeaconAddress = v),
        new("http", "ADDR", "HTTP address for /healthz; empty = off", (s, v) => s.HttpAddress = v),
        new("tls", null, "serve the registry over TLS", (s, v) => s.Tls = Boolean(v)),
        new("tls-cert", "FILE", "certificate, PEM; without it one is made and kept under -data", (s, v) => s.TlsCertificate = v),
        new("tls-key", "FILE", "private key, PEM", (s, v) => s.TlsKey = v),
        new("admin-token", "TOKEN", "token for administration (better: -admin-token-file, or PILOT_ADMIN_TOKEN)", (s, v) => s.AdminToken = v),
        new("admin-token-file", "FILE", "file that holds the admin token", (s, v) => s.AdminTokenFile = v),
        new("policy", "NAME", "strict (default) or reference", (s, v) => s.ReferencePolicy = Policy(v)),
        new("policy-except", "RULES", "rules to switch the other way, comma-separated: " + RuleNames(), (s, v) => s.Exceptions |= Rules(v)),
        new("beacon-allow", "ADDRS", "beacon addresses that any source may register, comma-separated", (s, v) => s.AllowedBeacons.AddRange(List(v))),
        new("data", "DIR", "directory for files of this server (default ~/.pilot/rendezvous)", (s, v) => s.DataDirectory = v),
        new("store", "FILE", "file for the registry's state; empty = in memory only", (s, v) => s.Store = v),
        new("ready-file", "FILE", "written as JSON with the bound addresses when all sockets are open", (s, v) => s.ReadyFile = v),
        new("log-level", "LEVEL", "debug, info, warn or error", (s, v) => s.LogLevel = v),
        new("log-format", "FORMAT", "text or json", (s, v) => s.LogFormat = v),
        new("limit-registrations", "N", "registrations per minute and address (default 10, 0 = unlimited)", (s, v) => s.Limits = s.Limits with { RegistrationsPerMinute = Number(v) }),
        new("limit-queries", "N", "queries per minute (default 500)", (s, v) => s.Limits = s.Limits with { QueriesPerMinute = Number(v) }),
        new("limit-resolves", "N", "resolves per minute (default 100)", (s, v) => s.Limits = s.Limits with { ResolvesPerMinute = Number(v) }),
        new("limit-heartbeats", "N", "heartbeats per minute (default 50)", (s, v) => s.Limits = s.Limits with { HeartbeatsPerMinute = Number(v) }),
        new("limit-signed", "N", "other signed requests per minute and node (default 1200)", (s, v) => s.Limits = s.Limits with { SignedPerMinute = Number(v) }),
        new("limit-unsigned", "N", "other unsigned requests per minute and address (default 6000)", (s, v) => s.Limits = s.Limits with { UnsignedPerMinute = Number(v) }),
        new("limit-failures", "N", "failed signatures per minute and address (default 300)", (s, v) => s.Limits = s.Limits with { FailuresPerMinute = Number(v) }),
        new("limit-named-handshakes", "N", "handshakes by hostname per minute and node (default 20)", (s, v) => s.Limits = s.Limits with { NamedHandshakesPerMinute = Number(v) }),
        new("limit-polo-delta", "N", "largest polo change of one request (default 1000)", (s, v) => s.Limits = s.Limits with { MaxPoloDelta = Number(v) }),
        new("limit-polo-day", "N", "polo changes per pair and day (default 10000)", (s, v) => s.Limits = s.Limits with { MaxPoloPerPairAndDay = Number(v) }),
        new("limit-beacon-requests", "N", "DISCOVER and PUNCH_REQUEST per second and address (default 20)", (s, v) => s.Beacon = s.Beacon with { RequestsPerSecond = Number(v) }),
        new("limit-beacon-punches", "N", "PUNCH_COMMAND per second and target (default 5)", (s, v) => s.Beacon = s.Beacon with { PunchesPerSecond = Number(v) }),
        new("limit-relay-bytes", "N", "relayed bytes per second and sender (default 134217728)", (s, v) => s.Beacon = s.Beacon with { RelayBytesPerSecond = Number(v) }),
        new("max-connections", "N", "open registry connections (default 100000)", (s, v) => s.Connections = s.Connections with { MaxConnections = Number(v) }),
        new("max-connections-per-address", "N", "the same per source address (default 10000)", (s, v) => s.Connections = s.Connections with { MaxPerAddress = Number(v) }),
        new("max-nodes", "N", "node records (default 1000000)", (s, v) => s.Limits = s.Limits with { MaxNodes = Number(v) }),
        new("max-inbox", "N", "handshake messages per node (default 100)", (s, v) => s.Limits = s.Limits with { MaxInbox = Number(v) }),
        new("max-consents", "N", "trusted peers per node (default 10000)", (s, v) => s.Limits = s.Limits with { MaxConsentsPerNode = Number(v) }),
        new("max-beacons", "N", "registered beacons (default 256)", (s, v) => s.Limits = s.Limits with { MaxBeacons = Number(v) }),
    ];

    public static string Usage
    {
        get
        {
            var text = new StringBuilder("Usage of rendezvous:\n");
            foreach (Flag flag in All)
            {
                text.Append(CultureInfo.InvariantCulture, $"  -{flag.Name}{(flag.Value is null ? "" : " " + flag.Value)}\n    \t{flag.Help}\n");
            }

            return text.Append("  -h, -help\n    \tthis text\n").ToString();
        }
    }

    /// <summary>Reads the command line over the configuration file over the environment over the defaults.</summary>
    /// <exception cref="UsageException">A flag is unknown, lacks its value or has a bad one.</exception>
    /// <exception cref="StartException">The configuration file cannot be used.</exception>
    public static Settings Parse(IReadOnlyList<string> args, Func<string, string?> environment)
    {
        List<(Flag Flag, string Value)> given = ReadArguments(args);
        var settings = new Settings { AdminToken = environment("PILOT_ADMIN_TOKEN") ?? "" };
        string config = given.FindLast(g => g.Flag.Name == "config").Value ?? "";
        if (config.Length > 0)
        {
            ApplyFile(settings, config);
        }

        foreach ((Flag flag, string value) in given)
        {
            Apply(settings, flag, value, reason => new UsageException($"invalid value \"{value}\" for flag -{flag.Name}: {reason}"));
        }

        if (settings.AdminTokenFile.Length > 0)
        {
            settings.AdminToken = ReadToken(settings.AdminTokenFile);
        }

        return settings;
    }

    private static List<(Flag Flag, string Value)> ReadArguments(IReadOnlyList<string> args)
    {
        var given = new List<(Flag, string)>();
        for (int i = 0; i < args.Count; i++)
        {
            string arg = args[i];
            if (arg.Length < 2 || arg[0] != '-')
            {
                throw new UsageException($"unexpected argument \"{arg}\"");
            }

            string name = arg.StartsWith("--", StringComparison.Ordinal) ? arg[2..] : arg[1..];
            int equals = name.IndexOf('=', StringComparison.Ordinal);
            string? value = equals >= 0 ? name[(equals + 1)..] : null;
            name = equals >= 0 ? name[..equals] : name;
            if (name is "h" or "help")
            {
                throw new HelpRequestedException();
            }

            Flag flag = Array.Find(All, f => f.Name == name) ?? throw new UsageException($"flag provided but not defined: -{name}");
            if (value is null && flag.Value is null)
            {
                value = "true";
            }
            else if (value is null)
            {
                i++;
                value = i < args.Count ? args[i] : throw new UsageException($"flag needs an argument: -{name}");
            }

            given.Add((flag, value));
        }

        return given;
    }

    private static void ApplyFile(Settings settings, string path)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(path));
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new StartException($"load config: {path} is no JSON object");
            }

            foreach (JsonProperty property in document.RootElement.EnumerateObject())
            {
                string name = property.Name.Replace('_', '-');
                Flag? flag = Array.Find(All, f => f.Name == name);
                if (flag is not null && flag.Name != "config")
                {
                    string value = property.Value.ValueKind == JsonValueKind.String ? property.Value.GetString()! : property.Value.GetRawText();
                    Apply(settings, flag, value, reason => new StartException($"load config: {path}: {property.Name}: {reason}"));
                }
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            throw new StartException($"load config: {e.Message}");
        }
    }

    private static void Apply(Settings settings, Flag flag, string value, Func<string, Exception> fail)
    {
        try
        {
            flag.Set(settings, value);
        }
        catch (FormatException e)
        {
            throw fail(e.Message);
        }
    }

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

    private static bool Boolean(string value) => value.ToLowerInvariant() switch
    {
        "true" or "1" or "t" => true,
        "false" or "0" or "f" => false,
        _ => throw new FormatException("not a boolean"),
    };

    private static int Number(string value) =>
        int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : throw new FormatException("not a number");

    private static bool Policy(string value) => value switch
    {
        "strict" => false,
        "reference" => true,
        _ => throw new FormatException("must be strict or reference"),
    };

    private static string[] List(string value) => value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    private static RegistryPolicy Rules(string value)
    {
        RegistryPolicy rules = 0;
        foreach (string name in List(value))
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

    private sealed record Flag(string Name, string? Value, string Help, Action<Settings, string> Set);
}

/// <summary>The command line is wrong: usage and exit code 2.</summary>
internal sealed class UsageException(string message) : Exception(message);

/// <summary>The command line asks for help: usage and exit code 0.</summary>
internal sealed class HelpRequestedException : Exception;

/// <summary>The server cannot start: exit code 1.</summary>
internal sealed class StartException(string message) : Exception(message);
