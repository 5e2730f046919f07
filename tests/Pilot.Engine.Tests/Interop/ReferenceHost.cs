using Pilot.Engine.Tests.Simulation;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Interop;

/// <summary>The machine of a reference node: identity, trust and node id outlive its processes.</summary>
internal sealed class ReferenceHost
{
    private readonly IReferenceSite _site;
    private readonly ReferenceSwitches _switches;
    private readonly List<uint> _trusted = [];
    private readonly Dictionary<ushort, Action<ReferenceConnection>> _listeners = [];
    private Instant _wakeAt = Instant.Never;
    private int _epoch;

    public ReferenceHost(IReferenceSite site, SimHost host, ReferenceSwitches switches)
    {
        _site = site;
        _switches = switches;
        Host = host;
        byte[] seed = new byte[Ed25519.SeedSize];
        site.Network.Random.Child($"identity {host.Name}").Fill(seed);
        Identity = new Identity(seed);
    }

    public SimHost Host { get; }

    /// <summary>Given by the registry.</summary>
    public uint NodeId { get; private set; }

    public bool IsPublic => _switches.IsPublic;

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
        Host.Send(_site.Beacon, probe);
        _site.Network.After(TimeSpan.FromSeconds(5), () =>
        {
            // Sent once; without an answer the local address has to do.
            if (epoch == _epoch && Node is null)
            {
                Run(epoch, Host.Local);
            }
        });
    }

    /// <summary>The process is killed.</summary>
    public void Crash()
    {
        _epoch++;
        Node = null;
        Host.Received = null;
        _site.Network.Log.Note(Now, "reference crashed");
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
    public ReferenceConnection Dial(OurHost target, ushort port) => Dial(target.NodeId, port);

    public ReferenceConnection Dial(uint target, ushort port)
    {
        ReferenceConnection? connection = Node!.Dial(Now, target, port, out string? error);
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

    private Instant Now => _site.Network.Now;

    public override string ToString() => Node is null ? "reference down" :
        $"reference {NodeId}: exchanges sent {Node.ExchangesSent}, accepted {Node.ExchangesAccepted}, alias refusals {Node.AliasRefusals}, opened {Node.PacketsOpened}, replay drops {Node.ReplayDrops}, "
        + $"no key {Node.UnknownKeyDrops}, undecryptable {Node.DecryptionFailures}, socket drops {Node.SocketDrops}, router stopped {Node.RouterIsStopped}, connections "
        + string.Join(", ", Node.Connections.Select(c => $"{c.LocalPort}-{c.RemotePort} {c.Peer.State} queued {c.Peer.QueuedSegments} unsent {c.Peer.HasUnsent}"));

    private void Run(int epoch, UdpEndpoint observed)
    {
        UdpEndpoint registered = _switches.RegistersWrongPort ? observed with { Port = (ushort)(observed.Port ^ 0x0404) } : observed;
        (NodeId, IReferenceRegistry registry) = _site.Register(this, registered);
        SimRandom random = _site.Network.Random.Child($"reference {NodeId} {epoch}");
        byte[] key = new byte[32];
        random.Fill(key);
        Node = new ReferenceNode(
            NodeId, Identity, key, _switches, registry, _site.Beacon, random, Now, _site.Network.Wall, (to, bytes) => _site.Send(Host, to, bytes));
        _trusted.ForEach(Node.Trust);
        foreach ((ushort port, Action<ReferenceConnection> accepted) in _listeners)
        {
            Node.Listen(port, accepted);
        }

        Host.Received = (source, bytes) =>
        {
            Node?.Receive(Now, source, bytes);
            Reschedule();
        };
        Reschedule();
    }

    private void Reschedule()
    {
        if (Node is { } node && node.Deadline is var next && next < _wakeAt)
        {
            Instant at = Instant.Max(next, Now);
            int epoch = _epoch;
            _wakeAt = at;
            _site.Network.Schedule(at, () =>
            {
                if (at == _wakeAt)
                {
                    _wakeAt = Instant.Never;
                }

                if (epoch == _epoch)
                {
                    Node!.HandleTimeout(Now);
                    Reschedule();
                }
            });
        }
    }
}
