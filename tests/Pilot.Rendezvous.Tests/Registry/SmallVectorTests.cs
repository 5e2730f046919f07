using System.Text.Json;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Tests.Registry;

public sealed class SmallVectorTests
{
    [Fact]
    public void Errors_are_masked_as_in_the_reference()
    {
        IReadOnlyList<JsonElement> vectors = VectorFile.Load("registry.json", "mask/");
        Assert.Equal(22, vectors.Count);
        foreach (JsonElement vector in vectors)
        {
            Assert.Equal(vector.Text("text"), Refusal.Mask(vector.GetProperty("inputs").Text("internal")));
        }
    }

    [Fact]
    public void Token_bucket_follows_the_recorded_timeline()
    {
        JsonElement vector = VectorFile.Find("registry.json", "ratelimit/token_bucket_10_per_minute");
        var limiter = new RateLimiter(10, TimeSpan.FromMinutes(1), 1000);
        DateTimeOffset start = DateTimeOffset.UnixEpoch;
        using JsonDocument timeline = JsonDocument.Parse(vector.Text("text"));
        foreach (JsonElement row in timeline.RootElement.EnumerateArray())
        {
            DateTimeOffset now = start.AddMilliseconds(row.GetProperty("at_ms").GetInt64());
            if (row.TryGetProperty("cleanup_bucket_kept", out JsonElement kept))
            {
                limiter.Sweep(now);
                Assert.Equal(kept.GetBoolean() ? 1 : 0, limiter.Count);
                continue;
            }

            string results = string.Concat(row.GetProperty("results").GetString()!.Select(_ => limiter.TryTake(now, 1, out TimeSpan _) ? '1' : '0'));
            Assert.Equal(row.GetProperty("results").GetString(), results);
        }
    }

    [Fact]
    public void Rate_limiter_tells_when_to_try_again()
    {
        var limiter = new RateLimiter(10, TimeSpan.FromMinutes(1), 1000);
        DateTimeOffset now = DateTimeOffset.UnixEpoch;
        for (int i = 0; i < 10; i++)
        {
            Assert.True(limiter.TryTake(now, 7, out _));
        }

        Assert.False(limiter.TryTake(now, 7, out TimeSpan wait));
        Assert.Equal(TimeSpan.FromSeconds(6), wait);
        Assert.False(limiter.TryTake(now + wait - TimeSpan.FromTicks(1), 7, out _));
        Assert.True(limiter.TryTake(now + wait, 7, out _));
    }

    [Fact]
    public void Rate_limiter_stays_bounded_and_does_not_punish_the_others()
    {
        var limiter = new RateLimiter(2, TimeSpan.FromMinutes(1), 100);
        DateTimeOffset now = DateTimeOffset.UnixEpoch;
        for (uint key = 0; key < 10_000; key++)
        {
            Assert.True(limiter.TryTake(now, key, out _));
        }

        Assert.InRange(limiter.Count, 1, 101);
    }

    [Fact]
    public void Clock_that_goes_back_gives_no_tokens()
    {
        var limiter = new RateLimiter(1, TimeSpan.FromMinutes(1), 10);
        DateTimeOffset now = DateTimeOffset.UnixEpoch.AddDays(1);
        Assert.True(limiter.TryTake(now, 1, out _));
        Assert.False(limiter.TryTake(now.AddHours(-1), 1, out _));
        Assert.False(limiter.TryTake(now, 1, out _));
    }
}
