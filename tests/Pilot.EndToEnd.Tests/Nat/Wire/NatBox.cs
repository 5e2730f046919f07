using System.Diagnostics;
using System.Net;

namespace Pilot.EndToEnd.Tests.Nat.Wire;

/// <summary>Where packets go down to: a host or a NAT. Called under <see cref="Internet.Gate"/>.</summary>
internal interface IDownlink
{
    /// <summary>Takes a packet from outside; may rewrite it.</summary>
    void Deliver(Span<byte> packet);
}

/// <summary>Where packets go up to: a NAT or the internet. Called under <see cref="Internet.Gate"/>.</summary>
internal interface IUplink
{
    /// <summary>Takes a packet from inside; may rewrite it.</summary>
    void Send(Span<byte> packet);
}

/// <summary>
/// A NAT that does exactly what its rules say, for UDP and TCP over IPv4 (what the kernel's NAT cannot express: full cone, address-restricted,
/// timeouts of one's own, hairpinning, a change of ports at a given moment). Inside hosts share a LAN. ICMP is not translated: it is lost.
/// </summary>
internal sealed class NatBox : IUplink, IDownlink
{
    private const int FirstPort = 1024;
    private const int MaxFragmentedPackets = 1024;

    private readonly Internet _internet;
    private readonly IUplink _outside;
    private readonly Random _random;
    private readonly Dictionary<uint, IDownlink> _inside = [];
    private readonly Dictionary<(byte Protocol, Endpoint4 Inside, Endpoint4 Remote), Mapping> _byInside = [];
    private readonly Dictionary<(byte Protocol, ushort Port), Mapping> _byPort = [];
    private readonly Dictionary<(uint Source, uint Target, ushort Id), Endpoint4> _fragments = []; // to what the first fragment was translated
    private ushort _next;

    /// <param name="internet">The network; its gate guards this object too.</param>
    /// <param name="outside">What the outside interface is plugged into.</param>
    /// <param name="address">Outside address.</param>
    public NatBox(Internet internet, IUplink outside, IPAddress address, NatRules rules, int seed)
    {
        (_internet, _outside, Rules, Outside) = (internet, outside, rules, Ipv4.Number(address));
        _random = new Random(seed);
        _next = (ushort)_random.Next(20_000, 40_000);
    }

    public NatRules Rules { get; private set; }

    /// <summary>Outside address; another one is a new lease of the provider.</summary>
    public uint Outside { get; private set; }

    public void Plug(IPAddress address, IDownlink host)
    {
        lock (_internet.Gate)
        {
            _inside[Ipv4.Number(address)] = host;
        }
    }

    public void Unplug(IPAddress address)
    {
        lock (_internet.Gate)
        {
            _inside.Remove(Ipv4.Number(address));
        }
    }

    /// <summary>Forgets everything, as a router does that restarts: what was mapped gets other ports.</summary>
    public void Rebind()
    {
        lock (_internet.Gate)
        {
            HashSet<(byte, ushort)> used = [.. _byPort.Keys];
            _byInside.Clear();
            _byPort.Clear();
            _fragments.Clear();
            Rules = Rules with { Ports = Rules.Ports == PortChoice.Preserved ? PortChoice.Random : Rules.Ports };
            _next += (ushort)(100 + used.Count);
        }
    }

    /// <summary>Forgets UDP only: TCP connections stay.</summary>
    public void RebindUdp()
    {
        lock (_internet.Gate)
        {
            foreach (Mapping mapping in _byPort.Values.Where(m => m.Protocol == Ipv4.Udp).ToArray())
            {
                Remove(mapping);
            }

            Rules = Rules with { Ports = Rules.Ports == PortChoice.Preserved ? PortChoice.Random : Rules.Ports };
        }
    }

    public void SetOutside(IPAddress address)
    {
        lock (_internet.Gate)
        {
            Outside = Ipv4.Number(address);
            Rebind();
        }
    }

    public void Send(Span<byte> packet)
    {
        if (!Ipv4.TryRead(packet, out Header4 header) || header.Protocol is not (Ipv4.Udp or Ipv4.Tcp))
        {
            return;
        }

        if (_inside.TryGetValue(header.Target, out IDownlink? neighbour))
        {
            neighbour.Deliver(packet); // the same LAN
            return;
        }

        if ((Rules.BlocksUdp && header.Protocol == Ipv4.Udp) || !_inside.ContainsKey(header.Source))
        {
            return;
        }

        if (!TryTranslateOut(packet, header))
        {
            return;
        }

        if (header.Target != Outside)
        {
            _outside.Send(packet);
        }
        else if (Rules.Hairpins)
        {
            Deliver(packet);
        }
    }

