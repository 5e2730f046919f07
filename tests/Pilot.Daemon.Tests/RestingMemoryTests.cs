using Microsoft.Extensions.Logging.Abstractions;
using Pilot.Daemon.Host;
using Pilot.Daemon.Loop;

namespace Pilot.Daemon.Tests;

public sealed class RestingMemoryTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Memory_is_given_back_once_when_nothing_happens_any_more()
    {
        using var loop = new EventLoop("test", NullLogger.Instance);
        var released = new SemaphoreSlim(0);
        var memory = new RestingMemory(loop, TimeSpan.FromMilliseconds(20), () => released.Release());
        loop.Start();
        var garbage = new byte[2 << 20][];
        for (var i = 0; i < garbage.Length; i += 1 << 16)
        {
            garbage[i] = new byte[1 << 16];
        }

        await loop.AskAsync(() =>
        {
            memory.Note();
            memory.Note();
            return true;
        });
        Assert.True(await released.WaitAsync(Patience, TestContext.Current.CancellationToken));
        Assert.Equal(0, released.CurrentCount);
        GC.KeepAlive(garbage);
    }

    [Fact]
    public async Task Memory_is_given_back_again_during_a_long_rest_which_an_event_ends()
    {
        using var loop = new EventLoop("test", NullLogger.Instance);
        var released = new SemaphoreSlim(0);
        var memory = new RestingMemory(loop, TimeSpan.FromMilliseconds(5), () => released.Release(), TimeSpan.FromMilliseconds(5));
        loop.Start();
        await NoteAsync();
        for (var time = 0; time < 3; time++)
        {
            Assert.True(await released.WaitAsync(Patience, TestContext.Current.CancellationToken));
        }

        await NoteAsync(); // a new rest begins, and its intervals are short again
        Assert.True(await released.WaitAsync(Patience, TestContext.Current.CancellationToken));

        Task NoteAsync() => loop.AskAsync(() =>
        {
            memory.Note();
            return true;
        });
    }
}
