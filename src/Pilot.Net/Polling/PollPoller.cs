using System.Runtime.InteropServices;

namespace Pilot.Net.Polling;

/// <summary>POSIX poll with a pipe for wake-ups: for Unix systems without epoll. Costs time per watched descriptor and wait.</summary>
internal sealed class PollPoller : IPoller
{
    private const short EventIn = 0x0001;
    private const short EventOut = 0x0004;
    private const short EventError = 0x0008;
    private const short EventHangUp = 0x0010;
    private const int SetFlags = 4; // F_SETFL
    private const int NonBlockingLinux = 0x800; // O_NONBLOCK
    private const int NonBlockingBsd = 0x4;

    private readonly List<Libc.PollEntry> _entries = [];
    private readonly List<int> _tokens = [];
    private readonly Dictionary<int, int> _indices = [];
    private readonly int _wakeRead;
    private readonly int _wakeWrite;
    private int _wakePending;

    public unsafe PollPoller()
    {
        var pair = stackalloc int[2];
        if (Libc.Pipe(pair) < 0)
        {
            throw Libc.Error("pipe");
        }

        _wakeRead = pair[0];
        _wakeWrite = pair[1];
        var nonBlocking = OperatingSystem.IsLinux() ? NonBlockingLinux : NonBlockingBsd;
        _ = Libc.FileControl(_wakeRead, SetFlags, nonBlocking);
        _ = Libc.FileControl(_wakeWrite, SetFlags, nonBlocking);
        Add(_wakeRead, 0, Interest.Read);
    }

    public void Add(int descriptor, int token, Interest interest)
    {
        _indices.Add(descriptor, _entries.Count);
        _entries.Add(Entry(descriptor, interest));
        _tokens.Add(token);
    }

    public void Modify(int descriptor, int token, Interest interest)
    {
        var index = _indices[descriptor];
        _entries[index] = Entry(descriptor, interest);
        _tokens[index] = token;
    }

    public void Remove(int descriptor)
    {
        _indices.Remove(descriptor, out var index);
        var last = _entries.Count - 1;
        if (index != last)
        {
            _entries[index] = _entries[last];
            _tokens[index] = _tokens[last];
            var moved = _entries[index].Descriptor;
            _indices[moved < 0 ? ~moved : moved] = index;
        }

        _entries.RemoveAt(last);
        _tokens.RemoveAt(last);
    }

    public void Forget(int descriptor) => Remove(descriptor);

    public unsafe int Wait(Span<Readiness> ready, TimeSpan timeout)
    {
        var entries = CollectionsMarshal.AsSpan(_entries);
        fixed (Libc.PollEntry* first = entries)
        {
            var count = Libc.Poll(first, (nuint)entries.Length, EpollPoller.Milliseconds(timeout));
            if (count < 0)
            {
                if (Marshal.GetLastPInvokeError() == Libc.ErrorInterrupted)
                {
                    return 0;
                }

                throw Libc.Error("poll");
            }
        }

        var filled = 0;
        for (var i = 0; i < entries.Length && filled < ready.Length; i++)
        {
            var results = entries[i].Results;
            if (results == 0)
            {
                continue;
            }

            if (i == 0)
            {
                DrainWake();
                continue;
            }

            var isEnd = (results & (EventError | EventHangUp)) != 0;
            ready[filled++] = new Readiness(_tokens[i], isEnd || (results & EventIn) != 0, isEnd || (results & EventOut) != 0, isEnd);
        }

        return filled;
    }

    public unsafe void Wake()
    {
        if (Interlocked.Exchange(ref _wakePending, 1) == 0)
        {
            byte one = 1;
            _ = Libc.Write(_wakeWrite, &one, 1);
        }
    }

    public void Dispose()
    {
        _ = Libc.Close(_wakeRead);
        _ = Libc.Close(_wakeWrite);
    }

    // A resting descriptor is stored as its complement: poll skips negative ones.
    private static Libc.PollEntry Entry(int descriptor, Interest interest) => new()
    {
        Descriptor = interest == Interest.None ? ~descriptor : descriptor,
        Events = (short)(((interest & Interest.Read) != 0 ? EventIn : 0) | ((interest & Interest.Write) != 0 ? EventOut : 0)),
    };

    private unsafe void DrainWake()
    {
        var buffer = stackalloc byte[64];
        while (Libc.Read(_wakeRead, buffer, 64) > 0)
        {
        }

        Volatile.Write(ref _wakePending, 0);
    }
}
