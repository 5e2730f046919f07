using Pilot.Engine.Limits;
using Pilot.Engine.Streams;
using Pilot.Engine.Trust;
using Pilot.Engine.Tunnels;
using Pilot.Protocol;

namespace Pilot.Engine;

/// <summary>Stream connections: ports, dials, the gates of incoming SYN packets, and dispatch (spec 02 sections 1 to 4).</summary>
public sealed partial class Node
{
    /// <summary>Payload per packet of a connection with the node itself: nothing is on a wire.</summary>
    private const int LoopbackSegment = 60_000;

    /// <summary>SYN packets per second of one trusted peer: a lane of its own, wide enough to open many streams at once (spec 00 rule 21).</summary>
    private const int TrustedSynRate = 5000;

    private readonly Dictionary<ConnectionKey, ConnectionEntry> _connections = [];
    private readonly Dictionary<uint, Connection> _connectionsById = [];
    private readonly Queue<ConnectionEntry> _timeWaits = new(); // in the order in which they began
    private readonly Dictionary<ushort, Listener> _listeners = [];
    private readonly Dictionary<ushort, int> _leases = [];
    private readonly Queue<ConnectionEntry> _news = new();
    private readonly RateLimiter<uint> _synSources;
    private readonly RateLimiter<uint> _synTrusted = new(TrustedSynRate, TrustedSynRate, TunnelConstants.MaxRateSources);
    private TokenBucket _synGlobal;
    private uint _nextConnectionId;
    private ushort _nextPort;
    private int _countedConnections;
    private readonly ChunkPool _chunks;
    private Instant _trimAt = Instant.Never;

    /// <summary>Connections known, TIME_WAIT included.</summary>
    public int ConnectionCount => _connections.Count;

    /// <summary>Ports held by connections: returns to zero when all are gone.</summary>
    public int PortLeases => _leases.Count;

    /// <summary>Ended connections that are remembered: for invariants.</summary>
    public int RememberedTimeWaits => _timeWaits.Count;

    /// <summary>Bound ports.</summary>
    public int ListenerCount => _listeners.Count;

    /// <summary>All connections, for the status.</summary>
    public IEnumerable<Connection> Connections
    {
        get
        {
            foreach (ConnectionEntry entry in _connections.Values)
            {
                yield return entry.Connection;
            }
        }
    }

    /// <summary>Connections that are neither over nor waiting out their end.</summary>
    public int OpenConnectionCount => _countedConnections;

    /// <summary>The connection with this id (<see cref="Connection.Id"/>), TIME_WAIT included; null when there is none.</summary>
    public Connection? FindConnection(uint id) => _connectionsById.GetValueOrDefault(id);

    /// <summary>The path that a connection's packets take now; null for a loop-back connection or an unknown one.</summary>
    public PathStatus? PathOf(Instant now, Connection connection) =>
        Find(connection)?.Peer?.SendPath(now)?.Status;

    /// <summary>Binds a port. Null if it is bound already, or, for port 0, if no ephemeral port is free.</summary>
    public Listener? Listen(ushort port, int backlog = 64)
    {
        if (port == 0)
        {
            if (FreePort(static (node, candidate) => !node._listeners.ContainsKey(candidate) && !node._leases.ContainsKey(candidate)) is not { } free)
            {
                return null;
            }

            port = free;
        }

        var listener = new Listener(port, backlog);
        return _listeners.TryAdd(port, listener) ? listener : null;
    }

    /// <summary>Unbinds a port; connections that nobody accepted are reset.</summary>
    public void Unlisten(Instant now, Listener listener)
    {
        if (listener.IsClosed || !_listeners.TryGetValue(listener.Port, out Listener? bound) || bound != listener)
        {
            return;
        }

        listener.IsClosed = true;
        _listeners.Remove(listener.Port);
        while (listener.Waiting.TryDequeue(out Connection? waiting))
        {
            waiting.Abort(now);
            Touch(now, waiting);
        }
    }

    /// <summary>The next connection that waits at a listener, or null.</summary>
    public Connection? Accept(Listener listener) => listener.Waiting.TryDequeue(out Connection? connection) ? connection : null;

