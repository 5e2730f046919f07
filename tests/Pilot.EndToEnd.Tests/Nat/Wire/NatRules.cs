namespace Pilot.EndToEnd.Tests.Nat.Wire;

/// <summary>What a mapping or a filter depends on (RFC 4787 sections 4.1 and 5).</summary>
internal enum Dependence
{
    EndpointIndependent,
    AddressDependent,
    AddressAndPortDependent,
}

/// <summary>How outside ports are chosen (RFC 4787 section 4.2).</summary>
internal enum PortChoice
{
    /// <summary>The inside port where it is free.</summary>
    Preserved,

    /// <summary>Any free one.</summary>
    Random,

    /// <summary>The next free one: what port prediction hopes for.</summary>
    Sequential,
}

/// <summary>The rules of a <see cref="NatBox"/>.</summary>
/// <param name="Mapping">Of UDP; TCP is mapped endpoint-independently.</param>
/// <param name="Filtering">Of UDP; TCP is filtered by address and port.</param>
internal sealed record NatRules(Dependence Mapping, Dependence Filtering)
{
    public static readonly NatRules FullCone = new(Dependence.EndpointIndependent, Dependence.EndpointIndependent);
    public static readonly NatRules AddressRestricted = new(Dependence.EndpointIndependent, Dependence.AddressDependent);
    public static readonly NatRules PortRestricted = new(Dependence.EndpointIndependent, Dependence.AddressAndPortDependent);
    public static readonly NatRules Symmetric = new(Dependence.AddressAndPortDependent, Dependence.AddressAndPortDependent);

    /// <summary>RFC 6888: endpoint-independent mapping, strict filter, hairpinning.</summary>
    public static readonly NatRules CarrierGrade = PortRestricted with { Hairpins = true };

    public PortChoice Ports { get; init; } = PortChoice.Random;

    /// <summary>Whether inside hosts reach each other by their outside endpoints (RFC 4787 section 6).</summary>
    public bool Hairpins { get; init; }

    /// <summary>Silence after which a mapping or permission ends. Only packets from inside renew (RFC 4787 REQ-6), the strictest kind.</summary>
    public TimeSpan UdpTimeout { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>Lets no UDP through.</summary>
    public bool BlocksUdp { get; init; }
}
