using System.Diagnostics;
using System.Globalization;

namespace Pilot.Benchmarks.Processes;

/// <summary>
/// Bytes over time, told by one process and read by another: at each tenth of a second of the system's clock how many bytes had come,
/// then <c>end BYTES</c>. Stopwatches of processes of one machine agree (CLOCK_MONOTONIC).
/// </summary>
internal sealed class ByteSeries
{
    private static readonly long Step = Stopwatch.Frequency / 10;

    private readonly List<(long At, long Bytes)> _marks = [];
    private long _next = Stopwatch.GetTimestamp() / Step * Step;

    /// <summary>All bytes.</summary>
    public long Total { get; private set; }

    /// <summary>Notes bytes that have come now. What is told of a moment before does not contain them.</summary>
    public void Add(int bytes, TextWriter output)
    {
        var now = Stopwatch.GetTimestamp();
        for (; _next <= now; _next += Step)
        {
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{_next} {Total}"));
        }

        Total += bytes;
    }

    /// <summary>Tells the end.</summary>
    public void End(TextWriter output)
    {
        Add(0, output);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"end {Total}"));
    }

    /// <summary>Takes a line; false at the last one.</summary>
    public bool Take(string line)
    {
        var words = line.Split(' ');
        if (words.Length != 2 || !long.TryParse(words[1], CultureInfo.InvariantCulture, out var bytes))
        {
            throw new BenchmarkException($"not a mark: {line}");
        }

        Total = bytes;
        if (words[0] == "end")
        {
            return false;
        }

        _marks.Add((long.Parse(words[0], CultureInfo.InvariantCulture), bytes));
        return true;
    }

    /// <summary>Bytes that had come at a time, in ticks of the stopwatch; between two marks in proportion.</summary>
    public double At(long time)
    {
        var after = _marks.FindIndex(m => m.At >= time);
        if (after <= 0)
        {
            return after == 0 ? 0 : throw new BenchmarkException("the stream ended before the time was over");
        }

        var (a, b) = (_marks[after - 1], _marks[after]);
        return a.Bytes + ((b.Bytes - a.Bytes) * (double)(time - a.At) / (b.At - a.At));
    }

    /// <summary>Megabits per second between two times.</summary>
    public double MegabitsPerSecond(long from, long to) => (At(to) - At(from)) * 8 / 1e6 / Stopwatch.GetElapsedTime(from, to).TotalSeconds;
}
