using System.Diagnostics;
using System.Globalization;

namespace Pilot.Benchmarks.Processes;

/// <summary>Bytes, seconds and CPU seconds of one role, counted after the warm-up.</summary>
internal sealed class Meter
{
    private readonly long _warmBytes;
    private long _startTicks;
    private TimeSpan _startCpu;
    private long _startBytes = -1;
    private long _bytes;

    public Meter(long warmBytes) => _warmBytes = warmBytes;

    public void Add(int bytes)
    {
        _bytes += bytes;
        if (_startBytes < 0 && _bytes >= _warmBytes)
        {
            _startBytes = _bytes;
            _startTicks = Stopwatch.GetTimestamp();
            _startCpu = Environment.CpuUsage.TotalTime;
        }
    }

    public MeterReading Read() => new(
        _bytes - _startBytes,
        Stopwatch.GetElapsedTime(_startTicks).TotalSeconds,
        (Environment.CpuUsage.TotalTime - _startCpu).TotalSeconds);
}

/// <summary>What a role measured.</summary>
/// <param name="Bytes">Application bytes after the warm-up.</param>
/// <param name="Seconds">Wall time for them.</param>
/// <param name="CpuSeconds">CPU time of the process for them.</param>
internal readonly record struct MeterReading(long Bytes, double Seconds, double CpuSeconds)
{
    /// <summary>Megabytes (10^6) per second.</summary>
    public double MegabytesPerSecond => Bytes / 1e6 / Seconds;

    /// <summary>CPU seconds per gigabyte (10^9 bytes).</summary>
    public double CpuSecondsPerGigabyte => CpuSeconds / (Bytes / 1e9);

    public static MeterReading Parse(string line)
    {
        var parts = line.Split(' ');
        return parts.Length == 3
            ? new MeterReading(long.Parse(parts[0], CultureInfo.InvariantCulture), double.Parse(parts[1], CultureInfo.InvariantCulture), double.Parse(parts[2], CultureInfo.InvariantCulture))
            : throw new BenchmarkException($"not a reading: {line}");
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Bytes} {Seconds:R} {CpuSeconds:R}");
}
