namespace Pilot.Engine;

/// <summary>Every constant of tunnels and paths, with unit and source (spec chapter and section).</summary>
internal static class TunnelConstants
{
    /// <summary>Steps of one exchange round after its start; the same PILA each time (01 §15.1 item 1).</summary>
    public static readonly TimeSpan[] RoundSteps = [TimeSpan.Zero, Ms(50), Ms(150), Ms(350), Ms(750)];

    /// <summary>Starts of the rounds after the first; then every <see cref="RoundInterval"/> (01 §15.1 item 1).</summary>
    public static readonly TimeSpan[] RoundStarts = [TimeSpan.Zero, Ms(1750), Ms(3750), Ms(7750)];

    public static readonly TimeSpan RoundInterval = Ms(15_000);

    /// <summary>The relay joins a first contact after this or twice the beacon's round trip (04 §8.2 item 1).</summary>
    public static readonly TimeSpan RelayDelay = Ms(300);

    /// <summary>At most one new own X25519 key per peer in this time (01 §15.1 item 2).</summary>
    public static readonly TimeSpan NewKeyInterval = Ms(1_000);

    /// <summary>Keys of earlier rounds and sessions open frames for this long (01 §15.1 item 2).</summary>
    public static readonly TimeSpan OldKeyLifetime = Ms(30_000);

    /// <summary>A working tunnel gets a new key after this time or <see cref="RekeyFrames"/> (01 §15.1 item 2).</summary>
    public static readonly TimeSpan RekeyInterval = TimeSpan.FromHours(1);

    public const ulong RekeyFrames = 1UL << 32;

    /// <summary>A candidate session that nobody confirmed is forgotten after this time.</summary>
    public static readonly TimeSpan CandidateLifetime = Ms(10_000);

    /// <summary>Own X25519 keys alive per peer; the oldest goes first.</summary>
    public const int MaxOwnKeys = 4;

    /// <summary>Candidate sessions per peer; the oldest goes first.</summary>
    public const int MaxCandidateSessions = 4;

    /// <summary>Nonce prefixes remembered per session; after that the tunnel is rekeyed (01 §15.3 item 2).</summary>
    public const int MaxPrefixes = 64;

    /// <summary>Counters in a receive window (01 §15.3 item 3: 2048 or more).</summary>
    public const int ReplayWindowSize = 8192;

    /// <summary>Retired peer keys remembered per own key; after that the own key changes.</summary>
    public const int MaxRetiredKeys = 16;

    /// <summary>Unconfirmed address candidates per peer that anyone can cause (01 §15.2 item 1).</summary>
    public const int MaxCandidates = 4;

    /// <summary>Endpoints that the registry or the peer itself named.</summary>
    public const int MaxToldCandidates = 8;

    /// <summary>Paths per peer, confirmed ones included.</summary>
    public const int MaxPaths = 16;

    /// <summary>A path loses so many of its last pings that a worse kind is better (own choice): share, and outcomes needed.</summary>
    public const double LossyShare = 0.4;
    public const int LossyOutcomes = 10;

    /// <summary>A ping without answer counts as lost after this time, or four round trips.</summary>
    public static readonly TimeSpan PingLifetime = Ms(3_000);

    /// <summary>A path that failed in use waits this long before it may replace one that works; doubled with each failure (own choice).</summary>
    public static readonly TimeSpan MinFailureHold = Ms(2_000);
    public static readonly TimeSpan MaxFailureHold = Ms(60_000);

    /// <summary>Silence of a node of ours with frames outstanding before its path is doubted: four round trips, at least this (own choice; the switch is to be over in 3 s, 04 §8.2 item 3).</summary>
    public static readonly TimeSpan MinDoubtSilence = Ms(600);

    /// <summary>A timer that fires so late shows that the own process had no processor: nobody else's silence (own choice).</summary>
    public static readonly TimeSpan OwnStall = Ms(150);

    /// <summary>Least time that a doubted path has to answer before another one takes over; else two round trips.</summary>
    public static readonly TimeSpan MinDoubtWait = Ms(200);

