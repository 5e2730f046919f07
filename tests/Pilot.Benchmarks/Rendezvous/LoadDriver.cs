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
}

/// <summary>Drives many connections from few threads.</summary>
internal static class LoadDriver
{
    private static readonly TimeSpan AnswerPatience = TimeSpan.FromSeconds(20);

    /// <summary>As many requests as the server answers: every connection keeps <paramref name="depth"/> requests under way.</summary>
    public static LoadResult Saturate(IReadOnlyList<LoadClient> clients, IReadOnlyList<byte[]> frames, int depth, TimeSpan time, int threads) =>
        Run(clients, frames, threads, time, (part, requests, latencies, end) =>
        {
            long answers = 0;
            foreach (var (client, frame) in part.Zip(requests))
            {
                for (var i = 0; i < depth; i++)
                {
                    client.Send(frame, 1, Stopwatch.GetTimestamp());
                }
            }

            var of = part.Select((c, i) => (c.Socket, i)).ToDictionary(p => p.Socket, p => p.i);
            while (Stopwatch.GetTimestamp() < end)
            {
                var ready = part.Select(c => c.Socket).ToList();
                System.Net.Sockets.Socket.Select(ready, null, null, 100_000);
                foreach (var socket in ready)
                {
                    var index = of[socket];
                    var done = part[index].Receive(latencies);
                    answers += done;
                    for (var i = 0; i < done; i++)
                    {
                        part[index].Send(requests[index], 1, Stopwatch.GetTimestamp());
                    }
                }
            }

            return answers;
        });

    /// <summary>A fixed rate whatever the server does: requests are due at even distances, and wait in line when it is late.</summary>
    public static LoadResult Pace(IReadOnlyList<LoadClient> clients, IReadOnlyList<byte[]> frames, double perSecond, TimeSpan time, int threads) =>
        Run(clients, frames, threads, time, (part, requests, latencies, end) =>
        {
            var start = Stopwatch.GetTimestamp();
            var distance = Stopwatch.Frequency / (perSecond / threads);
            long sent = 0, answers = 0;
            var of = part.Select((c, i) => (c.Socket, i)).ToDictionary(p => p.Socket, p => p.i);
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
                    part[index].Send(requests[index], 1, due);
                }

                var ready = part.Where(c => c.Outstanding > 0).Select(c => c.Socket).ToList();
                if (ready.Count > 0)
                {
                    System.Net.Sockets.Socket.Select(ready, null, null, 500);
                    foreach (var socket in ready)
                    {
                        answers += part[of[socket]].Receive(latencies);
                    }
                }
            }
        });

    private static LoadResult Run(
        IReadOnlyList<LoadClient> clients, IReadOnlyList<byte[]> frames, int threads, TimeSpan time, Func<List<LoadClient>, List<byte[]>, List<long>, long, long> work)
    {
        var latencies = Enumerable.Range(0, threads).Select(_ => new List<long>(1 << 21)).ToArray();
        var answers = new long[threads];
        var errors = clients.Sum(c => c.Errors);
        var start = Stopwatch.GetTimestamp();
        var end = start + (long)(time.TotalSeconds * Stopwatch.Frequency);
        Exception? failure = null;
        var workers = Enumerable.Range(0, threads).Select(t => new Thread(() =>
        {
            try
            {
                var part = clients.Where((_, i) => i % threads == t).ToList();
                answers[t] = work(part, frames.Where((_, i) => i % threads == t).ToList(), latencies[t], end);
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
        var all = latencies.SelectMany(l => l).Order().ToArray();
        double At(double part) => all.Length == 0 ? 0 : all[Math.Min(all.Length - 1, (int)(all.Length * part))] * 1000.0 / Stopwatch.Frequency;
        return new LoadResult(answers.Sum() / seconds, At(0.5), At(0.99), At(1), clients.Sum(c => c.Errors) - errors)
        {
            LastError = clients.Select(c => c.LastError).FirstOrDefault(e => e is not null),
        };
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
