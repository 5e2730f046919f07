using Pilot.Engine.Streams;
using Pilot.Engine.Trust;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Simulation;

/// <summary>
/// A simulated daemon: an engine node, a trust book, a registry client and a few services on one host. Its identity and
/// trust files survive a crash, nothing else does.
/// </summary>
internal sealed class SimNode
{
    public const ushort EchoPort = 7;
    public const ushort SinkPort = 1000;
    private static readonly TimeSpan HeartbeatInterval = TimeSpan.FromSeconds(30);

    private readonly Simulation _simulation;
    private readonly ISimRegistry _registry;
    private readonly byte[] _buffer = new byte[80_000];
    private readonly Dictionary<ushort, Listener> _listeners = [];
    private PollSchedule _polls = new();
    private Instant _wakeAt = Instant.Never;
    private Instant _heartbeatAt = Instant.Never;
    private int _epoch;
    private bool _isPumping;
    private bool _isRegistering;
    private string _trustFile = TrustFile.Format([], []);
    private string _extensionFile = TrustExtensionFile.Format(TrustExtension.Empty);

    public SimNode(Simulation simulation, string name, SimHost host, ISimRegistry registry)
    {
        _simulation = simulation;
        _registry = registry;
        Name = name;
        Host = host;
        byte[] seed = new byte[Ed25519.SeedSize];
        simulation.Network.Random.Child($"identity {name}").Fill(seed);
        Identity = new Identity(seed);
        Book = new TrustBook(Identity);
    }

    public string Name { get; }

    public SimHost Host { get; }

    public Identity Identity { get; }

    public string Hostname { get; init; } = "";

    public bool IsPublic { get; set; }

    /// <summary>Beacons other than the rendezvous'; empty = that one.</summary>
    public List<UdpEndpoint> Beacons { get; } = [];

    public IReadOnlyList<ushort> Networks { get; init; } = [];

    /// <summary>Null while the process is down.</summary>
    public Node? Node { get; private set; }

    public TrustBook Book { get; private set; }

    public uint NodeId { get; private set; }

    public Instant Now => _simulation.Network.Now;

    public TrustClock Clock => new(Now, _simulation.Network.Wall);

    public List<NodeEvent> Events { get; } = [];

    public List<ReceivedDatagram> Datagrams { get; } = [];

    public List<TrustEvent> TrustEvents { get; } = [];

    public List<MessageVerdict> Verdicts { get; } = [];

    public Dictionary<long, TrustCommandResult> Results { get; } = [];

    public int Registrations { get; private set; }

    public bool IsRegistered => Node is { NodeId: not 0 };

    /// <summary>Starts the process: a new engine, new X25519 keys, the files of the last run.</summary>
    public void Start()
    {
        int epoch = ++_epoch;
        var random = _simulation.Network.Random.Child($"node {Name} {epoch}");
        Node = new Node(new NodeOptions { IsPublic = IsPublic }, Identity, random, Now, _simulation.Network.Wall);
        Node.SetNetworks(Networks);
        Assert.True(TrustFile.TryParse(_trustFile, out IReadOnlyList<TrustedPeer> trusted, out IReadOnlyList<PendingRequest> pending, out _));
        Assert.True(TrustExtensionFile.TryParse(_extensionFile, out TrustExtension extension, out _));
        Book = new TrustBook(Identity, trusted, pending, extension) { AutoApprove = Book.AutoApprove };
        Book.SetNetworks(Networks);
        Node.SetTrust(Book.Snapshot);
        Node.SetBeacons(Now, Beacons.Count > 0 ? [.. Beacons] : [_registry.Beacon]);
        Node.SetLocalEndpoints([Host.Local]);
        _polls = new PollSchedule();
        _wakeAt = Instant.Never;
        _listeners.Clear();
        foreach (ushort port in new[] { EchoPort, SinkPort, TrustLimits.Port })
        {
            _listeners[port] = Node.Listen(port)!;
        }

        Host.Received = OnDatagram;
        _heartbeatAt = Instant.Never;
        _isRegistering = false;
        Register();
        Pump();
    }

    /// <summary>The process is killed.</summary>
    public void Crash()
    {
        _epoch++;
        Node = null;
        Host.Received = null;
        _registry.Disconnect(this);
        _simulation.Network.Log.Note(Now, $"{Name} crashed");
    }

    public SimTransfer Transfer(SimNode to, long size, bool isEcho = false, TimeSpan? timeout = null) =>
        Transfer(to.NodeId, size, isEcho, timeout);

    /// <summary>Dials and sends; the simulation verifies every byte at the other end.</summary>
    public SimTransfer Transfer(uint target, long size, bool isEcho = false, TimeSpan? timeout = null)
    {
        Connection? connection = Node!.Dial(Now, target, isEcho ? EchoPort : SinkPort, timeout ?? TimeSpan.FromSeconds(15), out string? error);
        SimTransfer transfer = _simulation.NewTransfer(size, isEcho);
        transfer.StartedAt = Now;
        if (connection is null)
        {
            transfer.Error = ConnectionError.Unreachable;
            transfer.ErrorDetail = error;
            return transfer;
        }

        _simulation.Expect(NodeId, connection.LocalPort, target, transfer);
        connection.Owner = new SourceApp(this, connection, transfer);
        Pump();
        return transfer;
    }

