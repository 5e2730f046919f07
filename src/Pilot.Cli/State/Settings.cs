using Pilot.Cli.CommandLine;

namespace Pilot.Cli.State;

/// <summary>Where a setting's value came from.</summary>
internal readonly record struct Setting(string Value, string Source);

/// <summary>Effective settings: flag, then environment, then config.json, then default (07 §3.2 "Better").</summary>
internal sealed class Settings(ConfigFile config, Func<string, string?> environment)
{
    public const string DefaultRegistry = "127.0.0.1:9000";
    public const string DefaultBeacon = "127.0.0.1:9001";
    public const string DefaultSocket = "/tmp/pilot.sock";
    private const string BeaconPort = "9001";

    public ConfigFile Config { get; } = config;

    public Setting Socket(ParsedArguments? flags = null) => Resolve(flags, "socket", "PILOT_SOCKET", DefaultSocket);

    public Setting Registry(ParsedArguments? flags = null) => Resolve(flags, "registry", "PILOT_REGISTRY", DefaultRegistry);

    /// <summary>
    /// A beacon that is configured as the empty text means "no beacon". When only the registry is known, the
    /// beacon stands on the same host.
    /// </summary>
    public Setting Beacon(ParsedArguments? flags = null)
    {
        Setting found = Resolve(flags, "beacon", "PILOT_BEACON", string.Empty);
        if (found.Source != "default" || Config.Values.ContainsKey("beacon"))
        {
            return found;
        }

        Setting registry = Registry(flags);
        return registry.Source == "default" ? new Setting(DefaultBeacon, "default") : new Setting(BeaconOf(registry.Value), "registry");
    }

    public Setting Hostname(ParsedArguments? flags = null) => Resolve(flags, "hostname", "PILOT_HOSTNAME", string.Empty);

    public Setting Email(ParsedArguments? flags = null)
    {
        Setting found = Resolve(flags, "email", "PILOT_EMAIL", string.Empty);
        return found.Source is "flag" || flags?.Text("owner") is not { Length: > 0 } owner ? found : new Setting(owner, "flag");
    }

    /// <summary>The beacon beside a registry: same host, port 9001.</summary>
    internal static string BeaconOf(string registry)
    {
        int colon = registry.LastIndexOf(':');
        return (colon < 0 ? registry : registry[..colon]) + ":" + BeaconPort;
    }

    private Setting Resolve(ParsedArguments? flags, string key, string variable, string otherwise)
    {
        if (flags?.Text(key) is { } flag)
        {
            return new Setting(flag, "flag");
        }

        if (environment(variable) is { Length: > 0 } fromEnvironment)
        {
            return new Setting(fromEnvironment, "environment");
        }

        return Config.Text(key) is { } configured ? new Setting(configured, "config") : new Setting(otherwise, "default");
    }
}
