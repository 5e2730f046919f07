using System.Diagnostics;
using System.Globalization;
using Pilot.Benchmarks.Processes;
using Pilot.Client;

namespace Pilot.Benchmarks.EndToEnd;

/// <summary><c>app SOCKET</c>: an application of a daemon, driven by lines on standard input. Uses nothing but Pilot.Client.</summary>
internal static class AppRole
{
    private const int ChunkSize = 256 * 1024;
    private const int SmallChunkSize = 16 * 1024; // so that slow links see the end in time
    private const int MessageSize = 64;
    private const double WarmShare = 0.25; // of the bytes, not measured

    // A daemon answers 200 pings per second (its own limit); stay below.
    private static readonly TimeSpan PingInterval = TimeSpan.FromMilliseconds(6);
    private static readonly TimeSpan DialInterval = TimeSpan.FromMilliseconds(6);

    public static async Task<int> RunAsync(string socketPath)
    {
        await using var pilot = new PilotClient(new PilotClientOptions { SocketPath = socketPath });
        var held = new List<PilotStream>();
        while (await Console.In.ReadLineAsync().ConfigureAwait(false) is { } line)
        {
            switch (line.Split(' '))
            {
                case ["sink", var port, var streams, var bytes]:
                    await AcceptAsync(pilot, ushort.Parse(port), int.Parse(streams), long.Parse(bytes), writes: false).ConfigureAwait(false);
                    break;
                case ["both-accept", var port, var streams, var bytes]:
                    await AcceptAsync(pilot, ushort.Parse(port), int.Parse(streams), long.Parse(bytes), writes: true).ConfigureAwait(false);
                    break;
                case ["source", var peer, var port, var streams, var bytes]:
                    await DialAllAsync(pilot, peer, ushort.Parse(port), int.Parse(streams), long.Parse(bytes), reads: false).ConfigureAwait(false);
                    break;
                case ["both-dial", var peer, var port, var streams, var bytes]:
                    await DialAllAsync(pilot, peer, ushort.Parse(port), int.Parse(streams), long.Parse(bytes), reads: true).ConfigureAwait(false);
                    break;
                case ["sink-series", var port]:
                    await SinkSeriesAsync(pilot, ushort.Parse(port)).ConfigureAwait(false);
                    break;
                case ["source-timed", var peer, var port, var seconds]:
                    await SourceTimedAsync(pilot, peer, ushort.Parse(port), double.Parse(seconds)).ConfigureAwait(false);
                    break;
                case ["hold-accept", var port, var streams]:
                    await HoldAsync(held, int.Parse(streams), await pilot.ListenAsync(ushort.Parse(port), int.Parse(streams)).ConfigureAwait(false)).ConfigureAwait(false);
                    break;
                case ["hold-dial", var peer, var port, var streams]:
                    for (var i = int.Parse(streams); i > 0; i--)
                    {
                        held.Add(await pilot.DialAsync(peer, ushort.Parse(port)).ConfigureAwait(false));
                    }

                    Console.WriteLine("open");
                    break;
                case ["echo", var port]:
                    _ = EchoAsync(await pilot.ListenAsync(ushort.Parse(port)).ConfigureAwait(false));
                    Console.WriteLine("ready");
                    break;
                case ["echo-blocking", var port]:
                    var bound = await pilot.ListenAsync(ushort.Parse(port)).ConfigureAwait(false);
                    _ = OnThread(() => Echo(bound));
                    Console.WriteLine("ready");
                    break;
                case ["dial-blocking", var peer, var port, var count]:
                    await OnThread(() => Print(Sample(int.Parse(count), () => DialOnce(pilot, peer, ushort.Parse(port), sendsMessage: false)))).ConfigureAwait(false);
                    break;
                case ["message-blocking", var peer, var port, var count]:
                    await OnThread(() => Print(Sample(int.Parse(count), () => DialOnce(pilot, peer, ushort.Parse(port), sendsMessage: true)))).ConfigureAwait(false);
                    break;
                case ["ping", var peer, var count, var inRow]:
                    await PingAsync(pilot, peer, int.Parse(count), int.Parse(inRow)).ConfigureAwait(false);
                    break;
                case ["dial", var peer, var port, var count]:
                    Print(await SampleAsync(int.Parse(count), () => DialOnceAsync(pilot, peer, ushort.Parse(port), sendsMessage: false)).ConfigureAwait(false));
                    break;
                case ["message", var peer, var port, var count]:
                    Print(await SampleAsync(int.Parse(count), () => DialOnceAsync(pilot, peer, ushort.Parse(port), sendsMessage: true)).ConfigureAwait(false));
                    break;
                default:
                    throw new BenchmarkException($"app: unknown command {line}");
            }
        }

        return 0;
    }

