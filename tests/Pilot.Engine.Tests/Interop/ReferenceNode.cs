using Pilot.Engine.Tests.Simulation;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Interop;

/// <summary>
/// A double of one process of the reference daemon as it is seen on the wire, written from the spec chapters alone, defects
/// included: tunnels (01), beacon and relay (04), streams (02, each connection a <see cref="Streams.ReferencePeer"/>) and trust
/// (05). It is held against the captured vectors by <see cref="ReferenceVectorTests"/>. Deterministic: time and chance come in.
/// </summary>
internal sealed partial class ReferenceNode
{
    private static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(30);
    private const int RouterQueue = 1024;   // packets between reader and router (01 §7)
    private const int SocketBuffer = 212992; // Linux default, counted as the kernel does (02 §17.2)

    private readonly ReferenceSwitches _switches;
    private readonly IReferenceRegistry _registry;
    private readonly UdpEndpoint? _beacon;
    private readonly SimRandom _random;
    private readonly Action<UdpEndpoint, byte[]> _send;
    private readonly Instant _start;
    private readonly DateTimeOffset _wallAtStart;
    private readonly Queue<(UdpEndpoint Source, byte[] Datagram)> _socket = new();
    private readonly Queue<(PacketHeader Header, byte[] Payload)> _router = new();
    private int _socketBytes;
    private Instant _readAt = Instant.Never;
    private Instant _heartbeatAt;
    private bool _isRouting;

    public ReferenceNode(
        uint nodeId, Identity identity, ReadOnlySpan<byte> x25519Private, ReferenceSwitches switches, IReferenceRegistry registry,
        UdpEndpoint? beacon, SimRandom random, Instant now, DateTimeOffset wallClock, Action<UdpEndpoint, byte[]> send)
    {
        NodeId = nodeId;
        Identity = identity;
        _switches = switches;
        _registry = registry;
        _beacon = switches.HasNoBeacon ? null : beacon;
        _random = random;
        _send = send;
        _start = now;
        _wallAtStart = wallClock;
        _x25519Private = x25519Private.ToArray();
        X25519.GetPublicKey(_x25519Private, _x25519Public);
        _heartbeatAt = now + Heartbeat;
        Listen(7, connection => connection.IsEcho = true);
        ListenForTrust();
        Discover();
    }

    public uint NodeId { get; }

    public Identity Identity { get; }

    public PilotAddress Address => PilotAddress.OfNode(NodeId);

    /// <summary>When <see cref="HandleTimeout"/> is to be called.</summary>
    public Instant Deadline
    {
        get
        {
            Instant next = Instant.Min(_heartbeatAt, _readAt);
            foreach (ReferenceConnection connection in _connections)
            {
                next = Instant.Min(next, connection.Deadline);
            }

            return next;
        }
    }

    /// <summary>Datagrams that the socket had no room for.</summary>
    public int SocketDrops { get; private set; }

    public void Receive(Instant now, UdpEndpoint source, byte[] datagram)
    {
        if (_switches.PacketTime == TimeSpan.Zero)
        {
            Read(now, source, datagram);
            return;
        }

        int cost = SocketCost(datagram.Length);
        if (_socketBytes + cost > SocketBuffer)
        {
            SocketDrops++;
            return;
        }

        _socketBytes += cost;
        _socket.Enqueue((source, datagram));
        _readAt = _readAt == Instant.Never ? now + _switches.PacketTime : _readAt;
    }

    public void HandleTimeout(Instant now)
    {
        if (_readAt <= now && _socket.TryDequeue(out var item))
        {
            _socketBytes -= SocketCost(item.Datagram.Length);
            _readAt = _socket.Count > 0 ? now + _switches.PacketTime : Instant.Never;
            Read(now, item.Source, item.Datagram);
        }

        if (_heartbeatAt <= now)
        {
            _heartbeatAt = now + Heartbeat;
            _registry.Heartbeat(NodeId);
            Discover();
            PollTrust(now);
        }

        foreach (ReferenceConnection connection in _connections.ToArray())
        {
            if (connection.Deadline <= now)
            {
                connection.HandleDeadline(now);
                AfterConnection(now, connection);
            }
        }
    }

    private long UnixSeconds(Instant now) => (_wallAtStart + (now - _start)).ToUnixTimeSeconds();

    private void Read(Instant now, UdpEndpoint source, byte[] datagram)
    {
        OnDatagram(now, source, datagram);
        RunRouter(now);
    }

    private void PassToRouter(in PacketHeader header, ReadOnlySpan<byte> payload)
    {
        if (_router.Count >= RouterQueue)
        {
            SocketDrops++; // the reader waits; what comes meanwhile overflows the socket
            return;
        }

        _router.Enqueue((header, payload.ToArray()));
    }

    /// <summary>One router for all connections; it stands still while any of them has no room (02 §5.5).</summary>
    private void RunRouter(Instant now)
    {
        if (_isRouting)
        {
            return;
        }

        _isRouting = true;
        while (!RouterIsStopped && _router.TryDequeue(out var packet))
        {
            Route(now, packet.Header, packet.Payload);
        }

        _isRouting = false;
        RunTrust(now);
    }

    public bool RouterIsStopped => _connections.Exists(static connection => connection.Peer.RouterIsStopped);

    private void Route(Instant now, in PacketHeader header, byte[] payload)
    {
        switch (header.Protocol)
        {
            case PacketProtocol.Stream:
                OnStream(now, header, payload);
                break;
            case PacketProtocol.Datagram:
                OnDatagramPacket(header, payload);
                break;
            case PacketProtocol.Control when header.DestinationPort == 0 && _switches.AnswersPings:
                PingsAnswered++;
                SendPacket(header.Source.Node, new PacketHeader
                {
                    Protocol = PacketProtocol.Control,
                    Flags = PacketFlags.Ack,
                    Source = Address,
                    Destination = header.Source,
                    DestinationPort = header.SourcePort,
                    Sequence = header.Sequence,
                    Acknowledgement = header.Sequence + 1,
                }, payload);
                break;
        }
    }

    /// <summary>Control packets to port 0, every one of them answered (01 §3.7).</summary>
    public int PingsAnswered { get; private set; }

    private static int SocketCost(int length) => length switch
    {
        <= 256 => 832,
        <= 1536 => 2304,
        <= 3584 => 4608,
        <= 8000 => 8448,
        _ => (length + 16383) / 16384 * 16640,
    };
}