    /// <summary>
    /// Opens a connection. It is returned at once; <see cref="ConnectionSignals.Opened"/> or
    /// <see cref="ConnectionSignals.Failed"/> follows as an event. Null with a reason when it cannot even be tried.
    /// </summary>
    public Connection? Dial(Instant now, uint nodeId, ushort port, TimeSpan timeout, out string? error)
    {
        error = Unreachable(nodeId);
        if (error is null && _countedConnections >= _options.MaxConnections)
        {
            error = $"too many connections (limit {_options.MaxConnections})";
        }
        else if (error is null && !_chunks.CanAdmit)
        {
            error = $"too many connections for the memory of stream buffers ({_options.BufferLimit >> 20} MiB)";
        }

        if (error is not null)
        {
            return null;
        }

        ushort? local = FreePort((node, candidate) => !node._listeners.ContainsKey(candidate) && !node._connections.ContainsKey(new ConnectionKey(candidate, nodeId, port)))
            ?? ReusedPort(now, nodeId, port);
        if (local is null)
        {
            error = "no free local port";
            return null;
        }

        bool isLoopback = nodeId == _context.NodeId;
        Peer? peer = isLoopback ? null : Wanted(now, nodeId);
        Connection connection = Connection.Dial(
            NextConnectionId(), Address, local.Value, PilotAddress.OfNode(nodeId), port, _context.Random.NextUInt32() & 0x7FFF_FFFF, _options.Streams, _chunks, now, timeout);
        Add(now, new ConnectionEntry(connection, peer, new ConnectionKey(local.Value, nodeId, port)));
        peer?.EnsureContact(now);
        if (peer is not null)
        {
            _deadlines.Update(peer);
        }

        return connection;
    }

    /// <summary>Tells the node that the host used a connection: it may have something to send, or another deadline.</summary>
    public void Touch(Instant now, Connection connection)
    {
        if (Find(connection) is { } entry)
        {
            AfterConnection(now, entry);
        }
    }

    private ConnectionEntry? Find(Connection connection) =>
        _connections.TryGetValue(new ConnectionKey(connection.LocalPort, connection.RemoteAddress.Node, connection.RemotePort), out ConnectionEntry? entry)
        && entry.Connection == connection ? entry : null;

    private void OnStreamPacket(Instant now, Peer? peer, in PacketHeader header, ReadOnlySpan<byte> payload)
    {
        uint remote = header.Source.Node;
        var key = new ConnectionKey(header.DestinationPort, remote, header.SourcePort);
        bool isSyn = (header.Flags & (PacketFlags.Syn | PacketFlags.Ack)) == PacketFlags.Syn;
        if (_connections.TryGetValue(key, out ConnectionEntry? entry))
        {
            if (peer is not null)
            {
                peer.LastUsed = now;
            }

            bool isNewProcess = peer is not null && entry.PeerKey is { } before && !before.AsSpan().SequenceEqual(peer.OpenedUnder);
            if (isSyn && entry.Connection.IsNewIncarnation(header, isNewProcess))
            {
                // Another SYN than the one that opened it: the peer's process is new, the old connection is dead.
                entry.Connection.Replace(now);
                AfterConnection(now, entry);
                Remove(entry);
            }
            else
            {
                entry.PeerKey = isSyn ? entry.PeerKey : peer?.OpenedUnder;
                entry.Connection.Receive(now, header, payload);
                AfterConnection(now, entry);
                if (entry.Connection.PeerIsExtended && peer is not null)
                {
                    peer.IsOurs = true;
                }

                return;
            }
        }

        if (isSyn)
        {
            OnSyn(now, peer, header, payload, key);
        }
        else if (!payload.IsEmpty || (header.Flags & (PacketFlags.Syn | PacketFlags.Ack)) == (PacketFlags.Syn | PacketFlags.Ack))
        {
            // Data or SYN-ACK for a connection that we do not have: the peer should know (spec 02 section 3.2).
            if ((header.Flags & PacketFlags.Rst) == 0 && peer is not null && IsAdmitted(now, peer, header.DestinationPort) && peer.TakeReset(now))
            {
                SendReset(now, peer, header);
            }
        }
    }

    private bool IsAdmitted(Instant now, Peer? peer, ushort port) =>
        peer is null || Admit(now, peer.NodeId, peer.IdentityKey, port) == AdmissionDecision.Allowed;

