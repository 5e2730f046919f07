using Pilot.Protocol;

namespace Pilot.Engine.Tests.Simulation;

/// <summary>A datagram as it stands on some wire.</summary>
internal readonly record struct SimDatagram(UdpEndpoint Source, UdpEndpoint Destination, byte[] Bytes);

/// <summary>
/// A network in one thread with virtual time: events in order of time, ties in order of scheduling, all chance from one
/// seed. Hosts hang on links; some stand behind a NAT; the core between them is perfect.
/// </summary>
internal sealed class SimNetwork
{
    /// <summary>Wall clock at the start of every run: 2026-04-01.</summary>
    public static readonly DateTimeOffset Epoch = DateTimeOffset.FromUnixTimeSeconds(1_775_001_600);

    private readonly PriorityQueue<Action, (long At, long Order)> _events = new();
    private readonly Dictionary<UInt128, SimHost> _publicHosts = [];
    private readonly Dictionary<UInt128, SimNat> _nats = [];
    private readonly Dictionary<(SimNat, UInt128), SimHost> _insideHosts = [];
    private readonly HashSet<(SimHost, SimHost)> _cuts = [];
    private readonly SimRandom _random;
    private uint _nextPublicIp = 0x2C000001;
    private uint _nextNet;
    private long _order;

    public SimNetwork(ulong seed)
    {
        Seed = seed;
        Random = new SimRandom(seed);
        _random = Random.Child("network");
        Now = new Instant(TimeSpan.TicksPerHour);
        StartedAt = Now;
    }

    public ulong Seed { get; }

    public SimRandom Random { get; }

    public Instant Now { get; private set; }

    public Instant StartedAt { get; }

    public DateTimeOffset Wall => Epoch + (Now - StartedAt);

    public FlowLog Log { get; } = new(250);

    /// <summary>Sees every datagram as its host sends it, before anything happens to it.</summary>
    public event Action<SimHost, SimDatagram>? Sent;

    /// <summary>Sees every datagram on the core: translated, perhaps damaged.</summary>
    public event Action<SimDatagram>? Tap;

    public long EventsRun { get; private set; }

    public void Schedule(Instant at, Action action) => _events.Enqueue(action, (Math.Max(at.Ticks, Now.Ticks), _order++));

    public void After(TimeSpan delay, Action action) => Schedule(Now + delay, action);

    /// <summary>Runs everything up to a time.</summary>
    public void Run(TimeSpan span) => RunUntil(() => false, span);

    /// <summary>Runs until the condition holds; false when the limit came first. Time then stands at the limit.</summary>
    public bool RunUntil(Func<bool> condition, TimeSpan limit)
    {
        Instant end = Now + limit;
        while (!condition())
        {
            if (!_events.TryPeek(out _, out (long At, long Order) next) || next.At > end.Ticks)
            {
                Now = end;
                return condition();
            }

            Action action = _events.Dequeue();
            Now = new Instant(next.At);
            EventsRun++;
            action();
        }

        return true;
    }

    public SimNat AddNat(NatKind kind, TimeSpan? timeout = null)
    {
        UInt128 ip = NewPublicIp();
        var nat = new SimNat(kind, ip, timeout ?? TimeSpan.FromSeconds(60), _random.Child($"nat {ip}"));
        _nats[ip] = nat;
        _nextNet++;
        return nat;
    }

    /// <summary>A host with a public address, or behind a NAT.</summary>
    public SimHost AddHost(string name, ushort port = 4000, SimNat? nat = null, LinkProfile? profile = null)
    {
        UInt128 ip = nat is null ? NewPublicIp() : UdpEndpoint.FromIPv4(0xC0A80000 + (_nextNet << 8) + (uint)_insideHosts.Count + 2, 0).Ip;
        var host = new SimHost(this, name, new UdpEndpoint(ip, port), nat, _random.Child($"link {name}"));
        host.SetProfile(profile ?? LinkProfile.Clean);
        Attach(host);
        return host;
    }

    /// <summary>Nothing passes between the two until <see cref="Heal"/>.</summary>
    public void Cut(SimHost a, SimHost b)
    {
        _cuts.Add((a, b));
        _cuts.Add((b, a));
    }

    public void Heal()
    {
        _cuts.Clear();
        Log.Note(Now, "healed");
    }

    /// <summary>The host gets another public address (and port).</summary>
    public void Move(SimHost host, ushort port)
    {
        Assert.Null(host.Nat);
        _publicHosts.Remove(host.Local.Ip);
        host.Local = new UdpEndpoint(NewPublicIp(), port);
        Attach(host);
    }

    /// <summary>The NAT restarts with another public address.</summary>
    public void Rebind(SimNat nat, bool withNewIp)
    {
        _nats.Remove(nat.PublicIp);
        nat.Rebind(withNewIp ? NewPublicIp() : null);
        _nats[nat.PublicIp] = nat;
    }

