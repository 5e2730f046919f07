using System.Diagnostics;
using Pilot.Daemon.Loop;
using Pilot.Daemon.Streams;
using Pilot.Engine;
using Pilot.Engine.Streams;
using Pilot.Ipc;

namespace Pilot.Daemon.Host;

/// <summary>Dials and pings.</summary>
internal sealed partial class NodeHost
{
    /// <summary>Limit of a dial whose caller gives none (02 §4.5).</summary>
    public static readonly TimeSpan DefaultDialTimeout = TimeSpan.FromSeconds(15);

    /// <summary>Begins a dial. Its task fails with <see cref="CommandException"/>.</summary>
    public DialOperation Dial(uint nodeId, ushort port, TimeSpan timeout, Action<ProgressEvent>? progress)
    {
        var operation = new DialOperation(this);
        var connection = Node.Dial(Now, nodeId, port, timeout, out var error);
        if (connection is null)
        {
            operation.Fail(RefusedDial(error!));
            return operation;
        }

        connection.Owner = operation;
        operation.Connection = connection;
        if (progress is not null && nodeId != Node.NodeId)
        {
            var started = Stopwatch.GetTimestamp();
            progress(Stage("connecting"));
            operation.Unwatch = WatchPeer(nodeId, nodeEvent =>
            {
                var stage = nodeEvent.Kind switch
                {
                    NodeEventKind.ResolveNeeded => Stage("resolving"),
                    NodeEventKind.PunchRequested => Stage("punching") with { Endpoint = nodeEvent.Endpoint.ToString() },
                    NodeEventKind.PunchReceived => Stage("punched") with { Endpoint = nodeEvent.Endpoint.ToString() },
                    NodeEventKind.PeerConnected => Stage("tunnel"),
                    NodeEventKind.PathChanged => Stage("path") with
                    {
                        Path = PathText(nodeEvent.Path),
                        Endpoint = nodeEvent.Path.Endpoint.ToString(),
                        RttMs = nodeEvent.Path.Rtt?.TotalMilliseconds,
                    },
                    _ => null,
                };
                if (stage is not null)
                {
                    progress(stage);
                }
            });

            ProgressEvent Stage(string name) => new() { Stage = name, NodeId = nodeId, ElapsedMs = Stopwatch.GetElapsedTime(started).TotalMilliseconds };
        }

        return operation;
    }

    /// <summary>Pings a peer through its tunnel, which is built if needed.</summary>
    public Task<PingData> Ping(uint nodeId, TimeSpan timeout)
    {
        var operation = new PingOperation(nodeId, Stopwatch.GetTimestamp());
        var token = ++_nextToken;
        _pings.Add(token, operation);
        Loop.RefreshNow();
        Node.Ping(Now, nodeId, token, timeout);
        return operation.Result.Task;
    }

    /// <summary>The raw reply's description of a stream.</summary>
    public RawReply Describe(Connection connection)
    {
        var node = connection.RemoteAddress.Node;
        var path = Node.PathOf(Now, connection);
        return new RawReply
        {
            Conn = connection.Id,
            Local = $"{connection.LocalAddress}:{connection.LocalPort}",
            Remote = $"{connection.RemoteAddress}:{connection.RemotePort}",
            Path = node == Node.NodeId ? PathName.Loopback : path is { } known ? PathText(known) : PathName.None,
            RttMs = path?.Rtt?.TotalMilliseconds ?? (node == Node.NodeId ? 0 : null),
            Endpoint = path?.Endpoint.ToString() ?? string.Empty,
            Hostname = HostnameOf(node),
            HalfClose = connection.PeerIsExtended,
        };
    }

