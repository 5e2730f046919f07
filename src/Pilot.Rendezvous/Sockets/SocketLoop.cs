using System.Collections.Concurrent;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Pilot.Net.Polling;

namespace Pilot.Rendezvous.Sockets;

/// <summary>One thread that waits for many connections, reads what came, and runs whoever reads it. The poller and the closing of descriptors are its own.</summary>
internal sealed class SocketLoop : IDisposable
{
    private const int ConnectionsPerTurn = 128;
    private const int BytesPerTurn = 1024; // of one connection: about 30 small requests, or a large one in parts. Hundreds that send without a pause keep the others waiting for so many each

    private readonly IPoller _poller = Poller.Create();
    private readonly ConcurrentQueue<LoopConnection> _changed = new();
    private readonly List<LoopConnection?> _connections = []; // by token
    private readonly Stack<int> _free = new();
    private readonly byte[] _received = GC.AllocateUninitializedArray<byte>(BytesPerTurn, pinned: true);
    private readonly ILogger _logger;
    private readonly Thread _thread;
    private readonly Lock _ending = new();
    private volatile bool _stopping;
    private bool _stopped;
    private int _open;

    /// <exception cref="IOException">The kernel gives no more descriptors.</exception>
    public SocketLoop(int number, ILogger logger)
    {
        _logger = logger;
        _thread = new Thread(Run) { IsBackground = true, Name = $"registry sockets {number}" };
        _thread.Start();
    }

    /// <summary>Connections whose descriptors are not closed yet.</summary>
    public int Open => Volatile.Read(ref _open);

    /// <summary>Counts a connection that was made for this loop.</summary>
    public void Opened() => Interlocked.Increment(ref _open);

    /// <summary>Counts one whose descriptor was closed.</summary>
    public void Closed() => Interlocked.Decrement(ref _open);

    /// <summary>The connection is new, wants to be watched for something else, or is to be closed. From any thread.</summary>
    public void Changed(LoopConnection connection)
    {
        if (Thread.CurrentThread == _thread)
        {
            Follow(connection);
            return;
        }

        lock (_ending)
        {
            if (_stopped)
            {
                connection.Close();
                return;
            }

            _changed.Enqueue(connection);
            _poller.Wake();
        }
    }

    /// <summary>Ends the thread and closes what is left.</summary>
    public void Dispose()
    {
        lock (_ending)
        {
            if (!_stopped)
            {
                _stopping = true;
                _poller.Wake();
            }
        }

        if (Thread.CurrentThread != _thread) // whoever stops the server may have been told so by a connection
        {
            _thread.Join();
        }
    }

    private void Run()
    {
        var ready = new Readiness[ConnectionsPerTurn];
        while (!_stopping)
        {
            int count = _poller.Wait(ready, Timeout.InfiniteTimeSpan);
            for (int i = 0; i < count; i++)
            {
                if (_connections[ready[i].Token] is { } connection)
                {
                    Serve(connection, ready[i]);
                }
            }

            while (_changed.TryDequeue(out LoopConnection? changed))
            {
                Follow(changed);
            }
        }

        lock (_ending)
        {
            _stopped = true;
        }

        foreach (LoopConnection? left in _connections.Concat(_changed).ToArray()) // who reads may run in here, and end
        {
            left?.Abort(new ConnectionAbortedException("the server stops"));
            left?.EndIfAborted();
            left?.Close();
        }

        _poller.Dispose();
    }

    private void Serve(LoopConnection connection, Readiness ready)
    {
        try
        {
            connection.OnReady(ready, _received);
        }
        catch (Exception e)
        {
            // A fault of ours with one connection must not cost the others their service.
            _logger.LogError(e, "a connection failed by a fault of the server");
            connection.Abort(new ConnectionAbortedException("fault of the server", e));
        }
    }

    private void Follow(LoopConnection connection)
    {
        try
        {
            connection.EndIfAborted();
            Adjust(connection);
        }
        catch (IOException e)
        {
            connection.Abort(new ConnectionAbortedException("the system cannot watch the connection", e));
        }
    }

    private void Adjust(LoopConnection connection)
    {
        Interest wanted = connection.Wanted;
        if (connection.IsClosing)
        {
            if (connection.Token is { } token)
            {
                _poller.Forget(connection.Descriptor);
                _connections[token] = null;
                _free.Push(token);
                connection.Token = null;
            }

            connection.Close();
        }
        else if (connection.Token is { } token)
        {
            if (connection.Watched != wanted)
            {
                _poller.Modify(connection.Descriptor, token, wanted);
            }
        }
        else
        {
            if (!_free.TryPop(out int free))
            {
                free = _connections.Count;
                _connections.Add(null);
            }

            _connections[free] = connection;
            connection.Token = free;
            _poller.Add(connection.Descriptor, free, wanted); // when it fails, the connection is closed, and its place free again
        }

        connection.Watched = wanted;
    }
}
