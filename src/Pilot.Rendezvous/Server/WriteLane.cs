using System.Collections.Concurrent;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Storage;

namespace Pilot.Rendezvous.Server;

/// <summary>
/// The one way to durable change: one thread takes what waits, decides it, and stores the events of the whole batch in one commit. Only then are the
/// requests answered. When the store refuses, the state goes back to what is stored; requests that would change something get an error until it takes
/// writes again, and all others go on.
/// </summary>
internal sealed class WriteLane : IDisposable
{
    private const int MaxBatch = 2000; // requests in one commit
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(8); // less than a client waits for an answer (spec 03 section 2.4, "Better")
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan ProbeInterval = TimeSpan.FromSeconds(1);

    private readonly TimeProvider _time;
    private readonly IEventStore _store;
    private readonly RegistryCore _core;
    private readonly Lock _owner;
    private readonly WriteLaneEvents _events;
    private readonly BlockingCollection<Job> _queue = [];
    private readonly List<RegistryEvent> _batchEvents = [];
    private readonly Thread _thread;
    private readonly Compactor _compactor;
    private long _position;
    private string? _failure;
    private volatile bool _broken;
    private bool _reload;
    private long _lastProbe;

    /// <param name="store">Open and loaded up to <paramref name="position"/>.</param>
    /// <param name="core">Its observer belongs to the lane.</param>
    /// <param name="owner">Held while the core is used.</param>
    /// <param name="position">Of the loaded state.</param>
    /// <param name="events">Who is told what.</param>
    /// <param name="time">Monotonic time; null = the machine's.</param>
    public WriteLane(IEventStore store, RegistryCore core, Lock owner, long position, WriteLaneEvents events, TimeProvider? time = null)
    {
        _time = time ?? TimeProvider.System;
        _store = store;
        _core = core;
        _owner = owner;
        _position = position;
        _events = events;
        _core.Observer = _batchEvents.Add;
        _core.Settle();
        _compactor = new Compactor(store, events);
        _thread = new Thread(Run) { IsBackground = true, Name = "registry writer" };
        _thread.Start();
    }

    /// <summary>Why changes are refused at present; null when they are not.</summary>
    public string? Failure => Volatile.Read(ref _failure);

    /// <summary>The store turned out to be damaged: nothing is written any more.</summary>
    public bool IsBroken => _broken;

    public long Position => Volatile.Read(ref _position);

    public bool IsShared => _store.IsShared;

    /// <summary>Batches behind the snapshot since the start.</summary>
    public long Commits { get; private set; }

    public int Waiting => _queue.Count;

    /// <summary>Decides on the writer's thread, under the owner's lock. The task ends when the change is durable, with a <see cref="StoreException"/> when it cannot be.</summary>
    public Task<object> RunAsync(Func<object> decide)
    {
        var job = new Job(decide, _time.GetTimestamp());
        try
        {
            _queue.Add(job);
        }
        catch (InvalidOperationException)
        {
            job.Done.SetException(new StoreException("the server is stopping"));
        }

        return job.Done.Task;
    }

    /// <summary>Wakes the thread, because another process has written.</summary>
    public void Wake() => _ = RunAsync(NoDecision);

    /// <summary>Result of work that answers nobody.</summary>
    public static readonly object Nothing = new();

    private static readonly Func<object> NoDecision = static () => Nothing;

    public void Dispose()
    {
        _queue.CompleteAdding();
        _thread.Join();
        _compactor.Dispose();
        _queue.Dispose();
    }

    private void Run()
    {
        var jobs = new List<Job>();
        while (!_queue.IsCompleted)
        {
            jobs.Clear();
            if (_queue.TryTake(out Job? first, (int)ProbeInterval.TotalMilliseconds))
            {
                jobs.Add(first);
                while (jobs.Count < MaxBatch && _queue.TryTake(out Job? next))
                {
                    jobs.Add(next);
                }
            }

            try
            {
                if (jobs.Count > 0 || _failure is not null || _store.IsShared)
                {
                    Process(jobs);
                }

                TellOthers();
            }
            catch (StoreDamagedException e)
            {
                Break(e, jobs);
            }
        }
    }

    private void TellOthers()
    {
        try
        {
            _events.Idle?.Invoke(_store, Failure is not null);
        }
        catch (StoreException e)
        {
            Fail(e);
        }
    }

    // For good: whatever is left of the store must stay as it is.
    private void Break(StoreDamagedException e, List<Job> jobs)
    {
        Volatile.Write(ref _failure, e.Message);
        jobs.ForEach(j => j.Done.TrySetException(new StoreException(e.Message, e)));
        if (!_broken)
        {
            _broken = true;
            _events.Broken(e.Message);
        }
    }

