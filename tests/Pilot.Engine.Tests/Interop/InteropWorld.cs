using Pilot.Engine.Tests.Simulation;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Interop;

/// <summary>What happens to one datagram on its first link.</summary>
internal readonly record struct Fate(int Copies, TimeSpan Delay)
{
    public static Fate Pass => new(1, TimeSpan.Zero);

    public static Fate Drop => new(0, TimeSpan.Zero);

    public static Fate Twice => new(2, TimeSpan.Zero);

    public static Fate Late(TimeSpan delay) => new(1, delay);
}

/// <summary>A datagram that a node sends: what it is, whatever it is wrapped in.</summary>
internal readonly record struct SentFrame(SimHost From, UdpEndpoint To, byte[] Datagram)
{
    public bool IsRelayed => Datagram[0] == (byte)BeaconMessageType.Relay;

    public byte[] Frame => IsRelayed ? Datagram[BeaconRelay.HeaderSize..] : Datagram;

    public DatagramKind Kind => TunnelFrame.Classify(Frame);

    public bool IsExchange => Kind == DatagramKind.AuthenticatedKeyExchange;

    /// <summary>The X25519 key of an exchange frame.</summary>
    public string Key => Convert.ToHexString(Frame.AsSpan(8, 32));

    public bool IsEncrypted => Kind == DatagramKind.Encrypted;
}

/// <summary>Nodes of ours and doubles of reference nodes on one simulated network, with a registry and a beacon like the reference's.</summary>
internal sealed class InteropWorld : IReferenceSite
{
    /// <summary>10 ms each way, and IP fragments pass: references send segments of 4096 bytes without asking.</summary>
    public static readonly LinkProfile Line = new() { Mtu = 65_535 };

    private readonly List<OurHost> _ours = [];
    private readonly List<ReferenceHost> _references = [];
    private readonly NonceWatch _nonces = new();
    private readonly Dictionary<ReferenceHost, uint> _referenceIds = [];
    private uint _nextNode = 1;
    private uint _nextSalt = 1;

    private InteropWorld(ulong seed)
    {
        Network = new SimNetwork(seed);
        Rendezvous = new InteropRendezvous(Network);
    }

    public SimNetwork Network { get; }

    public InteropRendezvous Rendezvous { get; }

    public Instant Now => Network.Now;

    public UdpEndpoint Beacon => Rendezvous.Beacon;

    /// <summary>Decides about each datagram as it leaves a node; null for no decision.</summary>
    public Func<SentFrame, Fate?>? Filter { get; set; }

    /// <summary>The X25519 keys that each node has shown.</summary>
    public HashSet<(SimHost Host, string Key)> Keys { get; } = [];

    /// <summary>Runs a scenario for each seed; a failure names the seed and shows the last datagrams.</summary>
    public static void Run(ulong firstSeed, int seeds, Action<InteropWorld> scenario)
    {
        for (ulong seed = firstSeed; seed < firstSeed + (ulong)seeds; seed++)
        {
            var world = new InteropWorld(seed);
            try
            {
                scenario(world);
            }
            catch (Exception exception)
            {
                throw new InvalidOperationException(
                    $"seed {seed} failed at {world.Network.Now}: {exception.Message}\n{string.Join("\n", world._references)}\n{world.Network.Log}", exception);
            }
        }
    }

    /// <summary>One node of ours and one reference, settled, trusting each other.</summary>
    public (OurHost Ours, ReferenceHost Reference) Pair(
        ReferenceSwitches? switches = null, LinkProfile? profile = null, SimNat? ourNat = null, SimNat? referenceNat = null)
    {
        OurHost ours = AddOurs(profile, ourNat);
        ReferenceHost reference = AddReference(switches, profile, referenceNat);
        Settle();
        Befriend(ours, reference);
        return (ours, reference);
    }

