using Pilot.Engine.Nat;
using Pilot.Ipc;

namespace Pilot.Daemon.Host;

/// <summary>What the engine measured about the NAT, in the words of the local protocol.</summary>
internal static class NatWords
{
    public const string Unknown = "unknown";

    public static string Type(NatType type) => type switch
    {
        NatType.Open => "open",
        NatType.FullCone => "full-cone",
        NatType.RestrictedCone => "restricted cone",
        NatType.PortRestrictedCone => "port-restricted cone",
        NatType.Symmetric => "symmetric",
        NatType.Blocked => "blocked",
        _ => Unknown,
    };

    public static string Behavior(NatBehavior behavior) => behavior switch
    {
        NatBehavior.EndpointIndependent => "endpoint-independent",
        NatBehavior.AddressDependent => "address-dependent",
        NatBehavior.AddressAndPortDependent => "address-and-port-dependent",
        _ => Unknown,
    };

    public static NatData Describe(NatReport report, string type) => new()
    {
        Type = type,
        Mapping = Behavior(report.Mapping),
        Filtering = Behavior(report.Filtering),
        PreservesPort = report.PreservesPort,
        Hairpins = report.Hairpins,
        BindingLifetimeSecs = report.BindingLifetime?.TotalSeconds,
        EndpointV4 = report.EndpointV4?.ToString() ?? string.Empty,
        EndpointV6 = report.EndpointV6?.ToString() ?? string.Empty,
    };
}