    private static async Task HoldAsync(List<PilotStream> held, int streams, PilotListener listener)
    {
        await using (listener.ConfigureAwait(false))
        {
            Console.WriteLine("ready");
            for (var i = 0; i < streams; i++)
            {
                held.Add(await listener.AcceptAsync().ConfigureAwait(false));
            }
        }

        Console.WriteLine("open");
    }

    private static async Task AcceptAsync(PilotClient pilot, ushort port, int streams, long bytes, bool writes)
    {
        await using var listener = await pilot.ListenAsync(port, Math.Max(16, streams)).ConfigureAwait(false);
        Console.WriteLine("ready");
        var meter = new Meter((long)(bytes * streams * WarmShare));
        var work = new List<Task>();
        for (var i = 0; i < streams; i++)
        {
            var stream = await listener.AcceptAsync().ConfigureAwait(false);
            work.Add(writes ? BothAsync(stream, bytes, meter) : OnThread(() => Read(stream, bytes, meter)));
        }

        await Task.WhenAll(work).ConfigureAwait(false);
        Console.WriteLine(meter.Read());
    }

    private static async Task DialAllAsync(PilotClient pilot, string peer, ushort port, int streams, long bytes, bool reads)
    {
        var all = new List<PilotStream>();
        for (var i = 0; i < streams; i++)
        {
            all.Add(await pilot.DialAsync(peer, port).ConfigureAwait(false));
        }

        // All at once, after the last one is open.
        var meter = new Meter((long)(bytes * streams * WarmShare));
        await Task.WhenAll(all.Select(stream => reads ? BothAsync(stream, bytes, meter) : OnThread(() => Write(stream, bytes, meter, waits: true)))).ConfigureAwait(false);
        Console.WriteLine(meter.Read());
    }

    /// <summary>Reads one stream to its end and prints what came when.</summary>
    private static async Task SinkSeriesAsync(PilotClient pilot, ushort port)
    {
        await using var listener = await pilot.ListenAsync(port).ConfigureAwait(false);
        Console.WriteLine("ready");
        await using var stream = await listener.AcceptAsync().ConfigureAwait(false);
        await OnThread(() =>
        {
            var chunk = new byte[ChunkSize];
            var series = new ByteSeries();
            int count;
            while ((count = stream.Read(chunk)) > 0)
            {
                series.Add(count, Console.Out);
            }

            series.End(Console.Out);
        }).ConfigureAwait(false);
    }

    /// <summary>Writes for some time, then ends the stream; prints the bytes written when the other side has read them all.</summary>
    private static async Task SourceTimedAsync(PilotClient pilot, string peer, ushort port, double seconds)
    {
        await using var stream = await pilot.DialAsync(peer, port).ConfigureAwait(false);
        await OnThread(() =>
        {
            var chunk = new byte[SmallChunkSize];
            var start = Stopwatch.GetTimestamp();
            long sum = 0;
            while (Stopwatch.GetElapsedTime(start).TotalSeconds < seconds)
            {
                stream.Write(chunk);
                sum += chunk.Length;
            }

            stream.CompleteWrites();
            if (stream.Read(chunk) != 0)
            {
                throw new BenchmarkException("the reader wrote");
            }

            Console.WriteLine(sum);
        }).ConfigureAwait(false);
    }

    private static async Task BothAsync(PilotStream stream, long bytes, Meter received)
    {
        await Task.WhenAll(OnThread(() => Write(stream, bytes, null, waits: false)), OnThread(() => Read(stream, bytes, received, disposes: false))).ConfigureAwait(false);
        await stream.DisposeAsync().ConfigureAwait(false);
    }

    private static void Write(PilotStream stream, long bytes, Meter? meter, bool waits)
    {
        var chunk = new byte[ChunkSize];
        for (var rest = bytes; rest > 0;)
        {
            var count = (int)Math.Min(rest, chunk.Length);
            stream.Write(chunk.AsSpan(0, count));
            rest -= count;
            Count(meter, count);
        }

        stream.CompleteWrites();
        if (waits)
        {
            if (stream.Read(chunk) != 0)
            {
                throw new BenchmarkException("the reader wrote");
            }

            stream.Dispose();
        }
    }

