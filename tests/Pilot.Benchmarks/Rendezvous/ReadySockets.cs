using System.ComponentModel;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Pilot.Benchmarks.Rendezvous;

/// <summary>epoll(7) over the connections of one generator thread: with Socket.Select, a thousand descriptors a call, the generator cost more than the server.</summary>
internal sealed partial class ReadySockets : IDisposable
{
    private const int EventSize = 12; // struct epoll_event is packed on x86-64, and has 16 bytes elsewhere
    private const int PaddedEventSize = 16;
    private const int Add = 1; // EPOLL_CTL_ADD
    private const uint Readable = 1; // EPOLLIN
    private const int MaxEvents = 1024;
    private const int GeneratorNice = -10;

    private static readonly int Size = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? EventSize : PaddedEventSize;

    private readonly int _set;
    private readonly byte[] _events = new byte[MaxEvents * PaddedEventSize];

    public ReadySockets(IReadOnlyList<LoadClient> clients)
    {
        _set = Create(0);
        for (var i = 0; i < clients.Count; i++)
        {
            BitConverter.TryWriteBytes(_events, Readable);
            BitConverter.TryWriteBytes(_events.AsSpan(Size - sizeof(long)), (long)i);
            if (Control(_set, Add, (int)clients[i].Socket.Handle, ref _events[0]) != 0)
            {
                throw new SocketException(Marshal.GetLastPInvokeError());
            }
        }
    }

    /// <summary>Indexes of the clients that can be read.</summary>
    /// <param name="milliseconds">How long to wait for the first; 0 = not at all.</param>
    /// <param name="ready">Receives the indexes; the old ones are dropped.</param>
    public void Wait(int milliseconds, List<int> ready)
    {
        ready.Clear();
        var count = Wait(_set, ref _events[0], MaxEvents, milliseconds);
        for (var i = 0; i < count; i++)
        {
            ready.Add((int)BitConverter.ToInt64(_events, (i * Size) + Size - sizeof(long)));
        }
    }

    /// <summary>Sleeps; precise to some 60 microseconds, where Thread.Sleep counts milliseconds.</summary>
    public static void Sleep(TimeSpan time)
    {
        Span<long> wanted = [0, (long)time.TotalNanoseconds];
        if (Sleep(ref wanted[0], 0) != 0 && Marshal.GetLastPInvokeError() is not 4 and var error) // EINTR: shorter is fine
        {
            throw new Win32Exception(error);
        }
    }

    /// <summary>
    /// Puts the calling thread before the server's: clients elsewhere would not wait for its processors, and a generator that is late measures itself. False
    /// when the system does not allow it.
    /// </summary>
    public static bool TryGoFirst() => SetPriority(0, 0, GeneratorNice) == 0;

    public void Dispose() => _ = Close(_set);

    [LibraryImport("libc", EntryPoint = "epoll_create1", SetLastError = true)]
    private static partial int Create(int flags);

    [LibraryImport("libc", EntryPoint = "epoll_ctl", SetLastError = true)]
    private static partial int Control(int set, int operation, int descriptor, ref byte what);

    [LibraryImport("libc", EntryPoint = "epoll_wait", SetLastError = true)]
    private static partial int Wait(int set, ref byte events, int most, int milliseconds);

    [LibraryImport("libc", EntryPoint = "nanosleep", SetLastError = true)]
    private static partial int Sleep(ref long wanted, nint left);

    [LibraryImport("libc", EntryPoint = "setpriority")]
    private static partial int SetPriority(int which, int who, int nice);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
