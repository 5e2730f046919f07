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
}

/// <summary>A NAT box: mapping, filtering, timeouts.</summary>
internal sealed class SimNat(NatKind kind, UInt128 publicIp, TimeSpan timeout, SimRandom random)
{
    private readonly Dictionary<(UdpEndpoint Inside, UdpEndpoint Destination), Mapping> _byInside = [];
    private readonly Dictionary<ushort, Mapping> _byPort = [];

    public NatKind Kind => kind;

    public UInt128 PublicIp { get; private set; } = publicIp;

    public int Mappings => _byPort.Count;

    /// <summary>The outside endpoint of a datagram on its way out; makes or renews the mapping.</summary>
    public UdpEndpoint Outbound(Instant now, UdpEndpoint inside, UdpEndpoint destination)
    {
        (UdpEndpoint, UdpEndpoint) key = (inside, kind == NatKind.Symmetric ? destination : default);
        if (!_byInside.TryGetValue(key, out Mapping? mapping) || now >= mapping.UsedAt + timeout)
        {
            if (mapping is not null)
            {
                _byPort.Remove(mapping.Port);
            }

            ushort port;
            do
            {
                port = (ushort)(20_000 + random.Next(40_000));
            }
            while (_byPort.ContainsKey(port));
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

        return kind == NatKind.FullCone || (mapping.Permits.TryGetValue(Permit(source), out Instant permitted) && now < permitted + timeout)
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

    private UdpEndpoint Permit(UdpEndpoint remote) => kind == NatKind.Restricted ? new UdpEndpoint(remote.Ip, 0) : remote;

    private sealed class Mapping(UdpEndpoint inside, ushort port)
    {
        public UdpEndpoint Inside { get; } = inside;

        public ushort Port { get; } = port;

        public Instant UsedAt { get; set; }

        public Dictionary<UdpEndpoint, Instant> Permits { get; } = [];
    }
}
