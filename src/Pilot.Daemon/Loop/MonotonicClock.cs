using System.Diagnostics;
using Pilot.Engine;

namespace Pilot.Daemon.Loop;

/// <summary>The engine's clock: 100 ns ticks. It begins a day after <see cref="Instant.Origin"/>, so that what never happened was long ago, also in a young process.</summary>
internal static class MonotonicClock
{
    private static readonly long Start = Stopwatch.GetTimestamp() - (Stopwatch.Frequency * 86_400);

    public static Instant Now => new((long)((Stopwatch.GetTimestamp() - Start) * (double)TimeSpan.TicksPerSecond / Stopwatch.Frequency));
}
