using System.Text.Json.Serialization;
using Pilot.Protocol;

namespace Pilot.Rendezvous.Registry;

internal enum NodeStatus : byte
{
    /// <summary>Heard of within the stale threshold.</summary>
    Live,

    /// <summary>Silent; keeps what it had.</summary>
    Offline,

    /// <summary>Deregistered: only key, owner and trust stay.</summary>
    Departed,
}

/// <summary>One node. Changed by <see cref="RegistryState.Apply"/> only, except for the members that live in memory.</summary>
internal sealed class NodeRecord
{
    public const int MaxPoloScore = 1_000_000; // spec 03 section 6.8

    public required uint Id { get; init; }

    public PublicKey Key
    {
        get;
        set
        {
            field = value;
            HeartbeatSignature = null;
            PollSignature = null;
            Mac = null;
        }
    }

    /// <summary>The key's text as it was sent, when it is not canonical base64 (reference policy only).</summary>
    public string? KeyAlias { get; set; }

    public string Owner { get; set; } = "";

    public string Endpoint
    {
        get;
        set
        {
            field = value;
            EndpointIp = UdpEndpoint.TryParse(value, out UdpEndpoint parsed) ? parsed.Ip : UInt128.Zero;
        }
    } = "";

    public string[] LanAddresses { get; set; } = [];

    public NodeStatus Status { get; set; }

    public DateTimeOffset? SilentSince { get; set; }

    public bool Proven { get; set; }

    /// <summary>It has used the better signature (<see cref="Pilot.Protocol.Registry.RequestProof"/>).</summary>
    public bool SignsFresh { get; set; }

    /// <summary>Name and version of its software; empty when it did not say.</summary>
    public string Software { get; set; } = "";

    public bool Public { get; set; }

    public string Hostname { get; set; } = "";

    public string[] Tags { get; set; } = [];

    public long PoloScore { get; set; }

    public bool TaskExec { get; set; }

    public string ExternalId { get; set; } = "";

    public DateTimeOffset KeyCreated { get; set; }

    public DateTimeOffset? KeyRotated { get; set; }

    public int KeyRotations { get; set; }

    public DateTimeOffset? KeyExpires { get; set; }

    /// <summary>Networks other than the backbone, in the order of joining; null when there are none.</summary>
    public List<ushort>? Networks { get; set; }

    [JsonIgnore]
    public UInt128 EndpointIp { get; private set; }

    [JsonIgnore]
    public string KeyText => KeyAlias ?? Key.ToString();

    [JsonIgnore]
    public PilotAddress Address => PilotAddress.OfNode(Id);

    // In memory only: not part of events and lost with the process.

    [JsonIgnore]
    public DateTimeOffset LastSeen { get; set; }

    /// <summary>Source address and time of the last registration or valid signature, which the beacon asks for.</summary>
    [JsonIgnore]
    public UInt128 ProofIp { get; set; }

    [JsonIgnore]
    public DateTimeOffset ProofAt { get; set; }

    /// <summary>Last time another process on the same store said that the node is connected there.</summary>
    [JsonIgnore]
    public DateTimeOffset ConnectedElsewhere { get; set; }

    /// <summary>The signatures of the two requests that every daemon repeats, once they were found valid for the present key.</summary>
    [JsonIgnore]
    public byte[]? HeartbeatSignature { get; set; }

    [JsonIgnore]
    public byte[]? PollSignature { get; set; }

    /// <summary>Key for the MACs of the connection on which the node last offered one; gone with its Ed25519 key, its registration, and the connection.</summary>
    [JsonIgnore]
    public MacKey? Mac { get; set; }

    public void ClearAttributes()
    {
        Public = false;
        Hostname = "";
        Tags = [];
        PoloScore = 0;
        TaskExec = false;
        ExternalId = "";
        KeyRotated = null;
        KeyRotations = 0;
        KeyExpires = null;
        Proven = false;
        SignsFresh = false;
        Mac = null;
    }
}