    private static void Read(PilotStream stream, long bytes, Meter meter, bool disposes = true)
    {
        var chunk = new byte[ChunkSize];
        long sum = 0;
        int count;
        while ((count = stream.Read(chunk)) > 0)
        {
            sum += count;
            Count(meter, count);
        }

        if (sum != bytes)
        {
            throw new BenchmarkException($"{sum} of {bytes} bytes came");
        }

        if (disposes)
        {
            stream.Dispose();
        }
    }

    private static void Count(Meter? meter, int bytes)
    {
        if (meter is not null)
        {
            lock (meter)
            {
                meter.Add(bytes);
            }
        }
    }

    private static Task OnThread(Action action) =>
        Task.Factory.StartNew(action, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private static async Task EchoAsync(PilotListener listener)
    {
        await foreach (var stream in listener.AcceptAllAsync().ConfigureAwait(false))
        {
            _ = EchoAsync(stream);
        }
    }

    private static async Task EchoAsync(PilotStream stream)
    {
        await using (stream.ConfigureAwait(false))
        {
            var buffer = new byte[MessageSize];
            int count;
            while ((count = await stream.ReadAsync(buffer).ConfigureAwait(false)) > 0)
            {
                await stream.WriteAsync(buffer.AsMemory(0, count)).ConfigureAwait(false);
            }
        }
    }

    /// <summary>One stream after the other, on one thread.</summary>
    private static void Echo(PilotListener listener)
    {
        var buffer = new byte[MessageSize];
        while (true)
        {
            using var stream = listener.Accept();
            int count;
            while ((count = stream.Read(buffer)) > 0)
            {
                stream.Write(buffer.AsSpan(0, count));
            }
        }
    }

    private static async Task PingAsync(PilotClient pilot, string peer, int count, int inRow)
    {
        var reported = new double[count];
        var waited = new double[count];
        for (var i = 0; i < count; i++)
        {
            var start = Stopwatch.GetTimestamp();
            var result = await pilot.PingAsync(peer, TimeSpan.FromSeconds(10)).ConfigureAwait(false);
            waited[i] = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
            reported[i] = result.RttMs * 1000;
            if ((i + 1) % inRow == 0)
            {
                await Task.Delay(inRow * PingInterval).ConfigureAwait(false);
            }
        }

        Print(reported);
        Print(waited);
    }

    private static async Task<double[]> SampleAsync(int count, Func<Task<double>> sample)
    {
        var samples = new double[count];
        for (var i = 0; i < count; i++)
        {
            samples[i] = await sample().ConfigureAwait(false);
            await Task.Delay(DialInterval).ConfigureAwait(false);
        }

        return samples;
    }

    private static double[] Sample(int count, Func<double> sample)
    {
        var samples = new double[count];
        for (var i = 0; i < count; i++)
        {
            samples[i] = sample();
            Thread.Sleep(DialInterval);
        }

        return samples;
    }

    private static double DialOnce(PilotClient pilot, string peer, ushort port, bool sendsMessage)
    {
        Span<byte> message = stackalloc byte[MessageSize];
        var start = Stopwatch.GetTimestamp();
        using var stream = pilot.Dial(peer, port);
        if (sendsMessage)
        {
            stream.Write(message);
            stream.ReadExactly(message);
        }

        return Stopwatch.GetElapsedTime(start).TotalMicroseconds;
    }

    private static async Task<double> DialOnceAsync(PilotClient pilot, string peer, ushort port, bool sendsMessage)
    {
        var message = new byte[MessageSize];
        var start = Stopwatch.GetTimestamp();
        await using var stream = await pilot.DialAsync(peer, port).ConfigureAwait(false);
        if (sendsMessage)
        {
            await stream.WriteAsync(message).ConfigureAwait(false);
            await stream.ReadExactlyAsync(message).ConfigureAwait(false);
        }

        return Stopwatch.GetElapsedTime(start).TotalMicroseconds;
    }

    private static void Print(IEnumerable<double> samples) =>
        Console.WriteLine(string.Join(' ', samples.Select(s => s.ToString("0.0", CultureInfo.InvariantCulture))));
}
