using Pilot.Engine.Streams;
using Pilot.Engine.Tests.Simulation;
using Pilot.Engine.Trust;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Interop;

/// <summary>A node of ours on a simulated host: the engine, a registry client without trust logic, an echo on port 7, and streams driven by flows.</summary>
internal sealed class OurHost
{
    private static readonly TimeSpan RegistryOneWay = TimeSpan.FromMilliseconds(20);

    private readonly InteropWorld _world;
    private readonly bool _isPublic;
    private readonly byte[] _buffer = new byte[80_000];
    private readonly List<TrustedPeer> _trusted = [];
    private readonly Dictionary<ushort, Action<OurStream>> _accepting = [];
    private readonly Dictionary<ushort, Listener> _listeners = [];
    private Instant _wakeAt = Instant.Never;
    private bool _isPumping;
    private int _epoch;

    public OurHost(InteropWorld world, SimHost host, uint nodeId, bool isPublic)
    {
        _world = world;
        _isPublic = isPublic;
        Host = host;
        NodeId = nodeId;
        byte[] seed = new byte[Ed25519.SeedSize];
        world.Network.Random.Child($"identity {nodeId}").Fill(seed);
        Identity = new Identity(seed);
        _accepting[7] = static stream => stream.IsEcho = true;
    }

    public SimHost Host { get; }

    public uint NodeId { get; }

    public Identity Identity { get; }

    public ConnectionOptions Options { get; set; } = new();

    /// <summary>Null while the process is down.</summary>
    public Node? Node { get; private set; }

    public List<ReceivedDatagram> Datagrams { get; } = [];

    public List<NodeEvent> Events { get; } = [];

    public List<OurStream> Streams { get; } = [];

    /// <summary>Starts a process: a new engine, the trust of before.</summary>
    public void Start()
    {
        int epoch = ++_epoch;
        Node = new Node(
            new NodeOptions { IsPublic = _isPublic, Streams = Options }, Identity, _world.Network.Random.Child($"ours {NodeId} {epoch}"), _world.Now, _world.Network.Wall);
        Node.SetTrust(TrustSnapshot.Create(_trusted, [], []));
        Node.SetBeacons(_world.Now, [_world.Rendezvous.Beacon]);
        Node.SetRegistered(_world.Now, NodeId);
        _world.Rendezvous.Register(NodeId, Identity, Host.Local, _isPublic);
        _listeners.Clear();
        foreach (ushort port in _accepting.Keys)
        {
            _listeners[port] = Node.Listen(port)!;
        }

        _wakeAt = Instant.Never;
        Streams.Clear();
        Host.Received = (source, bytes) =>
        {
            Node!.ReceiveDatagram(_world.Now, source, bytes);
            Pump();
        };
        Pump();
    }

    /// <summary>The process is killed.</summary>
    public void Crash()
    {
        _epoch++;
        Node = null;
        Host.Received = null;
        _world.Network.Log.Note(_world.Now, "ours crashed");
    }

    public void Trust(uint nodeId, Identity identity)
    {
        _trusted.Add(new TrustedPeer { NodeId = nodeId, PublicKey = identity.PublicKeyText, ApprovedAt = DateTimeOffset.UnixEpoch });
        Node?.SetTrust(TrustSnapshot.Create(_trusted, [], []));
    }

    public void Listen(ushort port, Action<OurStream> accepted)
    {
        _accepting[port] = accepted;
        _listeners.TryAdd(port, Node!.Listen(port)!);
    }

    public OurStream Dial(ReferenceHost target, ushort port, double timeout = 15)
    {
        Connection? connection = Node!.Dial(_world.Now, target.NodeId, port, TimeSpan.FromSeconds(timeout), out string? error);
        Assert.True(connection is not null, error);
        var stream = new OurStream(connection);
        connection.Owner = stream;
        Streams.Add(stream);
        Pump();
        return stream;
    }

    /// <summary>Does something with the engine, then lets everything out that came of it.</summary>
    public void Use(Action<Node> action)
    {
        action(Node!);
        foreach (OurStream stream in Streams)
        {
            stream.Run(_world.Now);
            Node!.Touch(_world.Now, stream.Connection);
        }

        Pump();
    }

