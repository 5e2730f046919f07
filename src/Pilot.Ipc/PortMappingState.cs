namespace Pilot.Ipc;

/// <summary>Words for <see cref="PortMappingData.State"/>.</summary>
public static class PortMappingState
{
    /// <summary>Switched off by <c>-no-port-mapping</c>, or the tunnel socket is bound to one address only.</summary>
    public const string Off = "off";

    /// <summary>No private address toward a default gateway: nothing to map.</summary>
    public const string NotNeeded = "not needed";

    /// <summary>The gateway is being asked.</summary>
    public const string Asking = "asking";

    /// <summary>There is a mapping.</summary>
    public const string Mapped = "mapped";

    /// <summary>The gateway answers, but gives no mapping.</summary>
    public const string Refused = "refused";

    /// <summary>The gateway speaks none of the protocols.</summary>
    public const string NoAnswer = "no answer";
}

/// <summary>The port mapping of the tunnel socket at the default gateway.</summary>
public sealed record PortMappingData
{
    /// <summary>See <see cref="PortMappingState"/>.</summary>
    public required string State { get; init; }

    /// <summary><c>pcp</c>, <c>nat-pmp</c> or <c>upnp</c>; empty if none.</summary>
    public required string Protocol { get; init; }

    /// <summary>Address of the gateway; empty if none was asked.</summary>
    public required string Gateway { get; init; }

    /// <summary>Mapped endpoint <c>ip:port</c>; empty if none.</summary>
    public required string External { get; init; }

    /// <summary>True: the gateway's own outside address is private or of a carrier's NAT, so the mapping reaches only as far as that.</summary>
    public required bool BehindAnotherNat { get; init; }

    /// <summary>Whole seconds until the mapping is to be renewed at the latest; null without one.</summary>
    public long? ExpiresInSecs { get; init; }

    /// <summary>Why there is none; empty if unknown.</summary>
    public required string Error { get; init; }
}