    /// <summary>A path that gave no sign of life for longer may have lost its NAT bindings: its first frames go another way as well (own choice: shorter UDP timeouts of NATs are 30 s).</summary>
    public static readonly TimeSpan StaleAge = Ms(28_000);

    /// <summary>Frames that go both ways while a path is in doubt.</summary>
    public const int MaxHedgedFrames = 16;

    /// <summary>Other confirmed paths are pinged this often, so that the choice knows them (own choice).</summary>
    public static readonly TimeSpan AlternativeInterval = Ms(60_000);

    /// <summary>Endpoint messages per second and peer, out and in: refill and burst.</summary>
    public const int EndpointRate = 1;
    public const int EndpointBurst = 4;

    /// <summary>Punches at predicted endpoints per message.</summary>
    public const int MaxPredictedPunches = 16;

    /// <summary>At most one probe per path in this time (01 §15.2 item 2).</summary>
    public static readonly TimeSpan ProbeInterval = Ms(100);

    /// <summary>Silence with frames outstanding before the peer is pinged on all paths (01 §15.1 item 5).</summary>
    public static readonly TimeSpan SilenceLimit = Ms(2_000);

    /// <summary>A path that we send on and hear nothing from is pinged after this time, while the peer is heard elsewhere: it may have moved.</summary>
    public static readonly TimeSpan OtherPathDoubt = Ms(300);

    /// <summary>Silence of a peer after its stream data before the path is pinged (own choice: with a reference it leaves time for the verdict and the relay before it gives up, 02 §9.3).</summary>
    public static readonly TimeSpan HushLimit = Ms(1_000);

    /// <summary>Least wait for those pongs before a new exchange (01 §15.1 item 5).</summary>
    public static readonly TimeSpan MinPongWait = Ms(300);

    /// <summary>Path keepalive after this time without sending (04 §9).</summary>
    public static readonly TimeSpan KeepaliveInterval = Ms(20_000);

    /// <summary>Repeat of an unanswered keepalive.</summary>
    public static readonly TimeSpan KeepaliveRetry = Ms(1_000);

    /// <summary>Keepalives and direct rounds end this long after the last use (04 §9).</summary>
    public static readonly TimeSpan UseLifetime = TimeSpan.FromMinutes(10);

    /// <summary>Direct rounds while relayed: the first minute, then later (04 §8.2 item 2).</summary>
    public static readonly TimeSpan DirectRoundEarly = Ms(5_000);
    public static readonly TimeSpan DirectRoundLate = Ms(15_000);
    public static readonly TimeSpan DirectRoundEarlyPeriod = Ms(60_000);

    /// <summary>Age after which an endpoint is resolved again (04 §6).</summary>
    public static readonly TimeSpan EndpointLifetime = TimeSpan.FromMinutes(5);

    /// <summary>A refused or failed question is not asked again for this time (00 §7: negative 5 s).</summary>
    public static readonly TimeSpan NegativeLifetime = Ms(5_000);

    /// <summary>Networks and registry trust stay believed for this time (00 §7: positive 60 s).</summary>
    public static readonly TimeSpan PositiveLifetime = Ms(60_000);

    /// <summary>After a key mismatch the registry is asked again, at most once in this time (01 §5.7).</summary>
    public static readonly TimeSpan KeyRequeryInterval = Ms(30_000);

    /// <summary>Questions remembered, and frames kept until the sender's key is known.</summary>
    public const int MaxDirectoryEntries = 16_384;
    public const int MaxPendingExchanges = 256;

    /// <summary>Key exchange frames per second and source address before any cryptography; known peers have their own lane.</summary>
    public const int ExchangeRatePerSource = 10;
    public const int ExchangeBurstPerSource = 40;
    public const int MaxRateSources = 4096;

    /// <summary>Key exchange frames per second and trusted peer.</summary>
    public const int ExchangeRatePerPeer = 20;

    /// <summary>Answers to an already installed key: bucket and refill (01 §15.1 item 3c).</summary>
    public const int RepeatAnswerBurst = 4;
    public const int RepeatAnswerRate = 1;

