namespace Pilot.Rendezvous.Beacon;

/// <summary>The rules in which this beacon is stricter than the reference (spec 04 sections 4.1, 4.2, 4.5). Reference daemons keep working under all of them.</summary>
[Flags]
public enum BeaconRules
{
    /// <summary>As the reference: any sender may claim any id, nothing expires.</summary>
    Reference = 0,

    /// <summary>Node entries expire 90 s after their last DISCOVER, gossip 30 s after its last SYNC.</summary>
    Expiry = 1 << 0,

    /// <summary>A fresh entry moves to another address only with proof from the registry, or when it is 45 s old. Node id 0 is answered, not stored.</summary>
    Rebinding = 1 << 1,

    /// <summary>An endpoint is disclosed only to requesters that the registry allows and that come from their proven address.</summary>
    PunchPrivacy = 1 << 2,

    /// <summary>RELAY only from the address stored for its sender.</summary>
    RelaySource = 1 << 3,

    /// <summary>SYNC and forwarded RELAY only from configured beacons, and a forwarded RELAY is not forwarded again.</summary>
    PeerSource = 1 << 4,

    /// <summary>Token buckets and table caps.</summary>
    Limits = 1 << 5,

    /// <summary>An address that has not shown to be its node's gets no more bytes than came from it.</summary>
    Amplification = 1 << 6,

    /// <summary>All rules.</summary>
    Strict = (1 << 7) - 1,
}

/// <summary>What an operator may set.</summary>
public sealed record BeaconOptions
{
    /// <summary>The stricter rules in force.</summary>
    public BeaconRules Rules { get; init; } = BeaconRules.Strict;

    /// <summary>Number in a cluster, sent in SYNC; 0 = stand-alone.</summary>
    public uint BeaconId { get; init; }

    /// <summary>Answer the extensions of docs/wire.md.</summary>
    public bool Extends { get; init; } = true;

    /// <summary>Shared secret of the beacons of a cluster; empty = they know each other by address only.</summary>
    public byte[] Key { get; init; } = [];

    /// <summary>Lifetime of a node entry: three refresh intervals of a reference daemon.</summary>
    public TimeSpan NodeLifetime { get; init; } = TimeSpan.FromSeconds(90);

    /// <summary>Lifetime of gossip.</summary>
    public TimeSpan GossipLifetime { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Age from which an entry may be replaced without proof.</summary>
    public TimeSpan RebindAge { get; init; } = TimeSpan.FromSeconds(45);

    /// <summary>How old the registry's proof of an address may be.</summary>
    public TimeSpan ProofAge { get; init; } = TimeSpan.FromSeconds(180);

    /// <summary>How long a punch request of the target allows one of the requester.</summary>
    public TimeSpan MutualPunchWindow { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Interval of SYNC to the peers, and of the sweep.</summary>
    public TimeSpan SyncInterval { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>DISCOVER and PUNCH_REQUEST per second and source address, with a burst of three times that.</summary>
    public int RequestsPerSecond { get; init; } = 20;

    /// <summary>Requests per second of all that show no cookie together; as many cookies are looked at.</summary>
    public int UnverifiedPerSecond { get; init; } = 20_000;

    /// <summary>Signatures verified per second.</summary>
    public int SignaturesPerSecond { get; init; } = 500;

    /// <summary>PUNCH_COMMAND per second and target, with a burst of twice that.</summary>
    public int PunchesPerSecond { get; init; } = 5;

    /// <summary>Relayed bytes per second and sender; 0 = unlimited.</summary>
    public int RelayBytesPerSecond { get; init; } = 128 * 1024 * 1024;

    /// <summary>Node entries; the oldest unproven ones give way.</summary>
    public int MaxNodes { get; init; } = 200_000;

    /// <summary>Ids learned by gossip.</summary>
    public int MaxGossipNodes { get; init; } = 1_000_000;
}