    public PeerStatus? Peer(ReferenceHost reference) => Node!.GetPeers(_world.Now).FirstOrDefault(peer => peer.NodeId == reference.NodeId);

    private void Pump()
    {
        if (_isPumping || Node is null)
        {
            return;
        }

        _isPumping = true;
        int epoch = _epoch;
        bool moved = true;
        while (moved)
        {
            moved = false;
            while (Node.TryGetEvent(out NodeEvent nodeEvent))
            {
                OnEvent(epoch, nodeEvent);
                moved = true;
            }

            while (Node.Transmit(_world.Now, _buffer, out Transmit transmit) is var length and > 0)
            {
                for (int offset = 0; offset < length; offset += transmit.SegmentSize)
                {
                    _world.Send(Host, transmit.Destination, _buffer.AsSpan(offset, Math.Min(transmit.SegmentSize, length - offset)).ToArray());
                }

                moved = true;
            }
        }

        _isPumping = false;
        Reschedule();
    }

    private void Reschedule()
    {
        Instant next = Node!.NextDeadline;
        foreach (OurStream stream in Streams)
        {
            next = Instant.Min(next, stream.ReadAt);
        }

        if (next >= _wakeAt)
        {
            return;
        }

        Instant at = Instant.Max(next, _world.Now);
        int epoch = _epoch;
        _wakeAt = at;
        _world.Network.Schedule(at, () =>
        {
            if (epoch != _epoch || at != _wakeAt)
            {
                return;
            }

            _wakeAt = Instant.Never;
            if (Node!.NextDeadline <= _world.Now)
            {
                Node.HandleTimeout(_world.Now);
            }

            foreach (OurStream stream in Streams)
            {
                if (stream.ReadAt <= _world.Now)
                {
                    stream.ReadAt = Instant.Never;
                    stream.Run(_world.Now);
                    Node.Touch(_world.Now, stream.Connection);
                }
            }

            Pump();
        });
    }

    private void OnEvent(int epoch, in NodeEvent nodeEvent)
    {
        uint target = nodeEvent.NodeId;
        Events.Add(nodeEvent);
        switch (nodeEvent.Kind)
        {
            case NodeEventKind.Connection when nodeEvent.Connection!.Owner is OurStream stream:
                stream.Signals |= nodeEvent.Signals;
                stream.Run(_world.Now);
                Node!.Touch(_world.Now, stream.Connection);
                break;
            case NodeEventKind.Incoming:
                OnIncoming(nodeEvent.Port);
                break;
            case NodeEventKind.Datagram:
                Datagrams.Add(nodeEvent.Datagram!);
                break;
            case NodeEventKind.ResolveNeeded:
                Ask(epoch, () => _world.Rendezvous.Resolve(NodeId, target), answer => Node!.CompleteResolve(_world.Now, target, _world.Rendezvous.IsDown
                    ? new ResolveAnswer(ResolveOutcome.Unavailable, null, [])
                    : answer is { } endpoint ? new ResolveAnswer(ResolveOutcome.Found, endpoint, []) : new ResolveAnswer(ResolveOutcome.Refused, null, [], "request failed")));
                break;
            case NodeEventKind.LookupNeeded:
                Ask(epoch, () => _world.Rendezvous.Lookup(target), answer => Node!.CompleteLookup(_world.Now, target, new LookupAnswer(!_world.Rendezvous.IsDown, answer, [])));
                break;
            case NodeEventKind.MappingChanged:
                _world.Rendezvous.Register(NodeId, Identity, nodeEvent.Endpoint, _isPublic);
                break;
        }
    }

    private void Ask<T>(int epoch, Func<T> question, Action<T> done) => _world.Network.After(RegistryOneWay, () =>
    {
        T answer = question();
        _world.Network.After(RegistryOneWay, () =>
        {
            if (epoch == _epoch)
            {
                done(answer);
                Pump();
            }
        });
    });

    private void OnIncoming(ushort port)
    {
        while (Node!.Accept(_listeners[port]) is { } connection)
        {
            var stream = new OurStream(connection) { IsOpen = true };
            connection.Owner = stream;
            Streams.Add(stream);
            _accepting[port](stream);
            stream.Run(_world.Now);
            Node.Touch(_world.Now, connection);
        }
    }
}
