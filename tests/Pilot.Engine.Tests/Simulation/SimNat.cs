using Pilot.Protocol;

namespace Pilot.Engine.Tests.Simulation;

internal enum NatKind
{
    /// <summary>One mapping per inside endpoint; anybody may use it.</summary>
    FullCone,

    /// <summary>Only addresses that the inside sent to.</summary>
    Restricted,

    /// <summary>Only endpoints that the inside sent to.</summary>
    PortRestricted,

    /// <summary>A mapping of its own for each destination.</summary>
    Symmetric,

    /// <summary>A mapping of its own for each destination address, filtered by address.</summary>
    AddressMapped,
}

/// <summary>A NAT box: mapping, filtering, timeouts.</summary>
internal sealed class SimNat(NatKind kind, UInt128 publicIp, TimeSpan timeout, SimRandom random)
{
    private readonly Dictionary<(UdpEndpoint Inside, UdpEndpoint Destination), Mapping> _byInside = [];
    private readonly Dictionary<ushort, Mapping> _byPort = [];

    public NatKind Kind { get; set; } = kind;

    /// <summary>Whether what the inside sends to the outside address comes back in.</summary>
    public bool Hairpins { get; set; } = true;

    /// <summary>Whether the outside port is the inside one where it is free.</summary>
    public bool PreservesPort { get; set; }

    /// <summary>Distance of a new port from the last one; 0 = random.</summary>
    public int PortStep { get; set; }

    private ushort _lastPort = (ushort)(20_000 + random.Next(30_000));

    public UInt128 PublicIp { get; private set; } = publicIp;

    public int Mappings => _byPort.Count;

    /// <summary>The outside endpoint of a datagram on its way out; makes or renews the mapping.</summary>
    public UdpEndpoint Outbound(Instant now, UdpEndpoint inside, UdpEndpoint destination)
    {
        (UdpEndpoint, UdpEndpoint) key = (inside, Kind == NatKind.Symmetric ? destination : Kind == NatKind.AddressMapped ? destination with { Port = 0 } : default);
        if (!_byInside.TryGetValue(key, out Mapping? mapping) || now >= mapping.UsedAt + timeout)
        {
            if (mapping is not null)
            {
                _byPort.Remove(mapping.Port);
            }

            ushort port = PreservesPort ? inside.Port : (ushort)0;
            while (port == 0 || _byPort.ContainsKey(port))
            {
                port = PortStep == 0 ? (ushort)(20_000 + random.Next(40_000)) : _lastPort += (ushort)PortStep;
            }

            mapping = new Mapping(inside, port);
            _byInside[key] = mapping;
            _byPort[port] = mapping;
        }

        mapping.UsedAt = now;
        mapping.Permits[Permit(destination)] = now;
        return new UdpEndpoint(PublicIp, mapping.Port);
    }

    /// <summary>The inside endpoint that a datagram from outside reaches, or null.</summary>
    public UdpEndpoint? Inbound(Instant now, ushort port, UdpEndpoint source)
    {
        if (!_byPort.TryGetValue(port, out Mapping? mapping) || now >= mapping.UsedAt + timeout)
        {
            return null;
        }

        return Kind == NatKind.FullCone || (mapping.Permits.TryGetValue(Permit(source), out Instant permitted) && now < permitted + timeout)
            ? mapping.Inside
            : null;
    }

    /// <summary>The box restarts, perhaps with another address: all mappings are gone.</summary>
    public void Rebind(UInt128? newIp = null)
    {
        PublicIp = newIp ?? PublicIp;
        _byInside.Clear();
        _byPort.Clear();
    }

    private UdpEndpoint Permit(UdpEndpoint remote) => Kind is NatKind.Restricted or NatKind.AddressMapped ? new UdpEndpoint(remote.Ip, 0) : remote;

    private sealed class Mapping(UdpEndpoint inside, ushort port)
    {
        public UdpEndpoint Inside { get; } = inside;

        public ushort Port { get; } = port;

        public Instant UsedAt { get; set; }

        public Dictionary<UdpEndpoint, Instant> Permits { get; } = [];
    }
}