    public void Deliver(Span<byte> packet)
    {
        if (!Ipv4.TryRead(packet, out Header4 header) || header.Target != Outside)
        {
            return;
        }

        Endpoint4 target;
        if (header.HasPorts)
        {
            if (!_byPort.TryGetValue((header.Protocol, header.TargetPort), out Mapping? mapping) || Ended(mapping) || !Permits(mapping, header.From))
            {
                return;
            }

            target = mapping.Inside;
            RememberFragment(header, target);
        }
        else if (!header.IsFragment || !_fragments.TryGetValue((header.Source, header.Target, header.Id), out target))
        {
            return;
        }

        if (_inside.TryGetValue(target.Address, out IDownlink? host))
        {
            Ipv4.SetTarget(packet, header, target);
            host.Deliver(packet);
        }
    }

    private bool TryTranslateOut(Span<byte> packet, in Header4 header)
    {
        if (!header.HasPorts)
        {
            bool known = _fragments.TryGetValue((header.Source, header.Target, header.Id), out Endpoint4 outside);
            if (known)
            {
                Ipv4.SetSource(packet, header, outside);
            }

            return known;
        }

        Endpoint4 key = Key(header.Protocol == Ipv4.Tcp ? Dependence.EndpointIndependent : Rules.Mapping, header.To);
        if (_byInside.TryGetValue((header.Protocol, header.From, key), out Mapping? mapping) && Ended(mapping))
        {
            Remove(mapping);
            mapping = null;
        }

        if (mapping is null)
        {
            mapping = new Mapping(header.Protocol, header.From, key, FreePort(header.Protocol, header.SourcePort));
            _byInside[(header.Protocol, header.From, key)] = mapping;
            _byPort[(header.Protocol, mapping.Port)] = mapping;
        }

        mapping.Renewed = _internet.Now;
        mapping.Permitted[Key(Filter(header.Protocol), header.To)] = mapping.Renewed;
        Endpoint4 translated = new(Outside, mapping.Port);
        RememberFragment(header, translated);
        Ipv4.SetSource(packet, header, translated);
        return true;
    }

    private static Endpoint4 Key(Dependence dependence, Endpoint4 remote) => dependence switch
    {
        Dependence.EndpointIndependent => default,
        Dependence.AddressDependent => remote with { Port = 0 },
        _ => remote,
    };

    private Dependence Filter(byte protocol) => protocol == Ipv4.Tcp ? Dependence.AddressAndPortDependent : Rules.Filtering;

    private bool Permits(Mapping mapping, Endpoint4 remote) =>
        mapping.Permitted.TryGetValue(Key(Filter(mapping.Protocol), remote), out long since) && !Expired(mapping.Protocol, since);

    private bool Ended(Mapping mapping) => Expired(mapping.Protocol, mapping.Renewed);

    private bool Expired(byte protocol, long since) => protocol == Ipv4.Udp && Stopwatch.GetElapsedTime(since, _internet.Now) > Rules.UdpTimeout;

    private void Remove(Mapping mapping)
    {
        _byInside.Remove((mapping.Protocol, mapping.Inside, mapping.Remote));
        _byPort.Remove((mapping.Protocol, mapping.Port));
    }

    private ushort FreePort(byte protocol, ushort inside)
    {
        ushort port = inside;
        for (bool first = true; ; first = false)
        {
            if (!first || Rules.Ports != PortChoice.Preserved)
            {
                port = Rules.Ports == PortChoice.Sequential ? ++_next : (ushort)_random.Next(FirstPort, ushort.MaxValue + 1);
            }

            if (port >= FirstPort && !_byPort.ContainsKey((protocol, port)))
            {
                return port;
            }
        }
    }

    private void RememberFragment(in Header4 header, Endpoint4 translated)
    {
        if (!header.IsFragment)
        {
            return;
        }

        if (_fragments.Count >= MaxFragmentedPackets)
        {
            _fragments.Clear();
        }

        _fragments[(header.Source, header.Target, header.Id)] = translated;
    }

    private sealed class Mapping(byte protocol, Endpoint4 inside, Endpoint4 remote, ushort port)
    {
        public byte Protocol => protocol;

        public Endpoint4 Inside => inside;

        public Endpoint4 Remote => remote;

        public ushort Port => port;

        public long Renewed { get; set; }

        public Dictionary<Endpoint4, long> Permitted { get; } = [];
    }
}
