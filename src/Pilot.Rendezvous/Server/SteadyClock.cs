using System.Diagnostics;

namespace Pilot.Rendezvous.Server;

/// <summary>Wall-clock time that never jumps: read once at start, then carried on by the monotonic clock. State machines rely on that.</summary>
internal sealed class SteadyClock
{
    private readonly DateTimeOffset _start = DateTimeOffset.UtcNow;
    private readonly long _origin = Stopwatch.GetTimestamp();

    public DateTimeOffset Now => _start + Stopwatch.GetElapsedTime(_origin);
}
