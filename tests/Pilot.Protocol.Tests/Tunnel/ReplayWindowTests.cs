namespace Pilot.Protocol.Tests.Tunnel;

public sealed class ReplayWindowTests
{
    [Theory]
    [InlineData(64)]
    [InlineData(256)]
    [InlineData(4096)]
    public void Behaves_like_a_set_of_all_counters_ever_recorded(int size)
    {
        for (int seed = 0; seed < 60; seed++)
        {
            var random = new Random(seed);
            var window = new ReplayWindow(size);
            var seen = new HashSet<ulong>();
            ulong highest = 0;
            ulong at = seed % 3 == 0 ? ulong.MaxValue - (ulong)(3 * size) : (ulong)random.NextInt64(0, 10_000);
            for (int step = 0; step < 2_000; step++)
            {
                ulong counter = Next(random, ref at, size);
                bool expected = !seen.Contains(counter) && (seen.Count == 0 || counter > highest || highest - counter < (ulong)size);
                Assert.Equal(expected, window.IsNew(counter));
                if (random.Next(10) == 0)
                {
                    continue; // did not authenticate: not recorded
                }

                window.Record(counter);
                if (expected)
                {
                    seen.Add(counter);
                    highest = Math.Max(highest, counter);
                }

                Assert.Equal(highest, window.Highest);
            }
        }
    }

    [Fact]
    public void Forged_counters_change_nothing()
    {
        var random = new Random(12);
        var attacked = new ReplayWindow(256);
        var quiet = new ReplayWindow(256);
        ulong at = 1000;
        for (int step = 0; step < 20_000; step++)
        {
            for (int forged = 0; forged < 3; forged++)
            {
                attacked.IsNew(random.Next(3) switch { 0 => ulong.MaxValue - (ulong)random.Next(5), 1 => (ulong)random.NextInt64(), _ => at + (ulong)random.Next(1000) });
            }

            ulong counter = Next(random, ref at, 256);
            Assert.Equal(quiet.IsNew(counter), attacked.IsNew(counter));
            if (quiet.IsNew(counter))
            {
                quiet.Record(counter);
                attacked.Record(counter);
            }

            Assert.Equal(quiet.Highest, attacked.Highest);
        }
    }

    [Fact]
    public void Counter_zero_is_accepted_once()
    {
        var window = new ReplayWindow();
        Assert.True(window.IsNew(0));
        window.Record(0);
        Assert.False(window.IsNew(0));
        Assert.True(window.IsNew(1));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(63)]
    [InlineData(100)]
    [InlineData(-64)]
    public void Sizes_other_than_powers_of_two_from_64_on_are_refused(int size) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new ReplayWindow(size));

    // Mostly forward with reordering, sometimes far jumps, duplicates and old counters; never past the last counter.
    private static ulong Next(Random random, ref ulong at, int size)
    {
        ulong jump = random.Next(20) switch
        {
            0 => (ulong)random.Next(0, 3 * size),
            1 => (ulong)size,
            2 => (ulong)size - 1,
            _ => (ulong)random.Next(0, 4),
        };
        at = ulong.MaxValue - at < jump ? ulong.MaxValue : at + jump;
        ulong back = random.Next(3) == 0 ? (ulong)random.Next(0, size + size / 4) : 0;
        return at >= back ? at - back : 0;
    }
}
