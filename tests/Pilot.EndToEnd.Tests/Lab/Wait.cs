using System.Diagnostics;

namespace Pilot.EndToEnd.Tests.Lab;

/// <summary>Waiting for conditions of other processes, with a deadline.</summary>
internal static class Wait
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(50);

    public static async Task UntilAsync(string what, Func<Task<bool>> condition, TimeSpan? limit = null)
    {
        long started = Stopwatch.GetTimestamp();
        using PeriodicTimer timer = new(Step);
        while (!await condition())
        {
            if (Stopwatch.GetElapsedTime(started) > (limit ?? Limit))
            {
                throw new TimeoutException("not in time: " + what);
            }

            await timer.WaitForNextTickAsync(TestContext.Current.CancellationToken);
        }
    }

    public static Task UntilAsync(string what, Func<bool> condition, TimeSpan? limit = null) => UntilAsync(what, () => Task.FromResult(condition()), limit);
}
