using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Pilot.Daemon.Loop;
using Pilot.Net;
using Pilot.Net.Polling;

namespace Pilot.Daemon.Ipc;

/// <summary>
/// Serves command connections on the loop: accepts, cuts lines, starts commands, writes replies. It never waits for a client or for the
/// registry: a client that does not read is cut after 10 s, one that writes without end gets its share of each turn, and nobody else
/// notices. What the engine can answer is answered in the turn in which the line came. All members belong to the loop thread, except where stated.
/// </summary>
internal sealed class IpcServer : IReadinessHandler
{
    private const int MaxClients = 4096;
    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(1);

    private readonly EventLoop _loop;
    private readonly IpcSocket _socket;
    private readonly HashSet<IpcSession> _sessions = [];
    private readonly int _token;
    private bool _sweepPlanned;

    /// <summary>Begins to serve. On the loop, or before it starts.</summary>
    public IpcServer(EventLoop loop, IpcSocket socket, ICommandHandler commands, ILogger logger)
    {
        _loop = loop;
        _socket = socket;
        Commands = commands;
        Logger = logger;
        _token = loop.Watch((int)socket.Listener.Handle, this, Interest.Read);
    }

    /// <summary>How long a client may leave its replies unread (lessons 53).</summary>
    public TimeSpan WriteDeadline { get; init; } = TimeSpan.FromSeconds(10);

    public ICommandHandler Commands { get; }

    public ILogger Logger { get; }

    public EventLoop Loop => _loop;

    /// <summary>A session has unread output: its deadline is to be kept.</summary>
    public void WantSweep()
    {
        if (!_sweepPlanned)
        {
            _sweepPlanned = true;
            _loop.StartTimer(SweepInterval, Sweep);
        }
    }

    /// <summary>Forgets a session whose socket is about to be closed or handed over.</summary>
    public void Remove(IpcSession session) => _sessions.Remove(session);

    /// <summary>Closes every session. On the loop, or after it has stopped.</summary>
    public void Close()
    {
        _loop.Unwatch(_token);
        foreach (var session in _sessions.ToArray())
        {
            session.Dispose();
        }
    }

    /// <summary>Takes one client; when more wait, the listener stays readable.</summary>
    public void OnReady(in Readiness readiness)
    {
        if (LocalSocket.Accept((int)_socket.Listener.Handle, out var error) is not { } client)
        {
            if (error != Libc.ErrorAgain && error != Libc.ErrorInterrupted && error != Libc.ErrorConnectionAborted)
            {
                // Out of descriptors: the listener stays readable, so it rests for a while instead of spinning.
                Logger.LogWarning("ipc accept failed: {Error}", Marshal.GetPInvokeErrorMessage(error));
                _loop.ChangeInterest(_token, Interest.None);
                _loop.StartTimer(SweepInterval, () => _loop.ChangeInterest(_token, Interest.Read));
            }

            return;
        }

        if (_sessions.Count >= MaxClients || !client.BelongsToOwner())
        {
            Logger.LogWarning("ipc client refused: {Reason}", _sessions.Count >= MaxClients ? "too many clients" : "it belongs to another user");
            client.Dispose();
            return;
        }

        IpcSession session;
        try
        {
            session = new IpcSession(this, client);
        }
        catch (IOException exception)
        {
            Logger.LogWarning("ipc client refused: {Reason}", exception.Message);
            client.Dispose();
            return;
        }

        _sessions.Add(session);
        session.OnReady(new Readiness(_token, IsReadable: true, IsWritable: false, IsHangUp: false)); // most send their first line with the connect
    }

    private void Sweep()
    {
        _sweepPlanned = false;
        List<IpcSession>? late = null;
        foreach (var session in _sessions)
        {
            if (session.UnreadSince is { } since)
            {
                WantSweep();
                if (_loop.Now - since > WriteDeadline)
                {
                    (late ??= []).Add(session);
                }
            }
        }

        foreach (var session in late ?? [])
        {
            Logger.LogWarning("ipc client cut: it did not read its replies for {Seconds} s", WriteDeadline.TotalSeconds);
            session.Dispose();
        }
    }
}
