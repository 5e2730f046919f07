using System.Diagnostics;
using System.Globalization;
using Pilot.Rendezvous.Storage;

namespace Pilot.Rendezvous.Server;

/// <summary>Decides when the store is compacted, and does it beside the writer, at most one at a time.</summary>
internal sealed class Compactor(IEventStore store, WriteLaneEvents events) : IDisposable
{
    private const int CommitsBetweenLooks = 500;
    private const long LeastEventBytes = 8 << 20; // below this a replay takes no time worth saving
    private static readonly TimeSpan PauseAfterFailure = TimeSpan.FromMinutes(1);

    private readonly CancellationTokenSource _stop = new();
    private Task _running = Task.CompletedTask;
    private int _commits = CommitsBetweenLooks - 1; // the first commit looks: a long history may be waiting
    private long _failedAt; // 0 = the last one did not

    /// <summary>Counts a commit.</summary>
    public void Note()
    {
        if (++_commits >= CommitsBetweenLooks && _running.IsCompleted && (_failedAt == 0 || Stopwatch.GetElapsedTime(_failedAt) >= PauseAfterFailure))
        {
            _commits = 0;
            _running = Task.Factory.StartNew(Look, _stop.Token, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        }
    }

    public void Dispose()
    {
        _stop.Cancel();
        try
        {
            _running.Wait();
        }
        catch (AggregateException e) when (e.InnerException is OperationCanceledException)
        {
            Debug.WriteLine("compaction cancelled"); // what it had written is dropped by the next one
        }

        _stop.Dispose();
    }

    // The history may grow to the size of the state: reading at start then costs at most twice the state, and each byte is rewritten once on average.
    private void Look()
    {
        try
        {
            _failedAt = 0;
            (_, long eventBytes, long snapshotBytes) = store.Measure();
            if (eventBytes < Math.Max(LeastEventBytes, snapshotBytes))
            {
                return;
            }

            long start = Stopwatch.GetTimestamp();
            store.Compact(_stop.Token);
            events.Compacted?.Invoke(Stopwatch.GetElapsedTime(start).TotalSeconds.ToString("0.0 s", CultureInfo.InvariantCulture), true);
        }
        catch (Exception e) when (e is StoreException or StoreDamagedException)
        {
            _failedAt = Stopwatch.GetTimestamp();
            events.Compacted?.Invoke(e.Message, false);
        }
    }
}
