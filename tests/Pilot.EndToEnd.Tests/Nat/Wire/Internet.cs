using System.Diagnostics;
using System.Net;
using System.Runtime.InteropServices;

namespace Pilot.EndToEnd.Tests.Nat.Wire;

/// <summary>
/// The network between the sites: routes IPv4 packets by their destination, delays them, cuts what a test wants cut, counts who sent how much
/// UDP to whom, which is the proof of a route that no daemon can claim away. One thread carries everything; per direction packets stay in order.
/// </summary>
internal sealed partial class Internet : IUplink, IDisposable
{
    private const int PacketsPerRound = 64;
    private const short PollIn = 1;
    private static readonly TimeSpan LongestWait = TimeSpan.FromMilliseconds(20); // new interfaces and the end are seen within this

    private readonly List<TunHost> _hosts = [];
    private readonly Dictionary<uint, IDownlink> _routes = [];
    private readonly Dictionary<uint, Bottleneck> _bottlenecks = [];
    private readonly HashSet<(uint, uint)> _cut = [];
    private readonly HashSet<uint> _withoutTcp = [];
    private readonly Dictionary<(uint, uint), long> _bytes = [];
    private readonly List<byte[]> _captured = [];
    private (uint, uint)? _tapped;
    private readonly PriorityQueue<byte[], (long Due, long Sequence)> _underWay = new();
    private readonly byte[] _buffer = GC.AllocateUninitializedArray<byte>(ushort.MaxValue, pinned: true);
    private readonly Thread _thread;
    private TimeSpan _skipped;
    private long _sequence;
    private volatile bool _ended;

    /// <param name="oneWay">Delay of every packet that crosses the internet.</param>
    public Internet(TimeSpan oneWay)
    {
        OneWay = oneWay;
        _thread = new Thread(Run) { IsBackground = true, Name = "internet" };
        _thread.Start();
    }

    /// <summary>Guards everything on the wire, the NATs included.</summary>
    public Lock Gate { get; } = new();

    public TimeSpan OneWay { get; }

    /// <summary>Time of the NATs (in <see cref="Stopwatch"/> ticks).</summary>
    public long Now => Stopwatch.GetTimestamp() + (long)(_skipped.TotalSeconds * Stopwatch.Frequency);

    /// <summary>Lets the NATs believe that time has passed.</summary>
    public void SkipTime(TimeSpan time)
    {
        lock (Gate)
        {
            _skipped += time;
        }
    }

    public void Add(TunHost host)
    {
        lock (Gate)
        {
            _hosts.Add(host);
        }
    }

    /// <summary>Packets for an address go there from now on.</summary>
    public void Route(IPAddress address, IDownlink target)
    {
        lock (Gate)
        {
            _routes[Ipv4.Number(address)] = target;
        }
    }

    public void Unroute(IPAddress address)
    {
        lock (Gate)
        {
            _routes.Remove(Ipv4.Number(address));
        }
    }

    /// <summary>Drops everything between two outside addresses, or with <paramref name="cut"/> false no more.</summary>
    public void Cut(IPAddress a, IPAddress b, bool cut = true)
    {
        (uint, uint)[] both = [(Ipv4.Number(a), Ipv4.Number(b)), (Ipv4.Number(b), Ipv4.Number(a))];
        lock (Gate)
        {
            foreach ((uint, uint) pair in both)
            {
                _ = cut ? _cut.Add(pair) : _cut.Remove(pair);
            }
        }
    }

    /// <summary>Drops TCP to and from an outside address, or with <paramref name="cut"/> false no more: an outage of a registry whose beacon lives.</summary>
    public void CutTcp(IPAddress address, bool cut = true)
    {
        lock (Gate)
        {
            _ = cut ? _withoutTcp.Add(Ipv4.Number(address)) : _withoutTcp.Remove(Ipv4.Number(address));
        }
    }

    /// <summary>Limits what reaches an address; a full queue drops.</summary>
    public void Limit(IPAddress address, long bytesPerSecond, int queueBytes)
    {
        lock (Gate)
        {
            _bottlenecks[Ipv4.Number(address)] = new Bottleneck(bytesPerSecond, queueBytes);
        }
    }

    public void Unlimit(IPAddress address)
    {
        lock (Gate)
        {
            _bottlenecks.Remove(Ipv4.Number(address));
        }
    }

    /// <summary>UDP bytes (with headers) that went from one outside address to another.</summary>
    public long UdpBytes(IPAddress from, IPAddress to)
    {
        lock (Gate)
        {
            return _bytes.GetValueOrDefault((Ipv4.Number(from), Ipv4.Number(to)));
        }
    }

