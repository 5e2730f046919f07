using System.ComponentModel;
using System.Runtime.InteropServices;
using Pilot.Net.Polling;

namespace Pilot.Benchmarks.Rendezvous;

/// <summary>The connections of one generator thread that can be read: with Socket.Select, a thousand descriptors a call, the generator cost more than the server.</summary>
internal sealed partial class ReadySockets : IDisposable
{
    private const int MostAtOnce = 128;
    private const int GeneratorNice = -10;

    private readonly IPoller _poller = Poller.Create();
    private readonly Readiness[] _ready = new Readiness[MostAtOnce];

    public ReadySockets(IReadOnlyList<LoadClient> clients)
    {
        for (var i = 0; i < clients.Count; i++)
        {
            _poller.Add((int)clients[i].Socket.Handle, i, Interest.Read);
        }
    }

    /// <summary>Indexes of the clients that can be read.</summary>
    /// <param name="milliseconds">How long to wait for the first; 0 = not at all.</param>
    /// <param name="ready">Receives the indexes; the old ones are dropped.</param>
    public void Wait(int milliseconds, List<int> ready)
    {
        ready.Clear();
        var count = _poller.Wait(_ready, TimeSpan.FromMilliseconds(milliseconds));
        for (var i = 0; i < count; i++)
        {
            ready.Add(_ready[i].Token);
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

    public void Dispose() => _poller.Dispose();

    [LibraryImport("libc", EntryPoint = "nanosleep", SetLastError = true)]
    private static partial int Sleep(ref long wanted, nint left);

    [LibraryImport("libc", EntryPoint = "setpriority")]
    private static partial int SetPriority(int which, int who, int nice);
}
