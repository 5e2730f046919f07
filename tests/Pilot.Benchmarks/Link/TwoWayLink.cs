using System.Collections.Concurrent;
using System.Diagnostics;
using Pilot.Net.Polling;

namespace Pilot.Benchmarks.Link;

/// <summary>A link in user space on one thread: packets of two sides go through a shaper each and come out when their time has come.</summary>
internal abstract class TwoWayLink : IDisposable
{
    // The clock of the link: arrivals within one step leave together, as from a network card that coalesces its interrupts.
    private static readonly TimeSpan Step = TimeSpan.FromMicroseconds(200);

    private readonly ConcurrentQueue<Action> _posts = new();
    private volatile bool _stopping;

    protected TwoWayLink(LinkParameters parameters)
    {
        ShaperToB = new LinkShaper(parameters, 0);
        ShaperToA = new LinkShaper(parameters, 1);
    }

    protected IPoller Poller { get; } = Net.Polling.Poller.Create();

    protected LinkShaper ShaperToB { get; private set; }

    protected LinkShaper ShaperToA { get; private set; }

    protected LinkQueue ToB { get; } = new();

    protected LinkQueue ToA { get; } = new();

    /// <summary>Sets other parameters; what is on its way still comes. From any thread.</summary>
    public void Set(LinkParameters parameters) => Post(() =>
    {
        ShaperToB = new LinkShaper(parameters, 0);
        ShaperToA = new LinkShaper(parameters, 1);
    });

    /// <summary>The counters of both directions, A to B first. From any thread.</summary>
    public Task<string> DescribeAsync()
    {
        var result = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(() => result.SetResult($"{ShaperToB.Counters} | {ShaperToA.Counters}"));
        return result.Task;
    }

    /// <summary>Carries packets until <see cref="Stop"/>.</summary>
    public void Run()
    {
        Span<Readiness> ready = stackalloc Readiness[4];
        var lastRelease = 0L;
        while (!_stopping)
        {
            Poller.Wait(ready, WaitTime(lastRelease));
            while (_posts.TryDequeue(out var post))
            {
                post();
            }

            Receive();
            lastRelease = Stopwatch.GetTimestamp();
            Release(lastRelease);
        }
    }

    /// <summary>Ends <see cref="Run"/>. From any thread.</summary>
    public void Stop()
    {
        _stopping = true;
        Poller.Wake();
    }

    public void Dispose()
    {
        Poller.Dispose();
        Close();
        GC.SuppressFinalize(this);
    }

    /// <summary>Admits what has come from both sides.</summary>
    protected abstract void Receive();

    /// <summary>Hands out what is due.</summary>
    protected abstract void Release(long now);

    protected abstract void Close();

    private void Post(Action action)
    {
        _posts.Enqueue(action);
        Poller.Wake();
    }

    private TimeSpan WaitTime(long lastRelease)
    {
        var next = Math.Min(ToB.Next, ToA.Next);
        if (next == long.MaxValue)
        {
            return Timeout.InfiniteTimeSpan;
        }

        // A little late rather than once per packet.
        var due = Math.Max(next, lastRelease + (long)(Step.TotalSeconds * Stopwatch.Frequency));
        var wait = Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), due);
        return wait > TimeSpan.Zero ? wait : TimeSpan.Zero;
    }
}
