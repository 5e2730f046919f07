using Pilot.Daemon.Loop;
using Pilot.Engine;

namespace Pilot.Daemon.Tests;

public sealed class MonotonicClockTests
{
    [Fact]
    public void What_never_happened_was_long_ago_in_a_young_process_too() => Assert.True(MonotonicClock.Now - Instant.Origin > TimeSpan.FromHours(23));

    [Fact]
    public void It_does_not_go_back()
    {
        Instant before = MonotonicClock.Now;
        Assert.True(MonotonicClock.Now >= before);
    }
}