    /// <summary>Copies the packets from one outside address to another while <paramref name="during"/> runs, as somebody on the path could.</summary>
    public async Task<IReadOnlyList<byte[]>> CaptureAsync(IPAddress from, IPAddress to, Func<Task> during)
    {
        lock (Gate)
        {
            _captured.Clear();
            _tapped = (Ipv4.Number(from), Ipv4.Number(to));
        }

        await during();
        lock (Gate)
        {
            _tapped = null;
            return [.. _captured];
        }
    }

    /// <summary>Puts a packet on the wire as it is, at once, whoever it says it is from.</summary>
    public void Inject(byte[] packet)
    {
        lock (Gate)
        {
            HandOver(packet);
        }
    }

    public void Send(Span<byte> packet)
    {
        if (!Ipv4.TryRead(packet, out Header4 header) || !_routes.ContainsKey(header.Target) || _cut.Contains((header.Source, header.Target)))
        {
            return;
        }

        if (header.Protocol == Ipv4.Tcp && (_withoutTcp.Contains(header.Source) || _withoutTcp.Contains(header.Target)))
        {
            return;
        }

        if (_tapped == (header.Source, header.Target))
        {
            _captured.Add(packet.ToArray());
        }

        if (header.Protocol == Ipv4.Udp)
        {
            CollectionsMarshal.GetValueRefOrAddDefault(_bytes, (header.Source, header.Target), out _) += packet.Length;
        }

        long now = Stopwatch.GetTimestamp();
        long due = now;
        if (_bottlenecks.TryGetValue(header.Target, out Bottleneck? bottleneck) && !bottleneck.TryPass(now, packet.Length, out due))
        {
            return;
        }

        due += (long)(OneWay.TotalSeconds * Stopwatch.Frequency);
        _underWay.Enqueue(packet.ToArray(), (due, _sequence++));
    }

    public void Dispose()
    {
        _ended = true;
        _thread.Join();
        foreach (TunHost host in _hosts)
        {
            host.Dispose();
        }
    }

    private unsafe void Run()
    {
        PollEntry[] entries = [];
        while (!_ended)
        {
            TimeSpan wait;
            int count;
            lock (Gate)
            {
                if (entries.Length != _hosts.Count)
                {
                    entries = [.. _hosts.Select(h => new PollEntry { Descriptor = h.Descriptor, Events = PollIn })];
                }

                count = entries.Length;
                wait = _underWay.TryPeek(out _, out (long Due, long) next)
                    ? TimeSpan.FromSeconds(Math.Clamp((double)(next.Due - Stopwatch.GetTimestamp()) / Stopwatch.Frequency, 0, LongestWait.TotalSeconds))
                    : LongestWait;
            }

            Timespec limit = new() { Seconds = 0, Nanoseconds = (nint)wait.TotalNanoseconds };
            fixed (PollEntry* first = entries)
            {
                _ = Poll(first, (nuint)count, &limit, null);
            }

            lock (Gate)
            {
                for (int i = 0; i < count; i++)
                {
                    if ((entries[i].Returned & PollIn) != 0)
                    {
                        ReceiveFrom(_hosts[i]);
                    }
                }

                Release();
            }
        }
    }

    private void ReceiveFrom(TunHost host)
    {
        int length;
        for (int i = 0; i < PacketsPerRound && (length = host.Receive(_buffer)) > 0; i++)
        {
            host.Uplink?.Send(_buffer.AsSpan(0, length));
        }
    }

    private void Release()
    {
        long now = Stopwatch.GetTimestamp();
        while (_underWay.TryPeek(out byte[]? packet, out (long Due, long) first) && first.Due <= now)
        {
            _underWay.Dequeue();
            HandOver(packet);
        }
    }

    private void HandOver(byte[] packet)
    {
        if (Ipv4.TryRead(packet, out Header4 header) && _routes.TryGetValue(header.Target, out IDownlink? target))
        {
            target.Deliver(packet);
        }
    }

    [LibraryImport("libc", EntryPoint = "ppoll")]
    private static unsafe partial int Poll(PollEntry* entries, nuint count, Timespec* timeout, void* signals);

    [StructLayout(LayoutKind.Sequential)]
    private struct PollEntry
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Timespec
    {
        public nint Seconds;
        public nint Nanoseconds;
    }

    private sealed class Bottleneck(long bytesPerSecond, int queueBytes)
    {
        private long _free; // when the last byte of the queue has left

        public bool TryPass(long now, int bytes, out long leaves)
        {
            long start = Math.Max(now, _free);
            leaves = start;
            if ((start - now) * bytesPerSecond / Stopwatch.Frequency > queueBytes)
            {
                return false;
            }

            leaves = _free = start + (bytes * Stopwatch.Frequency / bytesPerSecond);
            return true;
        }
    }
}
