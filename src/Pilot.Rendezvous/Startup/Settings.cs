using Pilot.Rendezvous.Beacon;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Server;

namespace Pilot.Rendezvous.Startup;

/// <summary>All that flags, environment and configuration file say.</summary>
internal sealed class Settings
{
    public string ConfigFile { get; set; } = "";

    public string RegistryAddress { get; set; } = ":9000";

    public string BeaconAddress { get; set; } = ":9001";

    /// <summary>Another address of this host for the beacon's probes; empty = none.</summary>
    public string BeaconSecondAddress { get; set; } = "";

    /// <summary>Other beacons, comma-separated; empty = none, or those that the store tells.</summary>
    public string BeaconPeers { get; set; } = "";

    public string BeaconKeyFile { get; set; } = "";

    public string HttpAddress { get; set; } = "";

    public bool Tls { get; set; }

    public string TlsCertificate { get; set; } = "";

    public string TlsKey { get; set; } = "";

    public string AdminToken { get; set; } = "";

    public string AdminTokenFile { get; set; } = "";

    /// <summary>Token of standbys; empty = none may follow.</summary>
    public string ReplicationToken { get; set; } = "";

    /// <summary>Primary to follow; empty = this server is one.</summary>
    public string Standby { get; set; } = "";

    /// <summary>Pin of the primary's certificate; empty = without TLS.</summary>
    public string StandbyFingerprint { get; set; } = "";

    public string DataDirectory { get; set; } = DefaultDataDirectory();

    public string Store { get; set; } = "";

    /// <summary>False: commits are not forced to the disk one by one.</summary>
    public bool StoreSync { get; set; } = true;

    /// <summary>Address of the embedded beacon for other processes on the same store; empty = the bound one.</summary>
    public string BeaconAdvertise { get; set; } = "";

    /// <summary>File of the audit log; empty = none.</summary>
    public string AuditLog { get; set; } = "";

    public string ReadyFile { get; set; } = "";

    public string LogLevel { get; set; } = "info";

    public string LogFormat { get; set; } = "text";

    public bool ReferencePolicy { get; set; }

    public RegistryPolicy Exceptions { get; set; }

    public List<string> AllowedBeacons { get; } = [];

    public RegistryLimits Limits { get; set; } = new();

    public ConnectionLimits Connections { get; set; } = new();

    public BeaconOptions Beacon { get; set; } = new();

    public RegistryOptions ToRegistryOptions() => new()
    {
        // Exceptions switch single rules the other way.
        Policy = (ReferencePolicy ? RegistryPolicy.Reference : RegistryPolicy.Strict) ^ Exceptions,
        AdminToken = AdminToken,
        ReplicationToken = ReplicationToken,
        Standby = Standby.Length > 0,
        Limits = Limits,
        AllowedBeacons = AllowedBeacons,
    };

    /// <exception cref="StartException">The key file cannot be used.</exception>
    public BeaconOptions ToBeaconOptions() => Beacon with
    {
        Rules = ReferencePolicy ? BeaconRules.Reference : BeaconRules.Strict,
        Key = BeaconStart.ReadKey(BeaconKeyFile),
    };

    private static string DefaultDataDirectory()
    {
        string home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        return Path.Combine(home.Length > 0 ? home : ".", ".pilot", "rendezvous");
    }
}
