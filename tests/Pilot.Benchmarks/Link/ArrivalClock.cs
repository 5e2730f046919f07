using System.Diagnostics;
using Pilot.Net;

namespace Pilot.Benchmarks.Link;

/// <summary>
/// When a datagram came to the link: the kernel's time stamp, in ticks of the stopwatch. The link's thread may be late by milliseconds while a queue of 25
/// packets at 1 Gb/s lasts 0.3 ms; what waited in the socket meanwhile must not look as if it had come at once.
/// </summary>
internal sealed class ArrivalClock
{
    private static readonly long LongestReading = Stopwatch.Frequency / 50_000; // 20 us: somebody else had the processor between the two clocks

    private long _now;
    private long _ahead; // of the stopwatch before the system's clock
    private bool _isKnown;
    private long _last;

    /// <summary>Asks the kernel for time stamps on a socket; where it has none, the time of reading counts.</summary>
    public static void Start(int descriptor)
    {
        if (OperatingSystem.IsLinux())
        {
            LinuxSocketCalls.TrySetOption(descriptor, LinuxSocketCalls.SocketLevel, LinuxSocketCalls.OptionTimestamp, 1);
        }
    }

    /// <summary>Datagrams were read just now.</summary>
    public void Read()
    {
        var before = Stopwatch.GetTimestamp();
        var system = Nanoseconds(DateTime.UtcNow);
        _now = Stopwatch.GetTimestamp();
        if (!_isKnown || _now - before < LongestReading)
        {
            _isKnown = true;
            _ahead = before - Ticks(system);
        }
    }

    /// <summary>Never later than the reading and never before the one before it.</summary>
    public long Of(in ReceivedMessage message)
    {
        var arrived = message.ArrivedAt == 0 ? _now : Math.Min(_now, Ticks(message.ArrivedAt) + _ahead);
        return _last = Math.Max(_last, arrived);
    }

    private static long Nanoseconds(DateTime time) => (time - DateTime.UnixEpoch).Ticks * 100;

    private static long Ticks(long nanoseconds) => (long)((Int128)nanoseconds * Stopwatch.Frequency / 1_000_000_000);
}
