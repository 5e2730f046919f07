using System.Diagnostics;

namespace Pilot.Benchmarks.Rendezvous;

/// <summary>What one run of load measured.</summary>
/// <param name="PerSecond">Answers per second.</param>
/// <param name="P50">Median time of an answer in milliseconds, from the moment at which its request was due.</param>
/// <param name="P99">99th percentile.</param>
/// <param name="Worst">Longest.</param>
/// <param name="Errors">Answers that were errors.</param>
internal readonly record struct LoadResult(double PerSecond, double P50, double P99, double Worst, long Errors)
{
    public string? LastError { get; init; }

    /// <summary>False when the generator competed with the server at equal priority, for want of a right.</summary>
    public bool GoesFirst { get; init; }

    /// <summary>99th percentile in milliseconds of how late the generator sent, which is part of the times above.</summary>
    public double LateP99 { get; init; }
}

/// <summary>Drives many connections from few threads, so that little of the machine goes to the generator.</summary>
internal static class LoadDriver
{
    private const int BatchBytes = 64 * 1024;
    private static readonly TimeSpan AnswerPatience = TimeSpan.FromSeconds(20);

    // The generator sleeps this long between two looks: what is due meanwhile goes out late by that much at most, and it does not take a processor of its own.
    private static readonly TimeSpan Step = TimeSpan.FromMicroseconds(250);

    private delegate long Work(List<LoadClient> clients, List<RequestSource> sources, Samples samples, long end);

    /// <summary>As many requests as the server answers: every connection keeps <paramref name="depth"/> requests under way.</summary>
    public static LoadResult Saturate(IReadOnlyList<LoadClient> clients, IReadOnlyList<RequestSource> sources, int depth, TimeSpan time, int threads) =>
        Run(clients, sources, threads, time, (part, requests, samples, end) =>
        {
            var batch = new byte[BatchBytes];
            for (var i = 0; i < part.Count; i++)
            {
                SendBatch(part[i], requests[i], depth, batch);
            }

            using var sockets = new ReadySockets(part);
            var ready = new List<int>();
            long answers = 0;
            while (Stopwatch.GetTimestamp() < end)
            {
                sockets.Wait(100, ready);
                foreach (var index in ready)
                {
                    var done = part[index].Receive(samples.Latencies);
                    answers += done;
                    SendBatch(part[index], requests[index], done, batch);
                }
            }

            return answers;
        });

    /// <summary>A fixed rate whatever the server does: requests are due at even distances, and wait in line when it is late.</summary>
    public static LoadResult Pace(IReadOnlyList<LoadClient> clients, IReadOnlyList<RequestSource> sources, double perSecond, TimeSpan time, int threads) =>
        Run(clients, sources, threads, time, (part, requests, samples, end) =>
        {
            var start = Stopwatch.GetTimestamp();
            var distance = Stopwatch.Frequency / (perSecond / threads);
            long sent = 0, answers = 0;
            using var sockets = new ReadySockets(part);
            var ready = new List<int>();
            while (true)
            {
                var now = Stopwatch.GetTimestamp();
                if (now >= end)
                {
                    return answers;
                }

                for (var due = start + (long)(sent * distance); due <= now; due = start + (long)(++sent * distance))
                {
                    var index = (int)(sent % part.Count);
                    samples.Lateness.Add(Stopwatch.GetTimestamp() - due);
                    part[index].Send(requests[index].Next(), 1, due);
                }

                sockets.Wait(0, ready);
                foreach (var index in ready)
                {
                    answers += part[index].Receive(samples.Latencies);
                }

                ReadySockets.Sleep(Step);
            }
        });

    private static void SendBatch(LoadClient client, RequestSource source, int count, byte[] batch)
    {
        var filled = 0;
        for (var i = 0; i < count; i++)
        {
            var frame = source.Next();
            frame.CopyTo(batch.AsSpan(filled));
            filled += frame.Length;
        }

        client.Send(batch.AsSpan(0, filled), count, Stopwatch.GetTimestamp());
    }

    private static LoadResult Run(IReadOnlyList<LoadClient> clients, IReadOnlyList<RequestSource> sources, int threads, TimeSpan time, Work work)
    {
        var samples = Enumerable.Range(0, threads).Select(_ => new Samples()).ToArray();
        var answers = new long[threads];
        var errors = clients.Sum(c => c.Errors);
        var start = Stopwatch.GetTimestamp();
        var end = start + (long)(time.TotalSeconds * Stopwatch.Frequency);
        Exception? failure = null;
        var goesFirst = true;
        var workers = Enumerable.Range(0, threads).Select(t => new Thread(() =>
        {
            try
            {
                goesFirst &= ReadySockets.TryGoFirst();
                var part = clients.Where((_, i) => i % threads == t).ToList();
                answers[t] = work(part, sources.Where((_, i) => i % threads == t).ToList(), samples[t], end);
            }
            catch (Exception e) when (e is BenchmarkException or System.Net.Sockets.SocketException)
            {
                failure = e;
            }
        })).ToList();
        workers.ForEach(w => w.Start());
        workers.ForEach(w => w.Join());
        if (failure is not null)
        {
            throw new BenchmarkException(failure.Message);
        }

        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        Drain(clients);
        var all = samples.SelectMany(s => s.Latencies).Order().ToArray();
        var late = samples.SelectMany(s => s.Lateness).Order().ToArray();
        return new LoadResult(answers.Sum() / seconds, At(all, 0.5), At(all, 0.99), At(all, 1), clients.Sum(c => c.Errors) - errors)
        {
            LateP99 = At(late, 0.99),
            GoesFirst = goesFirst,
            LastError = clients.Select(c => c.LastError).FirstOrDefault(e => e is not null),
        };
    }

    private static double At(long[] sorted, double part) =>
        sorted.Length == 0 ? 0 : sorted[Math.Min(sorted.Length - 1, (int)(sorted.Length * part))] * 1000.0 / Stopwatch.Frequency;

    private sealed class Samples
    {
        private const int Expected = 1 << 21; // so that nothing is copied while it counts

        public List<long> Latencies { get; } = new(Expected);

        /// <summary>How late the generator itself was: between the moment at which a request was due and its sending.</summary>
        public List<long> Lateness { get; } = new(Expected);
    }

    private static void Drain(IReadOnlyList<LoadClient> clients)
    {
        var start = Stopwatch.GetTimestamp();
        foreach (var client in clients)
        {
            while (client.Outstanding > 0)
            {
                if (Stopwatch.GetElapsedTime(start) > AnswerPatience)
                {
                    throw new BenchmarkException("answers are missing");
                }

                if (client.Socket.Poll(100_000, System.Net.Sockets.SelectMode.SelectRead))
                {
                    client.Receive(null);
                }
            }
        }
    }
}
