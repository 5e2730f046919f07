using System.Runtime.InteropServices;
using Pilot.Daemon.Loop;

namespace Pilot.Daemon.Host;

/// <summary>
/// Gives memory back when the daemon comes to rest: what a busy minute left on the collector's heap and in the C library's is of no use to
/// an idle process, and neither gives it back by itself. Costs one pause of some milliseconds while nothing happens. The compiler goes on for minutes
/// after the last event and leaves megabytes in the C library's heaps: so once more after a minute, then after twice that and so on. Loop thread.
/// </summary>
/// <param name="loop">Whose rest it is.</param>
/// <param name="quiet">Time without an event after which the daemon counts as resting.</param>
/// <param name="release">What is done; null for the collector and the C library.</param>
/// <param name="again">Time until the second time; default a minute.</param>
internal sealed partial class RestingMemory(EventLoop loop, TimeSpan quiet, Action? release = null, TimeSpan? again = null)
{
    private const long WorthBytes = 1 << 20; // allocated since the last time
    private static readonly TimeSpan Again = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan LongestAgain = TimeSpan.FromHours(1);

    private readonly Action _release = release ?? Release;
    private long _events;
    private long _seen;
    private long _allocated;
    private bool _isWatching;
    private Action? _look; // made once

    /// <summary>Something happened.</summary>
    public void Note()
    {
        _events++;
        if (!_isWatching)
        {
            _isWatching = true;
            Watch();
        }
    }

    private void Watch()
    {
        _seen = _events;
        loop.StartTimer(quiet, _look ??= Look);
    }

    private void Look()
    {
        if (_events != _seen)
        {
            Watch();
            return;
        }

        _isWatching = false;
        var allocated = GC.GetTotalAllocatedBytes();
        if (allocated - _allocated >= WorthBytes)
        {
            _allocated = allocated;
            _release();
        }

        Rest(again ?? Again);
    }

    private void Rest(TimeSpan wait)
    {
        var seen = _events;
        loop.StartTimer(wait, () =>
        {
            if (_events == seen)
            {
                _release();
                Rest(wait * 2 < LongestAgain ? wait * 2 : LongestAgain);
            }
        });
    }

    private static void Release()
    {
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        if (OperatingSystem.IsLinux())
        {
            try
            {
                _ = Trim(0);
            }
            catch (EntryPointNotFoundException)
            {
                // Not glibc: its allocator gives memory back in its own way.
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "malloc_trim")]
    private static partial int Trim(nuint keep);
}
