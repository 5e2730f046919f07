using Pilot.Protocol;

namespace Pilot.Daemon.Net;

/// <summary>Under which endpoints this node can be reached, at one moment.</summary>
/// <param name="Lan">Private addresses of this host (04 §7).</param>
/// <param name="Global">Global IPv6 addresses of this host.</param>
/// <param name="Seen">What the beacon sees; null before it answered.</param>
/// <param name="Mapped">The gateway's mapping, if its outside is a public address.</param>
/// <param name="Observed">What the registry made of the last registration; null before.</param>
internal sealed record OwnEndpoints(
    IReadOnlyList<UdpEndpoint> Lan, IReadOnlyList<UdpEndpoint> Global, UdpEndpoint? Seen, UdpEndpoint? Mapped, UdpEndpoint? Observed)
{
    public static OwnEndpoints Nothing { get; } = new([], [], null, null, null);

    /// <summary>
    /// The endpoint to register: the mapped one when the way out leads through the gateway that made it, that is when beacon or registry see the
    /// same address; a mapped port takes in what strangers send, a punched one does not. Null when nothing is known.
    /// </summary>
    public UdpEndpoint? ToRegister => Mapped is { } mapped && (Seen ?? Observed) is { } outside && outside.Ip == mapped.Ip ? Mapped : Seen;

    /// <summary>What peers may be told to try besides the registered endpoint; without LAN addresses.</summary>
    public IReadOnlyList<UdpEndpoint> Others => Mapped is { } mapped ? [mapped, .. Global] : Global;

    /// <summary>
    /// What the registry is told as <c>lan_addrs</c>: it hands them out under their own gate, and references pass over what is in none of their
    /// networks. So every registry carries the other endpoints too.
    /// </summary>
    public IReadOnlyList<UdpEndpoint> ToRegisterAsLan => [.. Lan.Take(MostRegistered - Others.Count), .. Others];

    private const int MostRegistered = 16; // our registry keeps no more (03 §5.4)
}

/// <summary>Collects what the parts of the daemon learn about our own endpoints. Any thread.</summary>
internal sealed class OwnAddresses
{
    private readonly object _gate = new();
    private OwnEndpoints _current = OwnEndpoints.Nothing;

    public OwnEndpoints Current => Volatile.Read(ref _current);

    /// <summary>Told of every change, on the thread that brought it; subscribe before the start.</summary>
    public event Action<OwnEndpoints>? Changed;

    public void SetInterfaces(IReadOnlyList<UdpEndpoint> lan, IReadOnlyList<UdpEndpoint> global) => Change(now =>
        now.Lan.SequenceEqual(lan) && now.Global.SequenceEqual(global) ? now : now with { Lan = lan, Global = global });

    public void SetSeen(UdpEndpoint endpoint) => Change(now => now with { Seen = endpoint });

    public void SetMapped(UdpEndpoint? endpoint) => Change(now => now with { Mapped = endpoint });

    public void SetObserved(UdpEndpoint? endpoint) => Change(now => now with { Observed = endpoint });

    private void Change(Func<OwnEndpoints, OwnEndpoints> change)
    {
        OwnEndpoints next;
        lock (_gate)
        {
            next = change(_current);
            if (next == _current)
            {
                return;
            }

            Volatile.Write(ref _current, next);
        }

        Changed?.Invoke(next);
    }
}