    private void OnSyn(Instant now, Peer? peer, in PacketHeader header, ReadOnlySpan<byte> payload, ConnectionKey key)
    {
        // The gate comes first, so that a stranger sees the same silence for open and closed ports.
        if (peer is not null && !IsAdmitted(now, peer, header.DestinationPort))
        {
            _context.Events.Add(new NodeEvent { Kind = NodeEventKind.Refused, NodeId = peer.NodeId, Port = header.DestinationPort, Detail = "syn.rejected" });
            return;
        }

        bool isTrusted = peer is not null && _trust.IsTrusted(peer.NodeId, peer.IdentityKey);
        if (peer is not null && !(isTrusted ? _synTrusted.TryTake(now, peer.NodeId) : _synSources.TryTake(now, peer.NodeId) && _synGlobal.TryTake(now)))
        {
            _context.Events.Add(new NodeEvent { Kind = NodeEventKind.Refused, NodeId = peer.NodeId, Port = header.DestinationPort, Detail = "security.syn_rate_limited" });
            return;
        }

        if (!_listeners.TryGetValue(header.DestinationPort, out Listener? listener)
            || listener.Connections >= _options.MaxConnectionsPerPort || _countedConnections >= _options.MaxConnections || !_chunks.CanAdmit
            || listener.Waiting.Count >= listener.Backlog)
        {
            SendReset(now, peer, header);
            return;
        }

        Connection connection = Connection.Accept(
            NextConnectionId(), header, payload, _context.Random.NextUInt32() & 0x7FFF_FFFF, _options.Streams, _chunks, now);
        if (peer is not null)
        {
            peer.LastUsed = now;
            peer.IsOurs |= connection.PeerIsExtended;
        }

        var entry = new ConnectionEntry(connection, peer, key) { Listener = listener, PeerKey = peer?.OpenedUnder };
        listener.Connections++;
        Add(now, entry);
        listener.Waiting.Enqueue(connection);
        _context.Events.AddCertain(new NodeEvent { Kind = NodeEventKind.Incoming, NodeId = key.RemoteNode, Port = listener.Port, Connection = connection });
    }

    private void SendReset(Instant now, Peer? peer, in PacketHeader cause)
    {
        var reset = new PacketHeader
        {
            Protocol = PacketProtocol.Stream,
            Flags = PacketFlags.Rst,
            Source = cause.Destination,
            Destination = cause.Source,
            SourcePort = cause.DestinationPort,
            DestinationPort = cause.SourcePort,
        };
        if (peer is not null)
        {
            peer.Send(now, reset, []);
        }
        else
        {
            OnStreamPacket(now, null, reset, []);
        }
    }

    private void Add(Instant now, ConnectionEntry entry)
    {
        _connections.Add(entry.Key, entry);
        _connectionsById.Add(entry.Connection.Id, entry.Connection);
        ref int lease = ref System.Runtime.InteropServices.CollectionsMarshal.GetValueRefOrAddDefault(_leases, entry.Key.LocalPort, out _);
        lease++;
        entry.IsCounted = true;
        _countedConnections++;
        entry.Peer?.Connections.Add(entry);
        if (entry.Peer?.Paths.Best is { } path)
        {
            entry.Connection.MaxSegmentPayload = path.MaxPayload;
            entry.Peer.StartSegmentSizeSearch(now);
        }
        else if (entry.Peer is null)
        {
            entry.Connection.MaxSegmentPayload = LoopbackSegment;
        }

        AfterConnection(now, entry);
    }

    /// <summary>After anything happened to a connection: its turn, its deadline, its news, its end.</summary>
    private void AfterConnection(Instant now, ConnectionEntry entry)
    {
        if (entry.IsRemoved)
        {
            return;
        }

        ConnectionSignals signals = entry.Connection.TakeSignals();
        if (signals != ConnectionSignals.None)
        {
            entry.Signals |= signals;
            if (!entry.HasNews)
            {
                entry.HasNews = true;
                _news.Enqueue(entry);
            }

            if ((signals & (ConnectionSignals.Finished | ConnectionSignals.Closed)) != 0)
            {
                Uncount(entry);
            }

            if ((signals & ConnectionSignals.Finished) != 0 && entry.Connection.State == ConnectionState.TimeWait)
            {
                KeepOnlyRecentTimeWaits(now, entry);
                if (entry.IsRemoved)
                {
                    return;
                }
            }

            if ((signals & ConnectionSignals.Closed) != 0)
            {
                SendNow(now, entry);
                Remove(entry);
                return;
            }
        }

        if (_trimAt == Instant.Never && _chunks.HasSpare)
        {
            _trimAt = now + TrimInterval;
        }

        if (entry.Connection.SuspectsSegmentSize)
        {
            entry.Peer?.VerifySegmentSize(now);
        }

        MarkReady(now, entry); // may set a timer: pacing, or the probe of a closed window
        _deadlines.Update(entry);
    }

