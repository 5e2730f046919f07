using System.Diagnostics;
using Pilot.Engine;

namespace Pilot.Daemon.Loop;

/// <summary>The engine's clock: 100 ns ticks since the process's first use, never zero.</summary>
internal static class MonotonicClock
{
    private static readonly long Start = Stopwatch.GetTimestamp() - Stopwatch.Frequency;

    public static Instant Now => new((long)((Stopwatch.GetTimestamp() - Start) * (double)TimeSpan.TicksPerSecond / Stopwatch.Frequency));
}
