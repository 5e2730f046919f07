using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Pilot.Daemon.Net;
using Pilot.Daemon.Polling;
using Pilot.Engine;

namespace Pilot.Daemon.Loop;

/// <summary>
/// The one thread that owns the node, the UDP socket and every handed-over stream. It never blocks on anything but its poller. Others
/// reach it by <see cref="Post"/> and <see cref="AskAsync{T}"/>; all other members are for the loop thread itself.
/// </summary>
internal sealed class EngineLoop : IDisposable
{
    private const int UdpToken = 0;
    private const int FirstToken = 1;
    private const int MaxReady = 128;
    private const int MaxDefects = 20;
    private const int BatchMessages = 32;
    private const int MessageSize = 65536; // the largest UDP datagram
    private const int SendBufferSize = 65536 * 2; // Node.Transmit wants at least 65,535
    private const int MaxReceiveBatches = 4; // per turn, so that streams get theirs
    private const int MaxSends = 32; // batches per round, so that arriving acknowledgements are not kept waiting
    private const int MaxRounds = 4; // of events and sends per turn

    private static readonly TimeSpan DefectPeriod = TimeSpan.FromSeconds(10);

    private readonly IDatagramSocket _socket;
    private readonly IPoller _poller = Poller.Create();
    private readonly ILogger _logger;
    private readonly Thread _thread;
    private readonly ConcurrentQueue<Action> _posts = new();
    private readonly Dictionary<int, (int Descriptor, IReadinessHandler Handler)> _watched = [];
    private readonly PriorityQueue<LoopTimer, long> _timers = new();
    private readonly List<IDeadlineSource> _deadlines = [];
    private readonly ReceiveBatch _received = new(BatchMessages, MessageSize);
    private readonly byte[] _sendBuffer = GC.AllocateUninitializedArray<byte>(SendBufferSize, pinned: true);
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _nextToken = FirstToken;
    private Instant _defectsSince;
    private int _defects;
    private bool _hasMore;
    private volatile bool _stopping;

    public EngineLoop(Node node, IDatagramSocket socket, ILogger logger)
    {
        Node = node;
        _socket = socket;
        _logger = logger;
        _thread = new Thread(Run) { Name = "engine", IsBackground = true };
        _poller.Add(socket.Descriptor, UdpToken, Interest.Read);
        Now = MonotonicClock.Now;
    }

    /// <summary>The node. Loop thread only.</summary>
    public Node Node { get; }

    /// <summary>Time of this turn.</summary>
    public Instant Now { get; private set; }

    /// <summary>Takes the node's events. Set before <see cref="Start"/>.</summary>
    public Action<NodeEvent>? EventSink { get; set; }

    /// <summary>Ends when the loop has stopped; faulted when it died of a defect.</summary>
    public Task Stopped => _stopped.Task;

    /// <summary>Datagrams received and sent, for <c>info</c>. Written by the loop, read by anyone.</summary>
    public long DatagramsReceived { get; private set; }

    public long DatagramsSent { get; private set; }

    /// <summary>Scratch for readers of streams; valid within one call.</summary>
    public byte[] Scratch { get; } = GC.AllocateUninitializedArray<byte>(256 * 1024, pinned: true);

    public bool IsOnLoop => Environment.CurrentManagedThreadId == _thread.ManagedThreadId;

    public void Start() => _thread.Start();

    /// <summary>Runs an action on the loop thread, in order. From any thread. After the stop it is not run any more.</summary>
    public void Post(Action action)
    {
        _posts.Enqueue(action);
        _poller.Wake();
    }

    /// <summary>Runs a function on the loop thread and hands its result back.</summary>
    /// <exception cref="OperationCanceledException">The loop has stopped.</exception>
    public Task<T> AskAsync<T>(Func<T> function)
    {
        var result = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(() =>
        {
            try
            {
                result.TrySetResult(function());
            }
            catch (Exception exception) when (exception is not OutOfMemoryException)
            {
                result.TrySetException(exception);
            }
        });
        if (_stopped.Task.IsCompleted)
        {
            result.TrySetCanceled();
        }

        return result.Task;
    }

    /// <summary>Adds a state machine whose deadline the loop keeps.</summary>
    public void AddDeadlineSource(IDeadlineSource source) => _deadlines.Add(source);

    public LoopTimer StartTimer(TimeSpan delay, Action callback)
    {
        var timer = new LoopTimer(callback);
        _timers.Enqueue(timer, (Now + delay).Ticks);
        return timer;
    }

    /// <summary>Watches a descriptor. Returns its token.</summary>
    public int Watch(int descriptor, IReadinessHandler handler, Interest interest)
    {
        var token = _nextToken++;
        if (_nextToken == int.MaxValue)
        {
            _nextToken = FirstToken;
        }

        _poller.Add(descriptor, token, interest);
        _watched.Add(token, (descriptor, handler));
        return token;
    }

    public void ChangeInterest(int token, Interest interest) => _poller.Modify(_watched[token].Descriptor, token, interest);

    /// <summary>Ends a watch; to be called before the descriptor is closed.</summary>
    public void Unwatch(int token)
    {
        if (_watched.Remove(token, out var entry))
        {
            _poller.Remove(entry.Descriptor);
        }
    }

