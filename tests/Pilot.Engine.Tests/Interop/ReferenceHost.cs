using Pilot.Engine.Tests.Simulation;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Interop;

/// <summary>The machine of a reference node: identity, trust and node id outlive its processes.</summary>
internal sealed class ReferenceHost
{
    private readonly InteropWorld _world;
    private readonly ReferenceSwitches _switches;
    private readonly List<uint> _trusted = [];
    private readonly Dictionary<ushort, Action<ReferenceConnection>> _listeners = [];
    private Instant _wakeAt = Instant.Never;
    private int _epoch;

    public ReferenceHost(InteropWorld world, SimHost host, uint nodeId, ReferenceSwitches switches)
    {
        _world = world;
        _switches = switches;
        Host = host;
        NodeId = nodeId;
        byte[] seed = new byte[Ed25519.SeedSize];
        world.Network.Random.Child($"identity {nodeId}").Fill(seed);
        Identity = new Identity(seed);
    }

    public SimHost Host { get; }

    public uint NodeId { get; }

    public Identity Identity { get; }

    /// <summary>The running process; null while it is down or starting.</summary>
    public ReferenceNode? Node { get; private set; }

    /// <summary>Starts a process: the probe of 04 §5 from the listen port, then registration, then the tunnel socket.</summary>
    public void Start()
    {
        int epoch = ++_epoch;
        Host.Received = (_, bytes) =>
        {
            if (epoch == _epoch && BeaconDiscoverReply.TryParse(bytes, out BeaconDiscoverReply reply))
            {
                Run(epoch, reply.Observed);
            }
        };
        byte[] probe = new byte[BeaconDiscover.Size];
        new BeaconDiscover(0).Write(probe);
        Host.Send(_world.Rendezvous.Beacon, probe);
    }

    /// <summary>The process is killed.</summary>
    public void Crash()
    {
        _epoch++;
        Node = null;
        Host.Received = null;
        _world.Network.Log.Note(_world.Now, "reference crashed");
    }

    public void Trust(uint nodeId)
    {
        _trusted.Add(nodeId);
        Node?.Trust(nodeId);
    }

    public void Listen(ushort port, Action<ReferenceConnection> accepted)
    {
        _listeners[port] = accepted;
        Node?.Listen(port, accepted);
    }

    /// <summary>Dials; must be able to begin.</summary>
    public ReferenceConnection Dial(OurHost target, ushort port)
    {
        ReferenceConnection? connection = Node!.Dial(_world.Now, target.NodeId, port, out string? error);
        Assert.True(connection is not null, error);
        Reschedule();
        return connection;
    }

    /// <summary>Does something with the process and sets its alarm anew.</summary>
    public void Use(Action<ReferenceNode> action)
    {
        action(Node!);
        Reschedule();
    }

    public override string ToString() => Node is null ? "reference down" :
        $"reference {NodeId}: exchanges sent {Node.ExchangesSent}, accepted {Node.ExchangesAccepted}, alias refusals {Node.AliasRefusals}, opened {Node.PacketsOpened}, replay drops {Node.ReplayDrops}, "
        + $"no key {Node.UnknownKeyDrops}, undecryptable {Node.DecryptionFailures}, socket drops {Node.SocketDrops}, router stopped {Node.RouterIsStopped}, connections "
        + string.Join(", ", Node.Connections.Select(c => $"{c.LocalPort}-{c.RemotePort} {c.Peer.State} queued {c.Peer.QueuedSegments} unsent {c.Peer.HasUnsent}"));

    private void Run(int epoch, UdpEndpoint observed)
    {
        SimRandom random = _world.Network.Random.Child($"reference {NodeId} {epoch}");
        byte[] key = new byte[32];
        random.Fill(key);
        UdpEndpoint registered = _switches.RegistersWrongPort ? observed with { Port = (ushort)(observed.Port ^ 0x0404) } : observed;
        _world.Rendezvous.Register(NodeId, Identity, registered, _switches.IsPublic);
        Node = new ReferenceNode(
            NodeId, Identity, key, _switches, _world.Rendezvous, _world.Rendezvous.Beacon, random, _world.Now, _world.Network.Wall,
            (to, bytes) => _world.Send(Host, to, bytes));
        _trusted.ForEach(Node.Trust);
        foreach ((ushort port, Action<ReferenceConnection> accepted) in _listeners)
        {
            Node.Listen(port, accepted);
        }

        Host.Received = (source, bytes) =>
        {
            Node?.Receive(_world.Now, source, bytes);
            Reschedule();
        };
        Reschedule();
    }

    private void Reschedule()
    {
        if (Node is { } node && node.Deadline is var next && next < _wakeAt)
        {
            Instant at = Instant.Max(next, _world.Now);
            int epoch = _epoch;
            _wakeAt = at;
            _world.Network.Schedule(at, () =>
            {
                if (at == _wakeAt)
                {
                    _wakeAt = Instant.Never;
                }

                if (epoch == _epoch)
                {
                    Node!.HandleTimeout(_world.Now);
                    Reschedule();
                }
            });
        }
    }
}
