using System.Collections.Concurrent;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Server;

/// <summary>
/// The threads that verify signatures, one fewer than processors (at least one): verification, by far the dearest step of a request, then never takes
/// the processor away from reading, deciding and answering. First come, first served; a connection has one request under way, so that no client gets
/// more turns than another and the queue is never longer than there are connections.
/// </summary>
internal sealed class VerificationLanes : IDisposable
{
    private readonly BlockingCollection<Job> _queue = [];
    private readonly Thread[] _threads;

    public VerificationLanes()
    {
        _threads = [.. Enumerable.Range(0, Math.Max(1, Environment.ProcessorCount - 1)).Select(i => new Thread(Run) { IsBackground = true, Name = $"verify {i}" })];
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
            catch (Exception e) when (e is System.Security.Cryptography.CryptographicException or OutOfMemoryException)
            {
                job.Done.SetException(e);
            }
        }
    }

    private sealed record Job(SignatureTask Task)
    {
        public TaskCompletionSource<SignatureVerdict> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
