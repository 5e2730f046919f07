using Pilot.Engine.Tests.Streams;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Interop;

// Connections (02): table, dispatch, opening with its limits, dial schedule with the switch to the relay (04 §8), datagrams.
internal sealed partial class ReferenceNode
{
    private const int FirstEphemeralPort = 49152;
    private const int SynRate = 100;
    private const int SynRatePerSource = 10;

    private readonly List<ReferenceConnection> _connections = [];
    private readonly Dictionary<ushort, Action<ReferenceConnection>> _listeners = [];
    private readonly HashSet<uint> _trusted = [];
    private readonly Dictionary<uint, SynBucket> _synSources = [];
    private readonly SynBucket _synGlobal = new(SynRate);
    private ushort _nextPort = FirstEphemeralPort;

    // Whole tokens; the fraction of a second is lost (02 §4.2).
    private sealed class SynBucket(int perSecond)
    {
        private readonly int _rate = perSecond;
        private int _tokens = perSecond;
        private Instant _filledAt;

        public bool Take(Instant now)
        {
            if (_filledAt == default)
            {
                _filledAt = now;
            }

            double added = Math.Floor((now - _filledAt).TotalSeconds * _rate);
            if (added >= 1)
            {
                _tokens = (int)Math.Min(_rate, _tokens + added);
                _filledAt = now;
            }

            return _tokens > 0 && _tokens-- > 0;
        }
    }

    public IReadOnlyList<ReferenceConnection> Connections => _connections;

    public List<(PacketHeader Header, byte[] Data)> Datagrams { get; } = [];

    /// <summary>SYN packets that were refused without an answer (gate and limits).</summary>
    public int SynsRefused { get; private set; }

    public void Listen(ushort port, Action<ReferenceConnection> accepted) => _listeners[port] = accepted;

    public void Trust(uint nodeId) => _trusted.Add(nodeId);

    /// <summary>Opens a stream (04 §8); null with the error text when the endpoint is not known.</summary>
    public ReferenceConnection? Dial(Instant now, uint target, ushort port, out string? error)
    {
        error = EnsureEndpoint(target);
        if (error is not null)
        {
            return null;
        }

        PilotAddress remote = PilotAddress.OfNode(target);
        ushort local = NextPort();
        bool mayChange = _beacon is not null && !_relayed.Contains(target);
        var peer = new ReferencePeer(Address, local)
        {
            ReadsAlways = false,
            HasNagle = _switches.HasNagle,
            RecordDelay = _switches.RecordDelay,
            ProcessStart = _start,
            SynSeconds = mayChange ? [0, 1, 3, 7, 9, 13, 21] : [0, 1, 3, 7, 15, 23, 31],
            BeforeSyn = number =>
            {
                if (mayChange && number == 3)
                {
                    _relayed.Add(target);
                }
            },
        };
        peer.Dial(now, remote, port);
        ReferenceConnection connection = Add(peer, remote, local, port);
        AfterConnection(now, connection);
        return connection;
    }

    /// <summary>The application ends a stream: FIN at once.</summary>
    public void Close(Instant now, ReferenceConnection connection)
    {
        connection.Peer.Close(now);
        AfterConnection(now, connection);
    }

    /// <summary>The application changed something on its stream.</summary>
    public void Touch(Instant now, ReferenceConnection connection)
    {
        AfterConnection(now, connection);
        RunRouter(now);
    }

    /// <summary>The daemon stops: FIN on every open stream (02 §12.1).</summary>
    public void Stop(Instant now)
    {
        foreach (ReferenceConnection connection in _connections.ToArray())
        {
            Close(now, connection);
        }
    }

    public string? SendDatagram(uint target, ushort port, ReadOnlySpan<byte> data) =>
        EnsureEndpoint(target) ?? SendPacket(target, new PacketHeader
        {
            Protocol = PacketProtocol.Datagram,
            Source = Address,
            Destination = PilotAddress.OfNode(target),
            SourcePort = NextPort(),
            DestinationPort = port,
        }, data);