    /// <summary>A command on the trust book, as the local user gives it.</summary>
    public long Command(Func<TrustBook, TrustClock, long> command)
    {
        long token = command(Book, Clock);
        _polls.TrustAction(Now);
        Pump();
        return token;
    }

    public void Use(Action<Node> action)
    {
        action(Node!);
        Pump();
    }

    internal void OnTrustMessage(uint from, byte[] message)
    {
        int epoch = _epoch;
        _registry.Lookup(this, from, answer => IfAlive(epoch, () =>
        {
            // Unreachable registry: the key that the tunnel verified is the one that the node's directory holds.
            Verdicts.Add(Book.ReceiveDirect(Clock, message, from, answer.PublicKey));
        }));
    }

    private void OnDatagram(UdpEndpoint source, byte[] bytes)
    {
        Node!.ReceiveDatagram(Now, source, bytes);
        Pump();
    }

    private void IfAlive(int epoch, Action action)
    {
        if (epoch == _epoch)
        {
            action();
            Pump();
        }
    }

    private void Register()
    {
        if (_isRegistering)
        {
            return;
        }

        int epoch = _epoch;
        _isRegistering = true;
        _registry.Register(this, id => IfAlive(epoch, () =>
        {
            _isRegistering = false;
            if (id is null)
            {
                _polls.Unregistered();
                _simulation.Network.After(TimeSpan.FromSeconds(1), () => IfAlive(epoch, Register));
                return;
            }

            Registrations++;
            NodeId = id.Value;
            Node!.SetRegistered(Now, id.Value);
            Book.Registered(id.Value);
            _polls.Registered(Now);
            _heartbeatAt = Now + HeartbeatInterval;
        }));
    }

    private void Heartbeat()
    {
        int epoch = _epoch;
        _heartbeatAt = Now + HeartbeatInterval;
        _registry.Heartbeat(this, known => IfAlive(epoch, () =>
        {
            if (known is null)
            {
                _polls.Unregistered();
                _heartbeatAt = Now + TimeSpan.FromSeconds(2);
            }
            else if (known == false)
            {
                Register();
            }
            else
            {
                Book.RegistryAvailable();
                _polls.Registered(Now);
            }
        }));
    }

    private void Poll()
    {
        int epoch = _epoch;
        _polls.Sent();
        _registry.Poll(this, answer => IfAlive(epoch, () =>
        {
            _polls.Finished(Now);
            if (answer is { } messages)
            {
                Book.ReceivePoll(Clock, messages.Requests, messages.Responses);
            }
            else
            {
                // As the daemon: a lost registry connection is noticed by whatever uses it, and made again at once.
                _polls.Unregistered();
                _heartbeatAt = Now + TimeSpan.FromSeconds(1);
            }
        }));
    }

    private void OnTimer(int epoch, Instant at)
    {
        if (epoch != _epoch || at != _wakeAt)
        {
            return;
        }

        _wakeAt = Instant.Never;
        if (Node!.NextDeadline <= Now)
        {
            Node.HandleTimeout(Now);
        }

        if (Book.NextDeadline <= Now)
        {
            Book.Advance(Clock);
        }

        if (_heartbeatAt <= Now)
        {
            Heartbeat();
        }

        if (_polls.NextPoll <= Now)
        {
            Poll();
        }

        Pump();
    }

    /// <summary>Carries everything out that came out, until nothing more does; then sets the alarm.</summary>
    private void Pump()
    {
        if (_isPumping || Node is null)
        {
            return;
        }

        _isPumping = true;
        int epoch = _epoch;
        for (int rounds = 0; ; rounds++)
        {
            Assert.True(rounds < 10_000, $"{Name} does not come to rest");
            bool moved = false;
            while (Node.TryGetEvent(out NodeEvent nodeEvent))
            {
                OnEvent(epoch, nodeEvent);
                moved = true;
            }

            while (Book.TryGetEffect(Clock, out TrustEffect? effect))
            {
                OnEffect(epoch, effect);
                moved = true;
            }

            while (Node.Transmit(Now, _buffer, out Transmit transmit) is var length and > 0)
            {
                for (int offset = 0; offset < length; offset += transmit.SegmentSize)
                {
                    Host.Send(transmit.Destination, _buffer.AsSpan(offset, Math.Min(transmit.SegmentSize, length - offset)));
                }

                moved = true;
            }

            if (!moved && !Node.HasEvents)
            {
                break;
            }
        }

        _isPumping = false;
        _simulation.CheckBounds(this);
        Instant wake = Instant.Min(Instant.Min(Node.NextDeadline, Book.NextDeadline), Instant.Min(_polls.NextPoll, _heartbeatAt));
        if (wake < _wakeAt)
        {
            Instant at = Instant.Max(wake, Now);
            if (at == Now)
            {
                // A deadline that is due although everything due was done: allowed, if it does not repeat for ever.
                _simulation.CountImmediateWake(this);
            }

            _wakeAt = at;
            _simulation.Network.Schedule(at, () => OnTimer(epoch, at));
        }
    }