    /// <summary>A datagram with any source address at all, as an attacker on the core sends it. It is not lost on the way.</summary>
    public void Inject(UdpEndpoint source, UdpEndpoint destination, byte[] bytes) =>
        After(TimeSpan.FromMilliseconds(1), () => Route(null, new SimDatagram(source, destination, bytes), isInjected: true));

    internal void SendFrom(SimHost host, UdpEndpoint source, UdpEndpoint destination, byte[] bytes)
    {
        Sent?.Invoke(host, new SimDatagram(source, destination, bytes));
        if (host.Nat is { } nat && _insideHosts.TryGetValue((nat, destination.Ip), out SimHost? neighbour))
        {
            var inside = new SimDatagram(host.Local, destination, bytes);
            After(TimeSpan.FromMilliseconds(0.3), () => neighbour.Deliver(inside));
            return;
        }

        host.Up.Carry(new SimDatagram(source, destination, bytes), carried =>
        {
            SimDatagram outside = carried with { Source = host.Nat?.Outbound(Now, carried.Source, carried.Destination) ?? carried.Source };
            Tap?.Invoke(outside);
            Route(host, outside, isInjected: false);
        });
    }

    private void Route(SimHost? from, SimDatagram datagram, bool isInjected)
    {
        SimHost? target = null;
        if (_nats.TryGetValue(datagram.Destination.Ip, out SimNat? nat))
        {
            if ((nat.Hairpins || from?.Nat != nat) && nat.Inbound(Now, datagram.Destination.Port, datagram.Source) is { } inside)
            {
                target = _insideHosts.GetValueOrDefault((nat, inside.Ip));
            }
        }
        else if (_publicHosts.TryGetValue(datagram.Destination.Ip, out SimHost? host) && (host.Local.Port == datagram.Destination.Port || host.OtherPorts.ContainsKey(datagram.Destination.Port)))
        {
            target = host;
        }

        if (target is null)
        {
            Log.Add(Now, datagram, nat is null ? "nobody there" : "filtered by NAT");
            return;
        }

        if (from is not null && _cuts.Contains((from, target)))
        {
            Log.Add(Now, datagram, "cut");
            return;
        }

        Log.Add(Now, datagram, isInjected ? "injected" : "");
        if (isInjected)
        {
            target.Deliver(datagram);
        }
        else
        {
            target.Down.Carry(datagram, target.Deliver);
        }
    }

    private void Attach(SimHost host)
    {
        if (host.Nat is { } nat)
        {
            _insideHosts[(nat, host.Local.Ip)] = host;
        }
        else
        {
            _publicHosts[host.Local.Ip] = host;
        }
    }

    private UInt128 NewPublicIp() => UdpEndpoint.FromIPv4(_nextPublicIp++, 0).Ip;
}

/// <summary>A host with one UDP socket.</summary>
internal sealed class SimHost
{
    private readonly SimNetwork _network;

    public SimHost(SimNetwork network, string name, UdpEndpoint local, SimNat? nat, SimRandom random)
    {
        _network = network;
        Name = name;
        Local = local;
        Nat = nat;
        Up = new SimLink(network, name + " up", random.Child("up"));
        Down = new SimLink(network, name + " down", random.Child("down"));
    }

    public string Name { get; }

    /// <summary>The socket's own address: private behind a NAT.</summary>
    public UdpEndpoint Local { get; internal set; }

    public SimNat? Nat { get; }

    public SimLink Up { get; }

    public SimLink Down { get; }

    /// <summary>Called with source and bytes; null while the process is down.</summary>
    public Action<UdpEndpoint, byte[]>? Received { get; set; }

    public void SetProfile(LinkProfile profile)
    {
        Up.Profile = profile;
        Down.Profile = profile;
    }

    public void Blackout(TimeSpan length)
    {
        Up.Blackout(length);
        Down.Blackout(length);
    }

    /// <summary>Further sockets of a public host, by port.</summary>
    public Dictionary<ushort, Action<UdpEndpoint, byte[]>> OtherPorts { get; } = [];

    public void Send(UdpEndpoint destination, ReadOnlySpan<byte> bytes) => _network.SendFrom(this, Local, destination, bytes.ToArray());

    public void Send(ushort port, UdpEndpoint destination, ReadOnlySpan<byte> bytes) => _network.SendFrom(this, Local with { Port = port }, destination, bytes.ToArray());

    internal void Deliver(SimDatagram datagram)
    {
        // Each delivery has bytes of its own: receivers decrypt in place.
        Action<UdpEndpoint, byte[]>? receiver = OtherPorts.Count > 0 && OtherPorts.TryGetValue(datagram.Destination.Port, out var other) ? other : Received;
        receiver?.Invoke(datagram.Source, [.. datagram.Bytes]);
    }
}
