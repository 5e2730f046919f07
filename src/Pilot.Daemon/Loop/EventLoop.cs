using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Pilot.Engine;
using Pilot.Net.Polling;

namespace Pilot.Daemon.Loop;

/// <summary>
/// One thread that waits for descriptors, posted actions and timers, and never blocks on anything else. Others reach it by
/// <see cref="Post"/> and <see cref="AskAsync{T}"/>; all other members are for the loop thread itself, or for its owner before the start.
/// </summary>
internal class EventLoop : IDisposable
{
    private const int FirstToken = 1;
    private const int MaxReady = 128;
    private const int MaxDefects = 20;

    private static readonly TimeSpan DefectPeriod = TimeSpan.FromSeconds(10);

    private readonly IPoller _poller = Poller.Create();
    private readonly ILogger _logger;
    private readonly Thread _thread;
    private readonly ConcurrentQueue<Action> _posts = new();
    private readonly Dictionary<int, (int Descriptor, IReadinessHandler Handler)> _watched = [];
    private readonly PriorityQueue<LoopTimer, long> _timers = new();
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _nextToken = FirstToken;
    private Instant _defectsSince;
    private int _defects;
    private bool _hasMore;
    private volatile bool _stopping;

    public EventLoop(string name, ILogger logger)
    {
        _logger = logger;
        _thread = new Thread(Run) { Name = name, IsBackground = true };
        Now = MonotonicClock.Now;
    }

    /// <summary>Time of this turn.</summary>
    public Instant Now { get; protected set; }

    /// <summary>Ends when the loop has stopped; faulted when it died of a defect.</summary>
    public Task Stopped => _stopped.Task;

    public bool IsOnLoop => Environment.CurrentManagedThreadId == _thread.ManagedThreadId;

    public void Start() => _thread.Start();

    /// <summary>Runs an action on the loop thread in a later turn, in order. From any thread. After the stop it is not run any more.</summary>
    public void Post(Action action)
    {
        _posts.Enqueue(action);
        _poller.Wake();
    }

    /// <summary>
    /// Runs a function on the loop thread and hands its result back: at once when called on the loop, so that work which is there already
    /// goes through without a change of threads.
    /// </summary>
    /// <exception cref="OperationCanceledException">The loop has stopped.</exception>
    public Task<T> AskAsync<T>(Func<T> function)
    {
        if (IsOnLoop)
        {
            try
            {
                return Task.FromResult(function());
            }
            catch (Exception exception) when (exception is not OutOfMemoryException)
            {
                return Task.FromException<T>(exception);
            }
        }

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

    public LoopTimer StartTimer(TimeSpan delay, Action callback)
    {
        var timer = new LoopTimer(callback);
        _timers.Enqueue(timer, (Now + delay).Ticks);
        return timer;
    }

    /// <summary>Watches a descriptor. Returns its token.</summary>
    /// <exception cref="IOException">The system refuses to watch one more.</exception>
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

    /// <summary>Reads the clock again: for work whose begin is measured and that did not stand at the begin of the turn.</summary>
    public void RefreshNow() => Now = MonotonicClock.Now;

    /// <summary>From now on another one takes the readiness of a watched descriptor.</summary>
    public void ChangeHandler(int token, IReadinessHandler handler) => _watched[token] = (_watched[token].Descriptor, handler);

    /// <summary>Ends the watch of a descriptor that is closed next, and that nobody else holds.</summary>
    public void UnwatchClosing(int token)
    {
        if (_watched.Remove(token, out var entry))
        {
            _poller.Forget(entry.Descriptor);
        }
    }

    /// <summary>Ends a watch; to be called before the descriptor is closed.</summary>
    public void Unwatch(int token)
    {
        if (_watched.Remove(token, out var entry))
        {
            _poller.Remove(entry.Descriptor);
        }
    }

    /// <summary>Ends the loop after the current turn and waits for it, except on the loop itself.</summary>
    public void Stop()
    {
        _stopping = true;
        _poller.Wake();
        if (_thread.IsAlive && !IsOnLoop)
        {
            _thread.Join();
        }
    }

    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    protected virtual void Dispose(bool disposing)
    {
        if (disposing)
        {
            Stop();
            _poller.Dispose();
        }
    }

    /// <summary>When <see cref="Turn"/> wants to run without anything having happened.</summary>
    protected virtual Instant NextDeadline => Instant.Never;

    /// <summary>The rest of a turn, after descriptors, posts and timers. True: there is more to do at once.</summary>
    protected virtual bool Turn() => false;

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
                    _logger.LogError(exception, "loop: defect");
                }
            }

            _stopped.TrySetResult();
        }
        catch (Exception exception)
        {
            _logger.LogCritical(exception, "loop died");
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
        for (var i = 0; i < count; i++)
        {
            // Not found: an earlier one of this turn ended the watch.
            if (_watched.TryGetValue(ready[i].Token, out var entry))
            {
                entry.Handler.OnReady(ready[i]);
            }
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

        _hasMore = Turn();
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

        var next = NextDeadline;
        while (_timers.TryPeek(out var timer, out var due))
        {
            if (!timer.IsCancelled)
            {
                next = Instant.Min(next, new Instant(due));
                break;
            }

            _timers.Dequeue();
        }

        if (next == Instant.Never)
        {
            return Timeout.InfiniteTimeSpan;
        }

        var wait = next - MonotonicClock.Now;
        return wait > TimeSpan.Zero ? wait : TimeSpan.Zero;
    }
}
