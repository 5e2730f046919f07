using System.Collections.Concurrent;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Pilot.Daemon.Loop;
using Pilot.Daemon.Polling;

namespace Pilot.Daemon.Ipc;

/// <summary>
/// Serves command connections on one thread of its own: accepts, cuts lines, starts commands, writes replies. It never waits for a client,
/// for the engine or for the registry: a client that does not read is cut after 10 s, and nobody else notices. Streams that were handed
/// over leave for the engine loop.
/// </summary>
internal sealed class IpcServer : IDisposable
{
    private const int ListenerToken = 0;
    private const int MaxClients = 4096;
    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(1);

    private readonly IpcSocket _socket;
    private readonly ICommandHandler _commands;
    private readonly ILogger _logger;
    private readonly IPoller _poller = Poller.Create();
    private readonly ConcurrentQueue<Action> _posts = new();
    private readonly Dictionary<int, IpcSession> _sessions = [];
    private readonly Thread _thread;
    private int _nextToken = ListenerToken + 1;
    private bool _sweepWanted;
    private bool _isResting;
    private volatile bool _stopping;

    public IpcServer(IpcSocket socket, ICommandHandler commands, ILogger logger)
    {
        _socket = socket;
        _commands = commands;
        _logger = logger;
        _poller.Add((int)socket.Listener.Handle, ListenerToken, Interest.Read);
        _thread = new Thread(Run) { Name = "ipc", IsBackground = true };
    }

    /// <summary>How long a client may leave its replies unread (lessons 53).</summary>
    public TimeSpan WriteDeadline { get; init; } = TimeSpan.FromSeconds(10);

    public ICommandHandler Commands => _commands;

    public ILogger Logger => _logger;

    public void Start() => _thread.Start();

    /// <summary>Runs an action on the server's thread. From any thread.</summary>
    public void Post(Action action)
    {
        _posts.Enqueue(action);
        _poller.Wake();
    }

    public void ChangeInterest(IpcSession session, Interest interest) => _poller.Modify(session.Descriptor, session.Token, interest);

    /// <summary>A session has unread output: its deadline is to be kept. Server thread.</summary>
    public void WantSweep() => _sweepWanted = true;

    /// <summary>Forgets a session whose socket is about to be closed or handed over.</summary>
    public void Remove(IpcSession session)
    {
        if (_sessions.Remove(session.Token))
        {
            _poller.Remove(session.Descriptor);
        }
    }

    public void Dispose()
    {
        _stopping = true;
        _poller.Wake();
        if (_thread.IsAlive)
        {
            _thread.Join();
        }

        foreach (var session in _sessions.Values.ToArray())
        {
            session.Dispose();
        }

        _poller.Dispose();
        _socket.Dispose();
    }

    private void Run()
    {
        Span<Readiness> ready = stackalloc Readiness[64];
        var lastSweep = MonotonicClock.Now;
        while (!_stopping)
        {
            try
            {
                var wait = !_posts.IsEmpty ? TimeSpan.Zero : _sweepWanted ? SweepInterval : Timeout.InfiniteTimeSpan;
                var count = _poller.Wait(ready, wait);
                for (var i = 0; i < count; i++)
                {
                    if (ready[i].Token == ListenerToken)
                    {
                        Accept();
                    }
                    else if (_sessions.TryGetValue(ready[i].Token, out var session))
                    {
                        session.OnReady(ready[i]);
                    }
                }

                for (var posts = _posts.Count; posts > 0 && _posts.TryDequeue(out var post); posts--)
                {
                    post();
                }

                var now = MonotonicClock.Now;
                if (_sweepWanted && now - lastSweep >= SweepInterval)
                {
                    lastSweep = now;
                    Sweep();
                }
            }
            catch (Exception exception) when (exception is not OutOfMemoryException)
            {
                // One client's trouble must not end the service for all; the cause is a defect and goes to the log.
                _logger.LogError(exception, "ipc server error");
            }
        }
    }

    private void Accept()
    {
        while (true)
        {
            Socket client;
            try
            {
                client = _socket.Listener.Accept();
            }
            catch (SocketException exception)
            {
                if (exception.SocketErrorCode is not (SocketError.WouldBlock or SocketError.ConnectionAborted))
                {
                    // Out of descriptors: the listener stays readable, so it rests until the next sweep instead of spinning.
                    _logger.LogWarning("ipc accept failed: {Error}", exception.Message);
                    _poller.Modify((int)_socket.Listener.Handle, ListenerToken, Interest.None);
                    _isResting = true;
                    _sweepWanted = true;
                }

                return;
            }

            if (_sessions.Count >= MaxClients || !IpcSocket.IsOwner(client))
            {
                _logger.LogWarning("ipc client refused: {Reason}", _sessions.Count >= MaxClients ? "too many clients" : "it belongs to another user");
                client.Dispose();
                continue;
            }

            client.Blocking = false;
            var session = new IpcSession(this, client, _nextToken++);
            _sessions.Add(session.Token, session);
            _poller.Add(session.Descriptor, session.Token, Interest.Read);
        }
    }

    private void Sweep()
    {
        var now = MonotonicClock.Now;
        List<IpcSession>? late = null;
        foreach (var session in _sessions.Values)
        {
            if (session.UnreadSince is { } since && now - since > WriteDeadline)
            {
                (late ??= []).Add(session);
            }
        }

        if (_isResting)
        {
            _isResting = false;
            _poller.Modify((int)_socket.Listener.Handle, ListenerToken, Interest.Read);
        }

        _sweepWanted = _sessions.Values.Any(static session => session.UnreadSince is not null);
        foreach (var session in late ?? [])
        {
            _logger.LogWarning("ipc client cut: it did not read its replies for {Seconds} s", WriteDeadline.TotalSeconds);
            session.Dispose();
        }
    }
}