    private void Process(List<Job> jobs)
    {
        if (_failure is { } failure && (_broken || (_time.GetElapsedTime(_lastProbe) < ProbeInterval && !_store.IsShared)))
        {
            jobs.ForEach(j => j.Done.TrySetException(new StoreException(failure)));
            return;
        }

        // Those who came while an earlier turn waited have waited with it.
        long start = jobs.Count > 0 ? jobs.Min(j => j.Since) : _time.GetTimestamp();
        while (true)
        {
            Guid token = Guid.NewGuid();
            bool committing = false;
            try
            {
                Recover();
                bool write = jobs.Exists(j => j.Decide != NoDecision);
                _position = write ? _store.Begin(_position, ApplyForeign) : _store.IsShared ? _store.Follow(_position, ApplyForeign) : _position;
                Decide(jobs);
                if (_batchEvents.Count > 0)
                {
                    committing = true;
                    _store.Commit(token, _batchEvents);
                    _position++;
                    Commits++;
                    _compactor.Note();
                }
                else if (write)
                {
                    _store.Abort();
                }

                Finish(jobs);
                return;
            }
            catch (PositionLostException)
            {
                StartOver();
            }
            catch (StoreException e)
            {
                RegistryEvent[] decided = [.. _batchEvents];
                _batchEvents.Clear();
                Fail(e);
                bool? stored = committing ? WasStored(token) : false;
                if (stored == true)
                {
                    _batchEvents.AddRange(decided);
                    Finish(jobs);
                    return;
                }

                if (stored is null)
                {
                    // Neither yes nor no would be honest; every such request may be sent again.
                    jobs.ForEach(j => j.Done.TrySetException(new UnconfirmedException(e)));
                    return;
                }

                if (!_store.IsShared || _time.GetElapsedTime(start) > Patience || _queue.IsAddingCompleted)
                {
                    jobs.ForEach(j => j.Done.TrySetException(e));
                    return;
                }

                // Another process may hold the database for a moment, or it restarts: clients wait rather than learn of it.
                Thread.Sleep(RetryPause);
            }
            catch (DecisionFailedException e)
            {
                // Half of its events may be applied: back to what is stored, and the others are decided again without it.
                StartOver();
                jobs.Remove(e.Job);
                _events.Faulted?.Invoke(e.InnerException!);
                e.Job.Done.TrySetException(e.InnerException!);
            }
        }
    }

    private void StartOver()
    {
        _batchEvents.Clear();
        _reload = true;
        try
        {
            _store.Abort();
        }
        catch (StoreException e)
        {
            Fail(e);
        }
    }

    private void Decide(List<Job> jobs)
    {
        _batchEvents.Clear();
        foreach (Job job in jobs)
        {
            lock (_owner)
            {
                try
                {
                    job.Result = job.Decide();
                }
                catch (Exception e) when (e is not StoreException)
                {
                    // A fault of ours in one request must not cost the others their service.
                    throw new DecisionFailedException(job, e);
                }
            }
        }
    }

    private void ApplyForeign(RegistryEvent happened)
    {
        lock (_owner)
        {
            _core.State.Apply(happened);
        }
    }

    private void Finish(List<Job> jobs)
    {
        foreach (RegistryEvent happened in _batchEvents)
        {
            _events.Stored(happened);
        }

        _batchEvents.Clear();
        lock (_owner)
        {
            _core.Settle();
        }

        jobs.ForEach(j => j.Done.TrySetResult(j.Result!));
    }

    // The commit's answer was lost on the way: it may have been done all the same. Null when the database does not come back in time to tell.
    private bool? WasStored(Guid token)
    {
        if (!_store.IsShared)
        {
            return false;
        }

        long start = _time.GetTimestamp();
        while (_time.GetElapsedTime(start) < Patience && !_queue.IsAddingCompleted)
        {
            try
            {
                Recover();
                return _store.Contains(token);
            }
            catch (StoreException)
            {
                Thread.Sleep(RetryPause);
            }
        }

        return null;
    }

    private void Fail(StoreException e)
    {
        if (_failure is null)
        {
            _events.Failed(e.Message);
        }

        Volatile.Write(ref _failure, e.Message);
        _lastProbe = _time.GetTimestamp();
        _reload = true;
        try
        {
            // What was decided but not stored must not be seen any longer than this.
            _store.Open();
            Reload();
        }
        catch (StoreException)
        {
            // The next probe tries again.
            return;
        }
    }

    private void Reload()
    {
        var state = new RegistryState(DateTimeOffset.UnixEpoch);
        _position = _store.Load(state.Apply);
        lock (_owner)
        {
            _core.Replace(state);
            _events.Reloaded?.Invoke();
        }

        _reload = false;
    }

    // Back to what is stored. Nothing is decided before the store has shown that it takes writes.
    private void Recover()
    {
        if (_failure is null && !_reload)
        {
            return;
        }

        if (_failure is not null)
        {
            _store.Open();
        }

        if (_reload)
        {
            Reload();
        }

        if (_failure is not null)
        {
            _store.Probe();
            Volatile.Write(ref _failure, null);
            _events.Recovered();
        }
    }

    private sealed class DecisionFailedException(Job job, Exception cause) : Exception(cause.Message, cause)
    {
        public Job Job { get; } = job;
    }

    private sealed class Job(Func<object> decide, long since)
    {
        public long Since { get; } = since;

        public Func<object> Decide { get; } = decide;

        public TaskCompletionSource<object> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public object? Result { get; set; }
    }
}

/// <summary>Who is told what the lane does. All calls come from its thread.</summary>
/// <param name="Stored">An event became durable.</param>
/// <param name="Failed">Changes are refused from now on.</param>
/// <param name="Recovered">They are taken again.</param>
/// <param name="Broken">The store turned out to be damaged: the server must stop.</param>
internal sealed record WriteLaneEvents(Action<RegistryEvent> Stored, Action<string> Failed, Action Recovered, Action<string> Broken)
{
    /// <summary>Called after every turn with the store, for what processes tell each other; true when the store fails.</summary>
    public Action<IEventStore, bool>? Idle { get; init; }

    /// <summary>The state was read from the store again. Called under the owner's lock.</summary>
    public Action? Reloaded { get; init; }

    /// <summary>The decision of one request failed by a fault of the program.</summary>
    public Action<Exception>? Faulted { get; init; }

    /// <summary>A snapshot was written, or could not be.</summary>
    public Action<string, bool>? Compacted { get; init; }
}
