using Pilot.Protocol;

namespace Pilot.Engine.Nat;

/// <summary>What a datagram of the measurement asks.</summary>
internal enum NatQuestionKind : byte
{
    /// <summary>DISCOVER to a further port or address of a beacon: the mapping there.</summary>
    Mapping,

    /// <summary>Probe from a port never sent to.</summary>
    FilterPort,

    /// <summary>Probe from an address never sent to.</summary>
    FilterAddress,

    /// <summary>Our own datagram to our outside endpoint.</summary>
    Hairpin,

    /// <summary>DISCOVER that opens the binding whose life is measured.</summary>
    SilenceStart,

    /// <summary>Probe through that binding after the silence.</summary>
    SilenceEnd,
}

/// <summary>One question, asked up to three times.</summary>
internal sealed class NatQuestion(NatQuestionKind kind, UdpEndpoint to, ulong token, Instant at)
{
    public NatQuestionKind Kind { get; } = kind;

    public UdpEndpoint To { get; } = to;

    public ulong Token { get; } = token;

    public BeaconProbeKind Probe { get; init; }

    /// <summary>Where a probe is to be sent, and the beacon's cookie for it.</summary>
    public UdpEndpoint Endpoint { get; init; }

    public ulong Cookie { get; init; }

    public int Asked { get; set; }

    /// <summary>Place of a mapping question among those asked.</summary>
    public int Order { get; set; }

    public Instant NextAt { get; set; } = at;

    /// <summary>The beacon says that it sent the probe, so that its absence means something.</summary>
    public bool IsNoted { get; set; }

    /// <summary>The note named an address that we had sent to before: its arrival shows less.</summary>
    public bool IsFromKnownAddress { get; set; }
}
