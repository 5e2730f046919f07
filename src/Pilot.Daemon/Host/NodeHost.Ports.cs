using Pilot.Daemon.Loop;
using Pilot.Engine;
using Pilot.Engine.Streams;
using Pilot.Ipc;

namespace Pilot.Daemon.Host;

/// <summary>Ports that clients bind, and who waits for their streams (08 §10.3 item 7).</summary>
internal sealed partial class NodeHost
{
    public const int DefaultBacklog = 64;
    public const int MaxBacklog = 1024;
    private const int MaxPortsPerOwner = 256; // one buggy client must not take all ports (lessons 55)
    private const int MaxWaitersPerPort = 1024;

    /// <summary>Binds a port for a client. Returns the port.</summary>
    /// <param name="owner">Identity of the client's connection.</param>
    /// <exception cref="CommandException">Bound already, or too many.</exception>
    public ushort Listen(object owner, ushort port, int backlog)
    {
        if (port != 0 && _ports.ContainsKey(port))
        {
            throw new CommandException(IpcErrorCode.PortInUse, $"port {port} already bound");
        }

        if (_ports.Values.Count(bound => bound.Owner == owner) >= MaxPortsPerOwner)
        {
            throw new CommandException(IpcErrorCode.LimitReached, $"too many ports bound on one connection (limit {MaxPortsPerOwner})");
        }

        var listener = Node.Listen(port, backlog)
            ?? throw new CommandException(IpcErrorCode.PortInUse, port == 0 ? "no free port" : $"port {port} already bound");
        _ports.Add(listener.Port, new BoundPort(listener, null) { Owner = owner });
        return listener.Port;
    }

    /// <summary>Releases a port of this owner.</summary>
    /// <exception cref="CommandException">Not bound by it.</exception>
    public void Unlisten(object owner, ushort port)
    {
        if (!_ports.TryGetValue(port, out var bound) || bound.Owner != owner)
        {
            throw new CommandException(IpcErrorCode.NotFound, $"port {port} is not bound on this connection");
        }

        Release(bound);
    }

    /// <summary>Releases every port of an owner that went away.</summary>
    public void ReleasePorts(object owner)
    {
        foreach (var bound in _ports.Values.Where(bound => bound.Owner == owner).ToArray())
        {
            Release(bound);
        }
    }

    /// <summary>Waits for the next stream of a port. The returned task fails with <see cref="CommandException"/>.</summary>
    public AcceptOperation Accept(ushort port, TimeSpan timeout)
    {
        var operation = new AcceptOperation(this);
        if (!_ports.TryGetValue(port, out var bound) || bound.Accepted is not null)
        {
            operation.Fail(new CommandException(IpcErrorCode.NotFound, $"port {port} is not bound", "bind it first with listen"));
            return operation;
        }

        if (bound.Waiters.Count >= MaxWaitersPerPort)
        {
            bound.Trim();
            if (bound.Waiters.Count >= MaxWaitersPerPort)
            {
                operation.Fail(new CommandException(IpcErrorCode.LimitReached, $"too many accepts wait on port {port}"));
                return operation;
            }
        }

        bound.Waiters.Enqueue(operation);
        if (timeout > TimeSpan.Zero)
        {
            operation.Timer = Loop.StartTimer(timeout, () => operation.Fail(new CommandException(IpcErrorCode.Timeout, $"no connection on port {port} within {timeout.TotalSeconds:0.###} s")));
        }

        ServeWaiters(bound);
        return operation;
    }

    private void OnIncoming(ushort port)
    {
        if (_ports.TryGetValue(port, out var bound))
        {
            ServeWaiters(bound);
        }
    }

    private void ServeWaiters(BoundPort bound)
    {
        if (bound.Accepted is { } accepted)
        {
            while (Node.Accept(bound.Listener) is { } connection)
            {
                accepted(connection);
            }

            return;
        }

        while (bound.NextWaiter() is { } waiter)
        {
            if (Node.Accept(bound.Listener) is not { } connection)
            {
                return;
            }

            bound.Waiters.Dequeue();
            waiter.Complete(connection);
        }
    }

    private void Release(BoundPort bound)
    {
        _ports.Remove(bound.Listener.Port);
        Node.Unlisten(Now, bound.Listener);
        bound.Fail(new CommandException(IpcErrorCode.Cancelled, $"port {bound.Listener.Port} was released"));
    }

    private sealed class BoundPort(Listener listener, Action<Connection>? accepted)
    {
        public Listener Listener { get; } = listener;

        /// <summary>The built-in service behind the port; null for a client's.</summary>
        public Action<Connection>? Accepted { get; } = accepted;

        public object? Owner { get; init; }

        public Queue<AcceptOperation> Waiters { get; } = new();

        public AcceptOperation? NextWaiter()
        {
            while (Waiters.TryPeek(out var waiter))
            {
                if (!waiter.Task.IsCompleted)
                {
                    return waiter;
                }

                Waiters.Dequeue();
            }

            return null;
        }

        /// <summary>Drops waiters that gave up.</summary>
        public void Trim()
        {
            for (var i = Waiters.Count; i > 0; i--)
            {
                var waiter = Waiters.Dequeue();
                if (!waiter.Task.IsCompleted)
                {
                    Waiters.Enqueue(waiter);
                }
            }
        }

        public void Fail(CommandException exception)
        {
            while (Waiters.TryDequeue(out var waiter))
            {
                waiter.Fail(exception);
            }
        }
    }
}

/// <summary>A pending <c>accept</c>.</summary>
internal sealed class AcceptOperation(NodeHost host)
{
    private readonly TaskCompletionSource<Connection> _result = new();

    public Task<Connection> Task => _result.Task;

    public LoopTimer? Timer { get; set; }

    public void Complete(Connection connection)
    {
        Timer?.Cancel();
        if (!_result.TrySetResult(connection))
        {
            host.Discard(connection);
        }
    }

    public void Fail(Exception exception)
    {
        Timer?.Cancel();
        _result.TrySetException(exception);
    }
}