    public OurHost AddOurs(LinkProfile? profile = null, SimNat? nat = null, bool isPublic = false)
    {
        SimHost host = Network.AddHost($"ours{_nextNode}", nat: nat, profile: profile ?? Line);
        var ours = new OurHost(this, host, _nextNode++, isPublic);
        _ours.Add(ours);
        _nonces.Watch(Network, host);
        ours.Start();
        return ours;
    }

    public ReferenceHost AddReference(ReferenceSwitches? switches = null, LinkProfile? profile = null, SimNat? nat = null)
    {
        SimHost host = Network.AddHost($"reference{_nextNode}", nat: nat, profile: profile ?? Line);
        var reference = new ReferenceHost(this, host, switches ?? new ReferenceSwitches());
        _references.Add(reference);
        _referenceIds[reference] = _nextNode++;
        reference.Start();
        return reference;
    }

    /// <summary>Mutual trust as a completed handshake leaves it.</summary>
    public void Befriend(OurHost ours, ReferenceHost reference)
    {
        ours.Trust(reference.NodeId, reference.Identity);
        reference.Trust(ours.NodeId);
        Rendezvous.AddPair(ours.NodeId, reference.NodeId);
    }

    public void Settle() => Expect(
        () => _ours.TrueForAll(o => o.Node is { IsBeaconAnswering: true }) && _references.TrueForAll(r => r.Node is not null), 5, "settled");

    /// <summary>Runs until it holds; a failure if that takes longer than so many seconds.</summary>
    public TimeSpan Expect(Func<bool> condition, double seconds, string what)
    {
        Instant start = Now;
        Assert.True(Network.RunUntil(condition, TimeSpan.FromSeconds(seconds)), $"not within {seconds} s: {what}");
        return Now - start;
    }

    /// <summary>A dial from us and its echo.</summary>
    public TimeSpan Echo(OurHost ours, ReferenceHost reference, double seconds, int size = 1000)
    {
        OurStream stream = ours.Dial(reference, 7);
        stream.Source = new Flow(_nextSalt, size);
        stream.Sink = new Flow(_nextSalt++, size);
        TimeSpan taken = Expect(() => stream.Sink.IsDone, seconds, "echo of the reference");
        ours.Use(_ => stream.Connection.Close(Now));
        return taken;
    }

    /// <summary>A dial from the reference and its echo.</summary>
    public TimeSpan Echo(ReferenceHost reference, OurHost ours, double seconds, int size = 1000)
    {
        ReferenceConnection connection = reference.Dial(ours, 7);
        connection.Source = new Flow(_nextSalt, size);
        connection.Sink = new Flow(_nextSalt++, size);
        TimeSpan taken = Expect(() => connection.Sink.IsDone, seconds, "our echo");
        reference.Use(node => node.Close(Now, connection));
        return taken;
    }

    public void RunFor(double seconds) => Network.Run(TimeSpan.FromSeconds(seconds));

    public (uint NodeId, IReferenceRegistry Registry) Register(ReferenceHost host, UdpEndpoint endpoint)
    {
        uint id = _referenceIds[host];
        Rendezvous.Register(id, host.Identity, endpoint, host.IsPublic);
        return (id, Rendezvous);
    }

    /// <summary>How many keys a node of ours has shown.</summary>
    public int KeysOf(OurHost ours) => Keys.Count(item => item.Host == ours.Host);

    /// <summary>Only frames to the beacon pass from now on.</summary>
    public void BlockDirect() => Filter = frame => frame.To == Rendezvous.Beacon ? null : Fate.Drop;

    /// <summary>The way of every datagram of a node to its link.</summary>
    public void Send(SimHost host, UdpEndpoint to, byte[] datagram)
    {
        var frame = new SentFrame(host, to, datagram);
        if (frame.IsExchange)
        {
            Keys.Add((host, frame.Key));
        }

        Fate fate = Filter?.Invoke(frame) ?? Fate.Pass;
        for (int i = 0; i < fate.Copies; i++)
        {
            if (fate.Delay == TimeSpan.Zero)
            {
                host.Send(to, datagram);
            }
            else
            {
                Network.After(fate.Delay, () => host.Send(to, datagram));
            }
        }
    }
}
