using System.Globalization;
using Pilot.Benchmarks.Processes;

namespace Pilot.Benchmarks.EndToEnd;

/// <summary>The parent's side of an application process: one command line, one answer line at a time.</summary>
internal sealed class AppProcess : IDisposable
{
    private static readonly TimeSpan AnswerPatience = TimeSpan.FromSeconds(30);

    private readonly RoleProcess _process;

    private AppProcess(RoleProcess process) => _process = process;

    public static AppProcess Start(string socketPath) => new(RoleProcess.Start("app", socketPath));

    /// <summary>Accepts streams on a port and reads them to their end; the answer of the task is what was measured.</summary>
    public async Task<Task<MeterReading>> SinkAsync(int port, int streams, long bytesPerStream, TimeSpan patience)
    {
        _process.WriteLine(string.Create(CultureInfo.InvariantCulture, $"sink {port} {streams} {bytesPerStream}"));
        await ExpectAsync("ready").ConfigureAwait(false);
        return ReadAsync(patience);
    }

    /// <summary>Accepts streams, writes and reads at once; the measure is of the bytes read.</summary>
    public async Task<Task<MeterReading>> AcceptBothWaysAsync(int port, int streams, long bytesPerStream, TimeSpan patience)
    {
        _process.WriteLine(string.Create(CultureInfo.InvariantCulture, $"both-accept {port} {streams} {bytesPerStream}"));
        await ExpectAsync("ready").ConfigureAwait(false);
        return ReadAsync(patience);
    }

    /// <summary>Dials streams, writes them full, waits until the other side has read everything.</summary>
    public Task<MeterReading> SourceAsync(string peer, int port, int streams, long bytesPerStream, TimeSpan patience)
    {
        _process.WriteLine(string.Create(CultureInfo.InvariantCulture, $"source {peer} {port} {streams} {bytesPerStream}"));
        return ReadAsync(patience);
    }

    /// <summary>Dials streams, writes and reads at once.</summary>
    public Task<MeterReading> DialBothWaysAsync(string peer, int port, int streams, long bytesPerStream, TimeSpan patience)
    {
        _process.WriteLine(string.Create(CultureInfo.InvariantCulture, $"both-dial {peer} {port} {streams} {bytesPerStream}"));
        return ReadAsync(patience);
    }

    /// <summary>Accepts one stream and reads it to its end; the answer of the task is what came when.</summary>
    public async Task<Task<ByteSeries>> SinkSeriesAsync(int port, TimeSpan patience)
    {
        _process.WriteLine(string.Create(CultureInfo.InvariantCulture, $"sink-series {port}"));
        await ExpectAsync("ready").ConfigureAwait(false);
        return _process.ReadSeriesAsync(patience);
    }

    /// <summary>Writes for some time; the bytes written, when the other side has read them.</summary>
    public async Task<long> SourceTimedAsync(string peer, int port, double seconds, TimeSpan patience)
    {
        _process.WriteLine(string.Create(CultureInfo.InvariantCulture, $"source-timed {peer} {port} {seconds}"));
        return long.Parse(await _process.ReadLineAsync(patience).ConfigureAwait(false), CultureInfo.InvariantCulture);
    }

    /// <summary>Binds a port; the inner task ends when so many streams are open, which stay so until the process ends.</summary>
    public async Task<Task> HoldAsync(int port, int streams)
    {
        _process.WriteLine(string.Create(CultureInfo.InvariantCulture, $"hold-accept {port} {streams}"));
        await ExpectAsync("ready").ConfigureAwait(false);
        return ExpectAsync("open");
    }

    /// <summary>Dials streams, which stay open until the process ends.</summary>
    public Task HoldAsync(string peer, int port, int streams)
    {
        _process.WriteLine(string.Create(CultureInfo.InvariantCulture, $"hold-dial {peer} {port} {streams}"));
        return ExpectAsync("open");
    }

    /// <summary>Answers every stream on a port with what comes, until the process ends.</summary>
    public Task EchoAsync(int port)
    {
        _process.WriteLine(string.Create(CultureInfo.InvariantCulture, $"echo {port}"));
        return ExpectAsync("ready");
    }

    /// <summary>The same with one thread that blocks, one stream at a time.</summary>
    public Task EchoBlockingAsync(int port)
    {
        _process.WriteLine(string.Create(CultureInfo.InvariantCulture, $"echo-blocking {port}"));
        return ExpectAsync("ready");
    }

    /// <summary>
    /// Pings: what the daemon measured, and what the application waited, in microseconds. So many in a row follow each other at once, then comes a
    /// pause that keeps the average at one in 6 ms.
    /// </summary>
    public async Task<(double[] Reported, double[] Waited)> PingAsync(string peer, int count, int inRow = 1)
    {
        _process.WriteLine(string.Create(CultureInfo.InvariantCulture, $"ping {peer} {count} {inRow}"));
        return (await SamplesAsync().ConfigureAwait(false), await SamplesAsync().ConfigureAwait(false));
    }

    /// <summary>Dials one after the other, the tunnel being up: microseconds each.</summary>
    public Task<double[]> DialAsync(string peer, int port, int count, bool isBlocking)
    {
        _process.WriteLine(string.Create(CultureInfo.InvariantCulture, $"dial{(isBlocking ? "-blocking" : string.Empty)} {peer} {port} {count}"));
        return SamplesAsync();
    }

    /// <summary>Dial, short message and its echo: microseconds each.</summary>
    public Task<double[]> MessageAsync(string peer, int port, int count, bool isBlocking)
    {
        _process.WriteLine(string.Create(CultureInfo.InvariantCulture, $"message{(isBlocking ? "-blocking" : string.Empty)} {peer} {port} {count}"));
        return SamplesAsync();
    }

    public void Dispose() => _process.Dispose();

    private async Task<MeterReading> ReadAsync(TimeSpan patience) => MeterReading.Parse(await _process.ReadLineAsync(patience).ConfigureAwait(false));

    private async Task<double[]> SamplesAsync()
    {
        var line = await _process.ReadLineAsync(AnswerPatience * 4).ConfigureAwait(false);
        return [.. line.Split(' ').Select(w => double.Parse(w, CultureInfo.InvariantCulture))];
    }

    private async Task ExpectAsync(string expected)
    {
        var line = await _process.ReadLineAsync(AnswerPatience).ConfigureAwait(false);
        if (line != expected)
        {
            throw new BenchmarkException($"{_process.Name}: {line}");
        }
    }
}