    /// <summary>Ends the loop after the current turn.</summary>
    public void Stop()
    {
        _stopping = true;
        _poller.Wake();
    }

    public void Dispose()
    {
        Stop();
        if (_thread.IsAlive && !IsOnLoop)
        {
            _thread.Join();
        }

        _poller.Dispose();
        _socket.Dispose();
    }

    private void Run()
    {
        try
        {
            while (!_stopping)
            {
                try
                {
                    Step();
                }
                catch (Exception exception) when (exception is not OutOfMemoryException && IsTolerable())
                {
                    // A defect met by one datagram or one stream must not take everybody down; what it was working on is lost.
                    _logger.LogError(exception, "engine loop: defect");
                }
            }

            _stopped.TrySetResult();
        }
        catch (Exception exception)
        {
            _logger.LogCritical(exception, "engine loop died");
            _stopped.TrySetException(exception);
        }

        // Whoever waits for an answer learns that none will come.
        while (_posts.TryDequeue(out var post))
        {
            post();
        }
    }

    private void Step()
    {
        Span<Readiness> ready = stackalloc Readiness[MaxReady];
        var count = _poller.Wait(ready, WaitTime());
        Now = MonotonicClock.Now;
        var udp = false;
        for (var i = 0; i < count; i++)
        {
            if (ready[i].Token == UdpToken)
            {
                udp = true;
            }
            else if (_watched.TryGetValue(ready[i].Token, out var entry))
            {
                entry.Handler.OnReady(ready[i]);
            }
        }

        Turn(udp);
    }

    /// <summary>Defects up to this rate are survived; more of them mean that the state is broken, and a fresh start is better.</summary>
    private bool IsTolerable()
    {
        if (Now - _defectsSince > DefectPeriod)
        {
            _defectsSince = Now;
            _defects = 0;
        }

        return ++_defects <= MaxDefects;
    }

    private TimeSpan WaitTime()
    {
        if (_hasMore || !_posts.IsEmpty)
        {
            return TimeSpan.Zero;
        }

        var next = Node.NextDeadline;
        while (_timers.TryPeek(out var timer, out var due))
        {
            if (!timer.IsCancelled)
            {
                next = Instant.Min(next, new Instant(due));
                break;
            }

            _timers.Dequeue();
        }

        foreach (var source in _deadlines)
        {
            next = Instant.Min(next, source.NextDeadline);
        }

        if (next == Instant.Never)
        {
            return Timeout.InfiniteTimeSpan;
        }

        var wait = next - MonotonicClock.Now;
        return wait > TimeSpan.Zero ? wait : TimeSpan.Zero;
    }

    private void Turn(bool udp)
    {
        _hasMore = false;
        if (udp)
        {
            Receive();
        }

        for (var posts = _posts.Count; posts > 0 && _posts.TryDequeue(out var post); posts--)
        {
            post();
        }

        while (_timers.TryPeek(out var timer, out var due) && due <= Now.Ticks)
        {
            _timers.Dequeue();
            timer.Run();
        }

        foreach (var source in _deadlines)
        {
            if (source.NextDeadline <= Now)
            {
                source.HandleTimeout(Now);
            }
        }

        if (Node.NextDeadline <= Now)
        {
            Node.HandleTimeout(Now);
        }

        for (var round = 0; round < MaxRounds; round++)
        {
            var any = Deliver();
            any |= Send();
            if (!any && !Node.HasEvents)
            {
                return;
            }
        }

        _hasMore = true;
    }

    private void Receive()
    {
        for (var i = 0; i < MaxReceiveBatches && _socket.Receive(_received); i++)
        {
            for (var m = 0; m < _received.Count; m++)
            {
                var message = _received.Messages[m];
                var rest = _received.Buffer.AsSpan(message.Offset, message.Length);
                do
                {
                    var length = Math.Min(message.SegmentSize, rest.Length);
                    DatagramsReceived++;
                    Node.ReceiveDatagram(Now, message.Source, rest[..length]);
                    rest = rest[length..];
                }
                while (!rest.IsEmpty);
            }

            if (_received.Count < _received.Messages.Length)
            {
                return;
            }
        }
    }

    private bool Deliver()
    {
        var any = false;
        while (Node.TryGetEvent(out var nodeEvent))
        {
            any = true;
            EventSink?.Invoke(nodeEvent);
        }

        return any;
    }

    private bool Send()
    {
        var sent = 0;
        for (; sent < MaxSends; sent++)
        {
            var length = Node.Transmit(Now, _sendBuffer, out var transmit);
            if (length == 0)
            {
                break;
            }

            Now = MonotonicClock.Now; // what is sent late in a turn must not look older than it is
            if (transmit.MayFragment)
            {
                _socket.SendWhole(transmit.Destination, _sendBuffer.AsSpan(0, length));
            }
            else
            {
                _socket.Send(transmit.Destination, _sendBuffer.AsSpan(0, length), transmit.SegmentSize);
            }

            DatagramsSent += (length + transmit.SegmentSize - 1) / transmit.SegmentSize;
        }

        _hasMore |= sent == MaxSends;
        return sent > 0;
    }
}