    private void Uncount(ConnectionEntry entry)
    {
        if (entry.IsCounted)
        {
            entry.IsCounted = false;
            _countedConnections--;
            if (entry.Listener is { } listener)
            {
                listener.Connections--;
            }
        }
    }

    private void Remove(ConnectionEntry entry)
    {
        if (entry.IsRemoved)
        {
            return;
        }

        entry.IsRemoved = true;
        Uncount(entry);
        _connections.Remove(entry.Key);
        _connectionsById.Remove(entry.Connection.Id);
        _deadlines.Remove(entry);
        while (_timeWaits.TryPeek(out ConnectionEntry? oldest) && oldest.IsRemoved)
        {
            _timeWaits.Dequeue(); // they end nearly in order, and are not to be held beyond that
        }

        entry.Peer?.Connections.Remove(entry);
        if (_leases.TryGetValue(entry.Key.LocalPort, out int lease))
        {
            if (lease <= 1)
            {
                _leases.Remove(entry.Key.LocalPort);
            }
            else
            {
                _leases[entry.Key.LocalPort] = lease - 1;
            }
        }
    }

    private bool TryGetConnectionEvent(out NodeEvent nodeEvent)
    {
        while (_news.TryDequeue(out ConnectionEntry? entry))
        {
            entry.HasNews = false;
            ConnectionSignals signals = entry.Signals;
            entry.Signals = ConnectionSignals.None;
            if (signals != ConnectionSignals.None)
            {
                nodeEvent = new NodeEvent
                {
                    Kind = NodeEventKind.Connection,
                    NodeId = entry.Key.RemoteNode,
                    Connection = entry.Connection,
                    Signals = signals,
                    Port = entry.Key.LocalPort,
                };
                return true;
            }
        }

        nodeEvent = default;
        return false;
    }

    private uint NextConnectionId()
    {
        do
        {
            _nextConnectionId++;
        }
        while (_nextConnectionId == 0 || _connectionsById.ContainsKey(_nextConnectionId));

        return _nextConnectionId;
    }

    /// <summary>
    /// Every ephemeral port has a connection with this port of the peer: the one that has been in TIME_WAIT for longest gives its port up.
    /// The new SYN has another initial number, which the peer takes for a new connection (spec 02 section 12.2).
    /// </summary>
    private ushort? ReusedPort(Instant now, uint nodeId, ushort port)
    {
        ushort? reused = FreePort((node, candidate) => node._connections.TryGetValue(new ConnectionKey(candidate, nodeId, port), out ConnectionEntry? old)
            && old.Connection.State == ConnectionState.TimeWait);
        if (reused is { } local)
        {
            EndTimeWait(now, _connections[new ConnectionKey(local, nodeId, port)]);
        }

        return reused;
    }

    private void EndTimeWait(Instant now, ConnectionEntry entry)
    {
        entry.Connection.Replace(now);
        AfterConnection(now, entry);
    }

    /// <summary>The connection is over for its application: from here on it is only remembered, and there is a bound on that.</summary>
    private void KeepOnlyRecentTimeWaits(Instant now, ConnectionEntry entry)
    {
        _timeWaits.Enqueue(entry);
        while (_connections.Count - _countedConnections > _options.MaxTimeWaits && _timeWaits.TryDequeue(out ConnectionEntry? oldest))
        {
            if (!oldest.IsRemoved && oldest.Connection.State == ConnectionState.TimeWait)
            {
                EndTimeWait(now, oldest);
            }
        }
    }

    /// <summary>The next free ephemeral port, from a random start upward, so that a port is not used again soon (spec 02 section 4.6).</summary>
    private ushort? FreePort(Func<Node, ushort, bool> isFree)
    {
        const int range = 65_536 - TunnelConstants.FirstEphemeralPort;
        for (int i = 0; i < range; i++)
        {
            ushort candidate = _nextPort;
            _nextPort = candidate == ushort.MaxValue ? (ushort)TunnelConstants.FirstEphemeralPort : (ushort)(candidate + 1);
            if (isFree(this, candidate))
            {
                return candidate;
            }
        }

        return null;
    }
}