    /// <summary>The failure of a dial in the words of 08 §5, with what to do about it (00 §4 row 10).</summary>
    internal static CommandException DialFailure(Connection connection)
    {
        var detail = connection.ErrorDetail;
        return connection.Error switch
        {
            ConnectionError.Refused when detail is null => new CommandException(IpcErrorCode.Refused, "connection refused", "nothing listens on that port"),
            ConnectionError.Refused or ConnectionError.NotFound or ConnectionError.Unreachable => RefusedDial(detail ?? ConnectionResults.Text(connection.Error)),
            ConnectionError.Timeout => new CommandException(IpcErrorCode.Timeout, detail is null ? "dial timeout" : $"dial timeout: {detail}"),
            ConnectionError.Aborted => new CommandException(IpcErrorCode.Cancelled, detail ?? "dial cancelled"),
            _ => new CommandException(IpcErrorCode.Unreachable, detail ?? ConnectionResults.Text(connection.Error)),
        };
    }

    /// <summary>Why a datagram could not be sent.</summary>
    internal static CommandException SendFailure(string error) => RefusedDial($"sendto: {error}");

    private static CommandException RefusedDial(string error) =>
        error.Contains("not found", StringComparison.Ordinal) ? new CommandException(IpcErrorCode.NotFound, error)
        : error.Contains("request failed", StringComparison.Ordinal) || error.Contains("denied", StringComparison.Ordinal) || error.Contains("revoked", StringComparison.Ordinal)
            ? new CommandException(IpcErrorCode.NotTrusted, error, "the node is private: establish trust first with pilotctl handshake")
        : error.Contains("not registered", StringComparison.Ordinal) ? new CommandException(IpcErrorCode.RegistryUnavailable, error)
        : error.Contains("too many", StringComparison.Ordinal) || error.Contains("no free", StringComparison.Ordinal) ? new CommandException(IpcErrorCode.LimitReached, error)
        : new CommandException(IpcErrorCode.Unreachable, error);

    private void OnPingResult(in NodeEvent nodeEvent)
    {
        if (!_pings.Remove(nodeEvent.Token, out var operation))
        {
            return;
        }

        if (nodeEvent.Error != ConnectionError.None)
        {
            var text = nodeEvent.Detail ?? (nodeEvent.Error == ConnectionError.Timeout ? "no answer" : ConnectionResults.Text(nodeEvent.Error));
            operation.Result.TrySetException(nodeEvent.Error == ConnectionError.Timeout ? new CommandException(IpcErrorCode.Timeout, text) : RefusedDial(text));
            return;
        }

        var isSelf = nodeEvent.NodeId == Node.NodeId;
        operation.Result.TrySetResult(new PingData
        {
            NodeId = nodeEvent.NodeId,
            RttMs = nodeEvent.Rtt.TotalMilliseconds,
            TotalMs = Stopwatch.GetElapsedTime(operation.Started).TotalMilliseconds,
            Path = isSelf ? PathName.Loopback : PathText(nodeEvent.Path),
            Endpoint = isSelf ? string.Empty : nodeEvent.Path.Endpoint.ToString(),
            Via = isSelf ? null : ViaOf(nodeEvent.Path),
        });
    }

    private sealed record PingOperation(uint NodeId, long Started)
    {
        public TaskCompletionSource<PingData> Result { get; } = new();
    }
}

/// <summary>A pending <c>dial</c>: owns the connection until a bridge takes it.</summary>
internal sealed class DialOperation(NodeHost host) : IStreamOwner
{
    private readonly TaskCompletionSource<Connection> _result = new();

    public Task<Connection> Task => _result.Task;

    public Connection? Connection { get; set; }

    public Action? Unwatch { get; set; }

    public void OnSignals(Connection connection, ConnectionSignals signals)
    {
        if ((signals & ConnectionSignals.Opened) != 0)
        {
            End();
            _result.TrySetResult(connection);
        }
        else if ((signals & (ConnectionSignals.Failed | ConnectionSignals.Closed)) != 0)
        {
            Fail(NodeHost.DialFailure(connection));
        }
    }

    /// <summary>The client went away. Loop thread.</summary>
    public void Cancel()
    {
        if (_result.TrySetCanceled())
        {
            End();
            if (Connection is { } connection)
            {
                host.Discard(connection);
            }
        }
    }

    public void Fail(Exception exception)
    {
        End();
        _result.TrySetException(exception);
    }

    private void End()
    {
        Unwatch?.Invoke();
        Unwatch = null;
    }
}