    private void OnEvent(int epoch, in NodeEvent nodeEvent)
    {
        uint target = nodeEvent.NodeId;
        switch (nodeEvent.Kind)
        {
            case NodeEventKind.Connection:
                (nodeEvent.Connection!.Owner as SimApp)?.Handle(nodeEvent.Signals);
                break;
            case NodeEventKind.Incoming:
                OnIncoming(nodeEvent.Port);
                break;
            case NodeEventKind.Datagram:
                Datagrams.Add(nodeEvent.Datagram!);
                break;
            case NodeEventKind.ResolveNeeded:
                _registry.Resolve(this, target, answer => IfAlive(epoch, () => Node!.CompleteResolve(Now, target, answer)));
                break;
            case NodeEventKind.LookupNeeded:
                _registry.Lookup(this, target, answer => IfAlive(epoch, () =>
                {
                    Node!.CompleteLookup(Now, target, new LookupAnswer(answer.IsAvailable, answer.PublicKey, answer.Networks));
                    Book.CompleteLookup(Clock, target, answer);
                }));
                break;
            case NodeEventKind.TrustCheckNeeded:
                Node!.CompleteTrustCheck(Now, target, isAvailable: false, isTrusted: false);
                break;
            case NodeEventKind.MappingChanged:
                if (IsRegistered)
                {
                    Register();
                }

                Events.Add(nodeEvent);
                break;
            default:
                Events.Add(nodeEvent);
                break;
        }
    }

    private void OnIncoming(ushort port)
    {
        while (Node!.Accept(_listeners[port]) is { } connection)
        {
            SimApp app = port == TrustLimits.Port
                ? new TrustReceiveApp(this, connection)
                : new SinkApp(this, connection, _simulation.Find(connection.RemoteAddress.Node, connection.RemotePort, NodeId));
            connection.Owner = app;
            app.Handle(ConnectionSignals.Opened);
        }
    }

    private void OnEffect(int epoch, TrustEffect effect)
    {
        switch (effect)
        {
            case TrustEffect.SendDirect direct:
                SendDirect(direct);
                break;
            case TrustEffect.LookupKey lookup:
                _registry.Lookup(this, lookup.NodeId, answer => IfAlive(epoch, () => Book.CompleteLookup(Clock, lookup.NodeId, answer)));
                break;
            case TrustEffect.RequestHandshake request:
                _registry.Send(this, effect, (answered, error) => IfAlive(epoch, () => Book.CompleteRegistry(Clock, request.Token, answered, error)));
                break;
            case TrustEffect.RespondHandshake respond:
                _registry.Send(this, effect, (answered, error) => IfAlive(epoch, () => Book.CompleteRegistry(Clock, respond.Token, answered, error)));
                break;
            case TrustEffect.ReportTrust report:
                _registry.Send(this, effect, (answered, error) => IfAlive(epoch, () => Book.CompleteRegistry(Clock, report.Token, answered, error)));
                break;
            case TrustEffect.RevokeTrust revoke:
                _registry.Send(this, effect, (answered, error) => IfAlive(epoch, () => Book.CompleteRegistry(Clock, revoke.Token, answered, error)));
                break;
            case TrustEffect.Save:
                _trustFile = Book.FormatTrustFile();
                _extensionFile = Book.FormatExtensionFile();
                break;
            case TrustEffect.TrustChanged:
                Node!.SetTrust(Book.Snapshot);
                break;
            case TrustEffect.PeerRevoked revoked:
                Node!.DropPeer(Now, revoked.NodeId);
                break;
            case TrustEffect.PollSoon:
                _polls.TrustAction(Now);
                break;
            case TrustEffect.Raise raise:
                TrustEvents.Add(raise.Event);
                break;
            case TrustEffect.CommandFinished finished:
                Results[finished.Token] = finished.Result;
                break;
        }
    }

    private void SendDirect(TrustEffect.SendDirect effect)
    {
        bool hasTunnel = Node!.GetPeers(Now).Any(peer => peer.NodeId == effect.NodeId && peer.IsConfirmed);
        Connection? connection = effect.ExistingTunnelOnly && !hasTunnel
            ? null
            : Node.Dial(Now, effect.NodeId, TrustLimits.Port, TimeSpan.FromSeconds(15), out _);
        if (connection is null)
        {
            Book.CompleteDirect(Clock, effect.Token, isDelivered: false);
            return;
        }

        connection.Owner = new TrustSendApp(this, connection, effect);
    }
}
