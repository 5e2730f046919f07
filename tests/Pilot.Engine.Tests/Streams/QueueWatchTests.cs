using Pilot.Engine.Streams;

namespace Pilot.Engine.Tests.Streams;

public sealed class QueueWatchTests
{
    private const long Path = 20 * TimeSpan.TicksPerMillisecond;
    private const long Full = 2 * Path;

    [Fact]
    public void A_host_that_stalls_once_does_not_hide_that_the_queue_is_long()
    {
        QueueWatch queue = default;
        Instant now = new(1000 * TimeSpan.TicksPerSecond);
        for (int round = 0; round < 100; round++)
        {
            bool stalls = round == 50;
            queue.Add(now, stalls ? 4 * Path : Full, Path); // one acknowledgement of many waited for the processor
            queue.Add(now, Full, Path);
            queue.AddRound(now, Full);
            now += new TimeSpan(Full);
            Assert.True(round == 0 || queue.IsLong(Path), $"round {round}");
        }
        queue.Add(now, Path + (Path / 4), Path);
        Assert.False(queue.IsLong(Path));
    }

    [Fact]
    public void One_round_trip_that_is_too_short_is_not_the_lowest()
    {
        QueueWatch queue = default;
        Instant now = new(1000 * TimeSpan.TicksPerSecond);
        for (int round = 0; round < 20; round++)
        {
            queue.AddRound(now, round == 10 ? Path / 2 : Path);
            now += new TimeSpan(Path);
        }
        Assert.Equal(Path, queue.Lowest);
    }

    [Fact]
    public void It_tells_a_deep_queue_and_since_when_it_is_empty()
    {
        QueueWatch queue = default;
        Instant start = new(1000 * TimeSpan.TicksPerSecond);
        queue.Add(start, Full, Path);
        queue.AddRound(start, Full);
        Instant later = start + new TimeSpan(Path);
        queue.Add(later, Path, Path);
        queue.AddRound(later, Path);
        Assert.True(queue.IsDeep(Path));
        Assert.Equal(start, queue.FilledAt);
        Assert.Equal(later, queue.EmptyAt);
    }
}
