namespace Pilot.Engine.Trust;

/// <summary>An answer that may not be known yet.</summary>
public enum Knowledge
{
    /// <summary>It has to be asked.</summary>
    Unknown,

    /// <summary>No.</summary>
    No,

    /// <summary>Yes.</summary>
    Yes,
}

/// <summary>The outcome of a gate.</summary>
public enum AdmissionDecision
{
    /// <summary>Silence.</summary>
    Denied,

    /// <summary>Let in.</summary>
    Allowed,

    /// <summary>Silence for now; ask the registry what is not known, the peer will try again.</summary>
    Unknown,
}

/// <summary>What a gate knows about a peer.</summary>
public readonly ref struct AdmissionQuery
{
    /// <summary>Whether this node is public.</summary>
    public bool IsPublic { get; init; }

    /// <summary>The trust state.</summary>
    public TrustSnapshot Trust { get; init; }

    /// <summary>The peer.</summary>
    public uint NodeId { get; init; }

    /// <summary>The peer's Ed25519 key as proved by the tunnel or by a verified exchange.</summary>
    public ReadOnlySpan<byte> PublicKey { get; init; }

    /// <summary>Whether the peer shares a network other than 0 with this node.</summary>
    public Knowledge SharesNetwork { get; init; }

    /// <summary>The option "accept-registry-trust".</summary>
    public bool AcceptRegistryTrust { get; init; }

    /// <summary>Whether the registry holds a trust pair with the peer; asked only with the option.</summary>
    public Knowledge RegistryPair { get; init; }

    /// <summary>The destination port of a SYN or datagram; null for the gate of the tunnel itself (G0).</summary>
    public ushort? Port { get; init; }

    /// <summary>G0 only: this node sent an exchange to the peer within <see cref="Admission.ContactMemory"/>.</summary>
    public bool WasContacted { get; init; }
}

/// <summary>The one predicate of all gates: P, with (d) for port 444 and for the tunnel (spec 05 section 12).</summary>
public static class Admission
{
    /// <summary>How long a node that we sent an exchange to may answer (spec 05 section 12, G0).</summary>
    public static readonly TimeSpan ContactMemory = TimeSpan.FromSeconds(60);

    /// <summary>Decides a gate. Local knowledge comes first, so that nothing is asked that need not be.</summary>
    public static AdmissionDecision Decide(in AdmissionQuery query)
    {
        if (query.Trust.IsDenied(query.NodeId))
        {
            return AdmissionDecision.Denied;
        }

        if (query.IsPublic || query.SharesNetwork == Knowledge.Yes)
        {
            return AdmissionDecision.Allowed;
        }

        TrustStanding standing = query.Trust.Standing(query.NodeId, query.PublicKey);
        bool isTunnel = query.Port is null;
        if (standing == TrustStanding.Trusted
            || ((isTunnel || query.Port == TrustLimits.Port) && query.Trust.HasOutgoingMark(query.NodeId))
            || (isTunnel && query.WasContacted))
        {
            return AdmissionDecision.Allowed;
        }

        if (query.AcceptRegistryTrust && query.RegistryPair == Knowledge.Yes)
        {
            return AdmissionDecision.Allowed;
        }

        bool mayChange = query.SharesNetwork == Knowledge.Unknown
            || (query.AcceptRegistryTrust && query.RegistryPair == Knowledge.Unknown);
        return mayChange ? AdmissionDecision.Unknown : AdmissionDecision.Denied;
    }
}
