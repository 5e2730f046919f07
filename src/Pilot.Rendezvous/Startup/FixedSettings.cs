namespace Pilot.Rendezvous.Startup;

/// <summary>Settings that a running server cannot change.</summary>
internal static class FixedSettings
{
    private static readonly (string Flag, Func<Settings, object> Value)[] All =
    [
        ("registry-addr", s => s.RegistryAddress),
        ("beacon-addr", s => s.BeaconAddress),
        ("http", s => s.HttpAddress),
        ("tls", s => s.Tls),
        ("policy", s => s.ReferencePolicy),
        ("policy-except", s => s.Exceptions),
        ("data", s => s.DataDirectory),
        ("store", s => s.Store),
        ("store-nosync", s => s.StoreSync),
        ("beacon-second-addr", s => s.BeaconSecondAddress),
        ("beacon-peers", s => s.BeaconPeers),
        ("beacon-key-file", s => s.BeaconKeyFile),
        ("beacon-advertise", s => s.BeaconAdvertise),
        ("audit-log", s => s.AuditLog),
        ("ready-file", s => s.ReadyFile),
        ("log-format", s => s.LogFormat),
        ("standby", s => s.Standby),
        ("standby-fingerprint", s => s.StandbyFingerprint),
        ("limit-beacon-requests, limit-beacon-punches, limit-relay-bytes", s => s.Beacon),
    ];

    /// <summary>Names of those that differ.</summary>
    public static string[] Changed(Settings before, Settings after) => [.. All.Where(f => !Equals(f.Value(before), f.Value(after))).Select(f => f.Flag)];
}
