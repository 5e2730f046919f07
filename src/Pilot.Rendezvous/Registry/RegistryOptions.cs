using Pilot.Protocol;

namespace Pilot.Rendezvous.Registry;

/// <summary>What an operator may set. Defaults are those of spec 03 where it states some.</summary>
public sealed record RegistryOptions
{
    /// <summary>The stricter rules in force.</summary>
    public RegistryPolicy Policy { get; init; } = RegistryPolicy.Strict;

    /// <summary>Token for administration; empty disables it.</summary>
    public string AdminToken { get; init; } = "";

    /// <summary>Token of standbys; empty refuses them (spec 03 section 10).</summary>
    public string ReplicationToken { get; init; } = "";

    /// <summary>This registry follows another one: it answers reads, and nothing ages here.</summary>
    public bool Standby { get; init; }

    /// <summary>Rates per minute and caps.</summary>
    public RegistryLimits Limits { get; init; } = new();

    /// <summary>SHA-256 of the TLS certificate, in lower-case hex; empty without TLS. Fresh signatures may name it.</summary>
    public string ServerFingerprint { get; init; } = "";

    /// <summary>A node is gone when nothing was heard of it for this time (spec 03 section 5.6).</summary>
    public TimeSpan StaleAfter { get; init; } = TimeSpan.FromSeconds(180);

    /// <summary>Interval of the reaper (spec 03 section 5.6).</summary>
    public TimeSpan ReapInterval { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How long a silent node keeps its hostname.</summary>
    public TimeSpan HostnameRetention { get; init; } = TimeSpan.FromDays(30);

    /// <summary>How long an unread handshake message is kept.</summary>
    public TimeSpan HandshakeLifetime { get; init; } = TimeSpan.FromDays(30);

    /// <summary>How long a delivered handshake message is kept for redelivery (spec 03 section 6.5).</summary>
    public TimeSpan DeliveredCopyLifetime { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How long a resolve counts as a sign that the requester wants the target (spec 05 section 15).</summary>
    public TimeSpan ResolveMemory { get; init; } = TimeSpan.FromHours(1);

    /// <summary>How long the connection that first registered a key counts as its node's, without a signed request.</summary>
    public TimeSpan TentativePresence { get; init; } = TimeSpan.FromSeconds(90);

    /// <summary>How long after a restart of the server nobody takes over the id of a node that was live before it.</summary>
    public TimeSpan ReturnGrace { get; init; } = TimeSpan.FromSeconds(90);

    /// <summary>How long a node counts as connected to another process on the same store after its last sign of life there: two heartbeats and some.</summary>
    public TimeSpan SharedLease { get; init; } = TimeSpan.FromSeconds(75);

    /// <summary>Lifetime of a beacon entry (spec 03 section 5.6).</summary>
    public TimeSpan BeaconLifetime { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Beacon addresses (<c>host:port</c>) that any source may register.</summary>
    public IReadOnlyCollection<string> AllowedBeacons { get; init; } = [];
}

/// <summary>Rates per minute (0 = unlimited) and table caps. Spec 03 section 8.</summary>
public sealed record RegistryLimits
{
    /// <summary>Registrations per source address.</summary>
    public int RegistrationsPerMinute { get; init; } = 10;

    /// <summary>lookup, list_nodes and resolve_hostname together.</summary>
    public int QueriesPerMinute { get; init; } = 500;

    /// <summary>resolve.</summary>
    public int ResolvesPerMinute { get; init; } = 100;

    /// <summary>heartbeat.</summary>
    public int HeartbeatsPerMinute { get; init; } = 50;

    /// <summary>All other signed requests, per node; only with <see cref="RegistryPolicy.LimitPerNode"/>.</summary>
    public int SignedPerMinute { get; init; } = 1200;

    /// <summary>Unsigned requests without a bucket of their own, per address; only with <see cref="RegistryPolicy.LimitPerNode"/>.</summary>
    public int UnsignedPerMinute { get; init; } = 6000;

    /// <summary>Failed signatures per address; only with <see cref="RegistryPolicy.LimitPerNode"/>.</summary>
    public int FailuresPerMinute { get; init; } = 300;

    /// <summary>Handshakes by name per sender, whether the name exists or not.</summary>
    public int NamedHandshakesPerMinute { get; init; } = 20;

    /// <summary>Node records, departed ones included.</summary>
    public int MaxNodes { get; init; } = 1_000_000;

    /// <summary>Peers that one node may consent to.</summary>
    public int MaxConsentsPerNode { get; init; } = 10_000;

    /// <summary>Unread handshake requests per node, and responses per node (spec 03 section 6.5).</summary>
    public int MaxInbox { get; init; } = 100;

    /// <summary>Bytes kept of a justification (spec 03 section 6.5).</summary>
    public int MaxJustificationBytes { get; init; } = 1024;

    /// <summary>Beacon entries.</summary>
    public int MaxBeacons { get; init; } = 256;

    /// <summary>LAN addresses per node (spec 03 section 5.4).</summary>
    public int MaxLanAddresses { get; init; } = 16;

    /// <summary>Bytes of the name of a node's software.</summary>
    public int MaxSoftwareBytes { get; init; } = 32;

    /// <summary>Bytes of an owner text (spec 03 section 5.4).</summary>
    public int MaxOwnerBytes { get; init; } = 254;

    /// <summary>Largest change of a polo score by one request of a node; only with <see cref="RegistryPolicy.PoloIdentity"/>.</summary>
    public int MaxPoloDelta { get; init; } = 1000;

    /// <summary>Sum of the changes that one node may make to another's score within a day; only with <see cref="RegistryPolicy.PoloIdentity"/>.</summary>
    public int MaxPoloPerPairAndDay { get; init; } = 10_000;

    /// <summary>Entries of each rate limiter and of the other tables that live in memory only.</summary>
    public int MaxTrackedKeys { get; init; } = 200_000;

    /// <summary>Largest answer in bytes: reference clients refuse more (spec 03 section 2.1).</summary>
    public int MaxAnswerBytes { get; init; } = Pilot.Protocol.Registry.RegistryFrame.MaxRequestBody;
}
