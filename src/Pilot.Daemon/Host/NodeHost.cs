using Microsoft.Extensions.Logging;
using Pilot.Daemon.Ipc;
using Pilot.Daemon.Loop;
using Pilot.Daemon.Streams;
using Pilot.Engine;
using Pilot.Engine.Streams;
using Pilot.Ipc;
using Pilot.Protocol;

namespace Pilot.Daemon.Host;

/// <summary>
/// What the daemon builds around the node: owners of streams, bound ports, dials, pings, questions to the registry. Everything here
/// belongs to the loop thread.
/// </summary>
internal sealed partial class NodeHost
{
    private static readonly TimeSpan RestAfter = TimeSpan.FromSeconds(3);

    private readonly ILogger _logger;
    private readonly Dictionary<ushort, BoundPort> _ports = [];
    private readonly Dictionary<long, PingOperation> _pings = [];
    private readonly HashSet<StreamBridge> _bridges = [];
    private readonly ConnectionResults _results = new();
    private readonly Dictionary<uint, List<Action<NodeEvent>>> _watchers = [];
    private readonly RestingMemory _memory;
    private long _nextToken;

    public NodeHost(EngineLoop loop, ILogger logger)
    {
        Loop = loop;
        _logger = logger;
        _memory = new RestingMemory(loop, RestAfter);
        loop.EventSink = OnEvent;
    }

    public EngineLoop Loop { get; }

    public Node Node => Loop.Node;

    public Instant Now => Loop.Now;

    /// <summary>Questions of the node about a peer; answered through <see cref="Node"/> later. Set by the registry side.</summary>
    public Action<uint>? ResolveAsked { get; set; }

    public Action<uint>? LookupAsked { get; set; }

    public Action<uint>? TrustCheckAsked { get; set; }

    /// <summary>The beacon sees the socket at a new endpoint.</summary>
    public Action<UdpEndpoint>? MappingChanged { get; set; }

    /// <summary>A beacon stopped answering.</summary>
    public Action? BeaconUnreachable { get; set; }

    /// <summary>A datagram for the local clients.</summary>
    public Action<ReceivedDatagram>? DatagramArrived { get; set; }

    /// <summary>A step of hole punching: peer, <see cref="PunchEvent.Step"/>, endpoint.</summary>
    public Action<uint, string, UdpEndpoint>? Punching { get; set; }

    /// <summary>What is known about the NAT changed.</summary>
    public Action? NatChanged { get; set; }

    /// <summary>Beacons' configured names by address, for people. Loop thread.</summary>
    public IReadOnlyDictionary<UdpEndpoint, string> BeaconNames { get; set; } = new Dictionary<UdpEndpoint, string>();

    /// <summary>A peer's path changed, or it became reachable.</summary>
    public Action<uint, PathStatus>? PathChanged { get; set; }

    /// <summary>Which hostname a node has, as far as known.</summary>
    public Func<uint, string?> HostnameOf { get; set; } = static _ => null;

    /// <summary>Binds a port for a built-in service; its streams go to <paramref name="accepted"/>.</summary>
    public void BindService(ushort port, int backlog, Action<Connection> accepted) =>
        _ports.Add(port, new BoundPort(Node.Listen(port, backlog) ?? throw new FatalException($"port {port} already bound"), accepted));

    /// <summary>Tells the node that a connection was used.</summary>
    public void Touch(Connection connection) => Node.Touch(Now, connection);

    /// <summary>Hands a client's connection over to a stream.</summary>
    public void Attach(Connection connection, in HandedOver client)
    {
        StreamBridge? bridge = null;
        bridge = new StreamBridge(Loop, connection, client, ended =>
        {
            _results.Add(Now, ended);
            if (bridge is not null)
            {
                _bridges.Remove(bridge);
            }
        });

        if (_results.Find(connection.Id) is null)
        {
            _bridges.Add(bridge);
        }
    }

    /// <summary>Gives up a connection that no client took.</summary>
    public void Discard(Connection connection)
    {
        connection.Owner = null;
        connection.Abort(Now);
        Touch(connection);
        _results.Add(Now, connection);
    }

    /// <summary>Clean stop: every stream gets its FIN after what clients have written so far.</summary>
    public void CloseAll()
    {
        foreach (var bridge in _bridges.ToArray())
        {
            bridge.CloseForShutdown();
        }

        foreach (var port in _ports.Values)
        {
            port.Fail(new CommandException(IpcErrorCode.Cancelled, "the daemon stops"));
        }

        foreach (var connection in Node.Connections.ToArray())
        {
            connection.Close(Now);
            Touch(connection);
        }
    }

