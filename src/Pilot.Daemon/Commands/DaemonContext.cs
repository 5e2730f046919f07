using Pilot.Daemon.Configuration;
using Pilot.Daemon.Host;
using Pilot.Daemon.Net;
using Pilot.Daemon.PortMapping;
using Pilot.Daemon.Registry;
using Pilot.Daemon.Trust;
using Pilot.Protocol;

namespace Pilot.Daemon.Commands;

/// <summary>The parts of a running daemon that commands work on.</summary>
internal sealed record DaemonContext
{
    public required DaemonSettings Settings { get; init; }

    public required Identity Identity { get; init; }

    public required NodeHost Host { get; init; }

    public required TrustHost Trust { get; init; }

    public required RegistryClient Registry { get; init; }

    public required RegistryRequests Requests { get; init; }

    public required RegistrySession Session { get; init; }

    public required EventHub Events { get; init; }

    /// <summary>The tunnel socket's; another after it was opened again.</summary>
    public UdpEndpoint LocalEndpoint => Host.Loop.LocalEndpoint;

    public required OwnAddresses Own { get; init; }

    /// <summary>Null when the gateway is left alone.</summary>
    public required PortMappingService? PortMapping { get; init; }

    /// <summary>Begins the clean stop.</summary>
    public required Action RequestStop { get; init; }

    public DateTimeOffset StartedAt { get; } = DateTimeOffset.UtcNow;

    public long UptimeSeconds => (long)(DateTimeOffset.UtcNow - StartedAt).TotalSeconds;

    /// <summary>True once the clean stop has begun.</summary>
    public bool IsStopping { get; set; }
}