    /// <summary>A packet made by hand, as a test needs it.</summary>
    public string? SendRaw(uint target, in PacketHeader header, ReadOnlySpan<byte> payload) => EnsureEndpoint(target) ?? SendPacket(target, header, payload);

    private bool IsTrusted(uint nodeId) => _switches.IsPublic || _trusted.Contains(nodeId) || _records.ContainsKey(nodeId) || _registry.CheckTrust(NodeId, nodeId);

    private void OnDatagramPacket(in PacketHeader header, byte[] payload)
    {
        if (payload.Length > 0 && IsTrusted(header.Source.Node))
        {
            Datagrams.Add((header, payload));
        }
    }

    private void OnStream(Instant now, in PacketHeader header, byte[] payload)
    {
        PacketHeader packet = header;
        ReferenceConnection? connection = _connections.Find(c =>
            c.LocalPort == packet.DestinationPort && c.RemotePort == packet.SourcePort && c.RemoteAddress == packet.Source);
        bool isSyn = (header.Flags & (PacketFlags.Syn | PacketFlags.Ack)) == PacketFlags.Syn;
        if (isSyn && !_listeners.ContainsKey(header.DestinationPort))
        {
            Reset(header); // before the gate (12)
        }
        else if (connection is not null)
        {
            connection.Peer.Receive(now, header, payload);
            AfterConnection(now, connection);
        }
        else if (isSyn)
        {
            OnSyn(now, header);
        }
    }

    private void OnSyn(Instant now, in PacketHeader header)
    {
        uint source = header.Source.Node;
        if (!_synSources.TryGetValue(source, out SynBucket? bucket))
        {
            _synSources[source] = bucket = new SynBucket(SynRatePerSource);
        }

        if (!IsTrusted(source) || !_synGlobal.Take(now) || !bucket.Take(now))
        {
            SynsRefused++;
            return;
        }

        var peer = new ReferencePeer(Address, header.DestinationPort)
        {
            ReadsAlways = false,
            HasNagle = _switches.HasNagle,
            RecordDelay = _switches.RecordDelay,
            ProcessStart = _start,
        };
        ReferenceConnection connection = Add(peer, header.Source, header.DestinationPort, header.SourcePort);
        peer.Receive(now, header, []);
        _listeners[header.DestinationPort](connection);
        AfterConnection(now, connection);
    }

    private void Reset(in PacketHeader cause) => SendPacket(cause.Source.Node, new PacketHeader
    {
        Protocol = PacketProtocol.Stream,
        Flags = PacketFlags.Rst,
        Source = Address,
        Destination = cause.Source,
        SourcePort = cause.DestinationPort,
        DestinationPort = cause.SourcePort,
    }, []);

    private ReferenceConnection Add(ReferencePeer peer, PilotAddress remote, ushort local, ushort port)
    {
        var connection = new ReferenceConnection(peer, remote, local, port);
        peer.OnRead = connection.Take;
        _connections.Add(connection);
        return connection;
    }

    private void AfterConnection(Instant now, ReferenceConnection connection)
    {
        connection.Run(now);
        Span<byte> packet = new byte[Packet.HeaderSize + Packet.MaxPayload];
        while (connection.Peer.TryTransmit(now, packet, out int length))
        {
            SendPacket(connection.RemoteAddress.Node, packet[..length].ToArray());
        }

        if (connection.Peer.State == "CLOSED" && _connections.Remove(connection) && !connection.WasOpen)
        {
            connection.OnFailed?.Invoke();
        }
    }

    // After 65535 comes 0, and it never returns (01 §3.4).
    private ushort NextPort()
    {
        ushort port;
        do
        {
            port = _nextPort++;
        }
        while (_connections.Exists(c => c.LocalPort == port && c.Peer.State is not ("CLOSED" or "TIME_WAIT")));
        return port;
    }
}
