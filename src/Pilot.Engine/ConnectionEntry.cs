using Pilot.Engine.Paths;
using Pilot.Engine.Streams;
using Pilot.Engine.Tunnels;
using Pilot.Protocol;

namespace Pilot.Engine;

/// <summary>A connection's place in the node: its peer, its turn to send, its deadline, its news for the host.</summary>
internal sealed class ConnectionEntry(Connection connection, Peer? peer, ConnectionKey key) : DeadlineItem
{
    public Connection Connection { get; } = connection;

    /// <summary>The tunnel peer; null for a connection of the node with itself.</summary>
    public Peer? Peer { get; } = peer;

    public ConnectionKey Key { get; } = key;

    /// <summary>The peer's tunnel key under which its last packet of this connection came.</summary>
    public byte[]? PeerKey { get; set; }

    /// <summary>The listener that is to get the connection when it is open.</summary>
    public Listener? Listener { get; set; }

    /// <summary>Stands in the node's queue of connections that may have something to send.</summary>
    public bool IsReady { get; set; }

    /// <summary>Stands in the node's queue of connections with news.</summary>
    public bool HasNews { get; set; }

    /// <summary>Counted against the limits: neither CLOSED nor TIME_WAIT.</summary>
    public bool IsCounted { get; set; }

    public bool IsRemoved { get; set; }

    public ConnectionSignals Signals { get; set; }

    public override Instant Deadline => IsRemoved ? Instant.Never : Connection.Deadline;

    public void OnPathChanged(Instant now, PeerPath path)
    {
        Connection.MaxSegmentPayload = path.MaxPayload;
        Connection.OnPathChanged(now);
    }
}

/// <summary>What tells connections apart: ports and the remote node; its network number does not count (spec 02 section 2).</summary>
internal readonly record struct ConnectionKey(ushort LocalPort, uint RemoteNode, ushort RemotePort);

/// <summary>A bound port with the connections that nobody accepted yet.</summary>
public sealed class Listener
{
    internal Listener(ushort port, int backlog)
    {
        Port = port;
        Backlog = backlog;
    }

    /// <summary>The local port.</summary>
    public ushort Port { get; }

    /// <summary>Connections that may wait to be accepted; further ones are refused with RST.</summary>
    public int Backlog { get; }

    internal Queue<Connection> Waiting { get; } = new();

    internal int Connections { get; set; }

    internal bool IsClosed { get; set; }
}
