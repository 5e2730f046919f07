using System.Collections.Concurrent;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Server;

/// <summary>
/// The threads that verify signatures, as many as processors: verification, by far the dearest step of a request, does not occupy the pool that reads,
/// decides and answers. First come, first served; a connection has one request under way, so that no client gets more turns than another and the queue is
/// never longer than there are connections. One thread fewer was measured, too: slower on two processors.
/// </summary>
internal sealed class VerificationLanes : IDisposable
{
    private readonly BlockingCollection<Job> _queue = [];
    private readonly Thread[] _threads;

    public VerificationLanes()
    {
        _threads = [.. Enumerable.Range(0, Environment.ProcessorCount).Select(i => new Thread(Run) { IsBackground = true, Name = $"verify {i}" })];
        Array.ForEach(_threads, t => t.Start());
    }

    /// <summary>Requests that wait for their verification.</summary>
    public int Waiting => _queue.Count;

    public Task<SignatureVerdict> VerifyAsync(SignatureTask task)
    {
        var job = new Job(task);
        try
        {
            _queue.Add(job);
        }
        catch (InvalidOperationException)
        {
            return Task.FromResult(task.Verify()); // the server is stopping; the last requests are answered on their own threads
        }

        return job.Done.Task;
    }

    public void Dispose()
    {
        _queue.CompleteAdding();
        Array.ForEach(_threads, t => t.Join());
        _queue.Dispose();
    }

    private void Run()
    {
        foreach (Job job in _queue.GetConsumingEnumerable())
        {
            try
            {
                job.Done.SetResult(job.Task.Verify());
            }
            catch (Exception e)
            {
                // Whoever asked gets it; the thread, and with it the server, lives on.
                job.Done.SetException(e);
            }
        }
    }

    private sealed record Job(SignatureTask Task)
    {
        public TaskCompletionSource<SignatureVerdict> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