    /// <summary>"No key" repairs for all nodes together per second (01 §15.1 item 4 gives 1 per node).</summary>
    public const int RepairRate = 20;

    /// <summary>Control ping answers per second and peer (01 §3.7: not below 50).</summary>
    public const int PingAnswerRate = 200;

    /// <summary>Packets and bytes that wait for a key or path, per peer (01 §7).</summary>
    public const int MaxPendingPackets = 64;
    public const int MaxPendingBytes = 256 * 1024;
    public static readonly TimeSpan PendingLifetime = Ms(5_000);

    /// <summary>A datagram of first contact waits this long for the peer's proof of the key: it may be asking the registry.</summary>
    public static readonly TimeSpan DatagramHold = Ms(1_000);

    /// <summary>Pings outstanding per peer.</summary>
    public const int MaxOutstandingPings = 32;

    /// <summary>DISCOVER repeats until the beacon answered (04 §5), then the refresh (04 §9).</summary>
    public static readonly TimeSpan[] DiscoverSteps = [TimeSpan.Zero, Ms(250), Ms(750), Ms(1_750)];
    public static readonly TimeSpan DiscoverRetry = Ms(5_000);
    public static readonly TimeSpan DiscoverInterval = Ms(22_000);
    public const int MaxUnansweredDiscovers = 3;
    public const int MaxBeacons = 8;

    /// <summary>The refresh behind a NAT whose bindings were measured to live long; below the age at which a beacon lets a node be replaced (04 §4.5).</summary>
    public static readonly TimeSpan DiscoverSlowInterval = Ms(38_000);

    /// <summary>The refresh of beacons that this node is not registered with: only their round trip matters.</summary>
    public static readonly TimeSpan DiscoverIdleInterval = Ms(60_000);

    /// <summary>Beacons named by the registry that we register with: the nearest ones (04 §1.1).</summary>
    public const int RegisteredBeacons = 2;

    /// <summary>A beacon must be nearer by this much before it replaces the one in use (own choice).</summary>
    public static readonly TimeSpan BeaconGain = Ms(15);

    /// <summary>A beacon that only the registry lists counts as farther by this much: anybody may register one.</summary>
    public static readonly TimeSpan ListedCost = Ms(20);

    /// <summary>An overloaded beacon counts as farther by this much.</summary>
    public static readonly TimeSpan OverloadCost = Ms(150);

    /// <summary>A beacon that answered within this time is not suspected; one that is has this long to answer.</summary>
    public static readonly TimeSpan BeaconTrust = Ms(250);
    public static readonly TimeSpan BeaconJudgement = Ms(1_000);

    /// <summary>A beacon of ours that was silent for this long may have been replaced by a reference, which echoes no tokens.</summary>
    public static readonly TimeSpan BeaconMemory = Ms(60_000);

    /// <summary>DISCOVER is signed again after this time when the beacon does not know us.</summary>
    public static readonly TimeSpan SignInterval = Ms(20_000);

    /// <summary>Spread of the three punches (04 §14), and commands obeyed per second.</summary>
    public static readonly TimeSpan[] PunchSteps = [TimeSpan.Zero, Ms(20), Ms(60)];
    public const int PunchCommandRate = 10;

    /// <summary>A punch request explains commands and punches that come within this time (04 §6, §10.2).</summary>
    public static readonly TimeSpan PunchCommandWindow = Ms(2_000);
    public static readonly TimeSpan PunchWindow = Ms(5_000);

    /// <summary>Punch commands waiting to be carried out, and frames waiting to leave.</summary>
    public const int MaxScheduledPunches = 64;
    public const int MaxControlFrames = 1024;

    /// <summary>Events not yet fetched by the host; further ones that a stranger can cause are dropped.</summary>
    public const int MaxEvents = 65_536;

    /// <summary>First ephemeral port (01 §3.4).</summary>
    public const int FirstEphemeralPort = 49_152;

    /// <summary>Payload per packet until a path proves more (01 §10.3).</summary>
    public const int BasePayload = 1152;

    private static TimeSpan Ms(int milliseconds) => TimeSpan.FromMilliseconds(milliseconds);
}
