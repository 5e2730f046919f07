using System.Runtime.InteropServices;

namespace Pilot.Net.Polling;

/// <summary>Linux epoll with an event descriptor for wake-ups.</summary>
internal sealed class EpollPoller : IPoller
{
    private const int CloseOnExec = 0x80000; // EPOLL_CLOEXEC = EFD_CLOEXEC
    private const int NonBlocking = 0x800; // EFD_NONBLOCK
    private const int OperationAdd = 1;
    private const int OperationRemove = 2;
    private const int OperationModify = 3;
    private const uint EventIn = 0x001;
    private const uint EventOut = 0x004;
    private const uint EventError = 0x008;
    private const uint EventHangUp = 0x010;
    private const uint EventReadHangUp = 0x2000;
    private const int MaxEvents = 128;
    private const int WakeToken = int.MinValue;

    // struct epoll_event is packed on x86 only; elsewhere the data is aligned to 8.
    private static readonly bool Packed = RuntimeInformation.ProcessArchitecture is Architecture.X64 or Architecture.X86;
    private static readonly int EventSize = Packed ? 12 : 16;
    private static readonly int DataOffset = Packed ? 4 : 8;

    private readonly int _epoll;
    private readonly int _wake;
    private readonly HashSet<int> _resting = [];
    private bool _hasFineTimeout = true;
    private int _wakePending;

    public EpollPoller()
    {
        _epoll = Libc.EpollCreate(CloseOnExec);
        if (_epoll < 0)
        {
            throw Libc.Error("epoll_create1");
        }

        _wake = Libc.EventDescriptor(0, CloseOnExec | NonBlocking);
        if (_wake < 0)
        {
            var error = Libc.Error("eventfd");
            _ = Libc.Close(_epoll);
            throw error;
        }

        Control(OperationAdd, _wake, WakeToken, Interest.Read);
    }

    public void Add(int descriptor, int token, Interest interest)
    {
        if (interest == Interest.None)
        {
            _resting.Add(descriptor);
        }
        else
        {
            Control(OperationAdd, descriptor, token, interest);
        }
    }

    public void Modify(int descriptor, int token, Interest interest)
    {
        if (interest == Interest.None)
        {
            // epoll reports a hang-up whether wanted or not, which would spin; so it is taken out.
            if (_resting.Add(descriptor))
            {
                Control(OperationRemove, descriptor, token, interest);
            }
        }
        else
        {
            Control(_resting.Remove(descriptor) ? OperationAdd : OperationModify, descriptor, token, interest);
        }
    }

    public void Remove(int descriptor)
    {
        if (!_resting.Remove(descriptor))
        {
            Control(OperationRemove, descriptor, 0, Interest.None);
        }
    }

    public void Forget(int descriptor) => _resting.Remove(descriptor); // the system takes closed ones out by itself

    public unsafe int Wait(Span<Readiness> ready, TimeSpan timeout)
    {
        var events = stackalloc byte[MaxEvents * 16];
        var capacity = Math.Min(MaxEvents, ready.Length);
        var count = WaitOnce(events, capacity, timeout);
        if (count < 0)
        {
            if (Marshal.GetLastPInvokeError() == Libc.ErrorInterrupted)
            {
                return 0;
            }

            throw Libc.Error("epoll_wait");
        }

        var filled = 0;
        for (var i = 0; i < count; i++)
        {
            var entry = events + (i * EventSize);
            var flags = *(uint*)entry;
            var token = *(int*)(entry + DataOffset);
            if (token == WakeToken)
            {
                ulong value;
                _ = Libc.Read(_wake, &value, sizeof(ulong));
                Volatile.Write(ref _wakePending, 0);
                continue;
            }

            var isEnd = (flags & (EventError | EventHangUp)) != 0;
            ready[filled++] = new Readiness(token, isEnd || (flags & (EventIn | EventReadHangUp)) != 0, isEnd || (flags & EventOut) != 0, isEnd);
        }

        return filled;
    }

    public unsafe void Wake()
    {
        if (Interlocked.Exchange(ref _wakePending, 1) == 0)
        {
            ulong one = 1;
            _ = Libc.Write(_wake, &one, sizeof(ulong));
        }
    }

    public void Dispose()
    {
        _ = Libc.Close(_epoll);
        _ = Libc.Close(_wake);
    }

    private unsafe int WaitOnce(byte* events, int capacity, TimeSpan timeout)
    {
        if (_hasFineTimeout && timeout > TimeSpan.Zero)
        {
            var time = new Libc.TimeSpec { Seconds = timeout.Ticks / TimeSpan.TicksPerSecond, Nanoseconds = timeout.Ticks % TimeSpan.TicksPerSecond * 100 };
            try
            {
                var count = Libc.EpollWait2(_epoll, events, capacity, &time, null);
                if (count >= 0 || Marshal.GetLastPInvokeError() != Libc.ErrorNoSystemCall)
                {
                    return count;
                }
            }
            catch (EntryPointNotFoundException)
            {
                // glibc before 2.35
            }

            _hasFineTimeout = false;
        }

        return Libc.EpollWait(_epoll, events, capacity, Milliseconds(timeout));
    }

    internal static int Milliseconds(TimeSpan timeout) =>
        timeout < TimeSpan.Zero ? -1 : (int)Math.Min(int.MaxValue, (timeout.Ticks + TimeSpan.TicksPerMillisecond - 1) / TimeSpan.TicksPerMillisecond);

    private unsafe void Control(int operation, int descriptor, int token, Interest interest)
    {
        var entry = stackalloc byte[16];
        new Span<byte>(entry, 16).Clear();
        *(uint*)entry = ((interest & Interest.Read) != 0 ? EventIn | EventReadHangUp : 0) | ((interest & Interest.Write) != 0 ? EventOut : 0);
        *(int*)(entry + DataOffset) = token;
        if (Libc.EpollControl(_epoll, operation, descriptor, entry) < 0)
        {
            throw Libc.Error("epoll_ctl");
        }
    }
}
