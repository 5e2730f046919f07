using System.Diagnostics;

namespace Pilot.Rendezvous.Server;

/// <summary>
/// Wall-clock time that never goes back and leaps in one case only: read once at start, then carried on by the monotonic clock. State machines rely on that.
/// </summary>
internal sealed class SteadyClock(Func<DateTimeOffset>? wallClock = null)
{
    private static readonly TimeSpan TooFarBehind = TimeSpan.FromSeconds(10); // less is what time servers correct little by little

    private readonly Func<DateTimeOffset> _wallClock = wallClock ?? (static () => DateTimeOffset.UtcNow);
    private readonly DateTimeOffset _start = wallClock?.Invoke() ?? DateTimeOffset.UtcNow;
    private readonly long _origin = Stopwatch.GetTimestamp();
    private long _leaps; // ticks

    public DateTimeOffset Now => _start + Stopwatch.GetElapsedTime(_origin) + TimeSpan.FromTicks(Volatile.Read(ref _leaps));

    /// <summary>
    /// Leaps forward when the machine slept, or had a wrong clock at the start. Called by one thread, now and then. Returns how far; zero nearly always. A
    /// clock that is set back is not followed.
    /// </summary>
    public TimeSpan CatchUp()
    {
        TimeSpan behind = _wallClock() - Now;
        if (behind < TooFarBehind)
        {
            return TimeSpan.Zero;
        }

        Volatile.Write(ref _leaps, _leaps + behind.Ticks);
        return behind;
    }
}