    /// <summary>Watches one peer's events (progress of a dial) until the returned action is called.</summary>
    private Action WatchPeer(uint nodeId, Action<NodeEvent> handler)
    {
        if (!_watchers.TryGetValue(nodeId, out var list))
        {
            _watchers.Add(nodeId, list = []);
        }

        list.Add(handler);
        return () =>
        {
            list.Remove(handler);
            if (list.Count == 0)
            {
                _watchers.Remove(nodeId);
            }
        };
    }

    private void OnEvent(NodeEvent nodeEvent)
    {
        CountSoon();
        _memory.Note();
        switch (nodeEvent.Kind)
        {
            case NodeEventKind.Connection:
                if (nodeEvent.Connection!.Owner is IStreamOwner owner)
                {
                    owner.OnSignals(nodeEvent.Connection, nodeEvent.Signals);
                }

                break;
            case NodeEventKind.Incoming:
                OnIncoming(nodeEvent.Port);
                break;
            case NodeEventKind.Datagram:
                DatagramArrived?.Invoke(nodeEvent.Datagram!);
                break;
            case NodeEventKind.ResolveNeeded:
                Watched(nodeEvent);
                ResolveAsked?.Invoke(nodeEvent.NodeId);
                break;
            case NodeEventKind.LookupNeeded:
                LookupAsked?.Invoke(nodeEvent.NodeId);
                break;
            case NodeEventKind.TrustCheckNeeded:
                TrustCheckAsked?.Invoke(nodeEvent.NodeId);
                break;
            case NodeEventKind.MappingChanged:
                _logger.LogInformation("beacon sees this node at {Endpoint}", nodeEvent.Endpoint);
                MappingChanged?.Invoke(nodeEvent.Endpoint);
                break;
            case NodeEventKind.BeaconUnreachable:
                _logger.LogWarning("beacon {Endpoint} does not answer", nodeEvent.Endpoint);
                BeaconUnreachable?.Invoke();
                break;
            case NodeEventKind.NatChanged:
                _logger.LogInformation("NAT type is {Type}", NatWords.Type(Node.Nat.Type));
                NatChanged?.Invoke();
                break;
            case NodeEventKind.PunchRequested:
                Punching?.Invoke(nodeEvent.NodeId, PunchEvent.Requested, nodeEvent.Endpoint);
                Watched(nodeEvent);
                break;
            case NodeEventKind.PunchReceived:
                _logger.LogDebug("punch of node {NodeId} from {Endpoint}", nodeEvent.NodeId, nodeEvent.Endpoint);
                Punching?.Invoke(nodeEvent.NodeId, PunchEvent.Received, nodeEvent.Endpoint);
                Watched(nodeEvent);
                break;
            case NodeEventKind.PathChanged:
                _logger.LogInformation("path to node {NodeId} is {Path} via {Endpoint}", nodeEvent.NodeId, PathText(nodeEvent.Path), nodeEvent.Path.Endpoint);
                PathChanged?.Invoke(nodeEvent.NodeId, nodeEvent.Path);
                Watched(nodeEvent);
                break;
            case NodeEventKind.PeerConnected:
                _logger.LogInformation("tunnel with node {NodeId} is up", nodeEvent.NodeId);
                Watched(nodeEvent);
                break;
            case NodeEventKind.PingResult:
                OnPingResult(nodeEvent);
                break;
            case NodeEventKind.Refused:
                _logger.LogDebug("{Refusal} from node {NodeId} port {Port}", nodeEvent.Detail, nodeEvent.NodeId, nodeEvent.Port);
                break;
            default:
                break;
        }
    }

    private void Watched(in NodeEvent nodeEvent)
    {
        if (_watchers.TryGetValue(nodeEvent.NodeId, out var list))
        {
            foreach (var handler in list.ToArray())
            {
                handler(nodeEvent);
            }
        }
    }

    public static string PathText(PathStatus path) => path.Kind switch
    {
        PathKind.Lan => PathName.Lan,
        PathKind.Relay => PathName.Relay,
        _ => path.IsPunched ? PathName.HolePunch : PathName.Direct,
    };

    /// <summary>The beacon of a relayed path by its name; null for other paths.</summary>
    public string? ViaOf(PathStatus path) => path.Kind == PathKind.Relay ? BeaconNames.GetValueOrDefault(path.Endpoint) ?? path.Endpoint.ToString() : null;
}
