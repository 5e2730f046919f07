using System.Collections.Concurrent;
using System.Diagnostics;
using Pilot.Daemon.Net;
using Pilot.Daemon.Polling;
using Pilot.Protocol;

namespace Pilot.Benchmarks.Link;

/// <summary>
/// A link between two UDP sockets on this machine, in user space. What A sends to the near socket comes to B from the far one, and the
/// other way round; so each side sees the other at one address of the link. Datagrams of anybody else are dropped.
/// </summary>
internal sealed class UdpLink : IDisposable
{
    private const int NearToken = 0;
    private const int FarToken = 1;

    // The clock of the link: arrivals within one step leave together, as from a network card that coalesces its interrupts.
    private static readonly TimeSpan Step = TimeSpan.FromMicroseconds(200);

    private readonly IDatagramSocket _near;
    private readonly IDatagramSocket _far;
    private readonly UdpEndpoint _a;
    private readonly UdpEndpoint _b;
    private readonly IPoller _poller = Poller.Create();
    private readonly ReceiveBatch _received = new(16, 65536);
    private readonly byte[] _batch = GC.AllocateUninitializedArray<byte>(65_507, pinned: true);
    private readonly ConcurrentQueue<Action> _posts = new();
    private readonly LinkQueue _toB = new();
    private readonly LinkQueue _toA = new();
    private LinkShaper _shaperToB;
    private LinkShaper _shaperToA;
    private volatile bool _stopping;

    /// <param name="a">Address of one node.</param>
    /// <param name="b">Address of the other.</param>
    /// <param name="nearPort">Port that A sends to, 0 for any.</param>
    /// <param name="farPort">Port that B sends to, 0 for any.</param>
    /// <param name="parameters">Of the first link; <see cref="Set"/> changes them.</param>
    public UdpLink(UdpEndpoint a, UdpEndpoint b, int nearPort, int farPort, LinkParameters parameters)
    {
        _a = a;
        _b = b;
        _near = DatagramSocket.Open("127.0.0.1", nearPort);
        _far = DatagramSocket.Open("127.0.0.1", farPort);
        _shaperToB = new LinkShaper(parameters, 0);
        _shaperToA = new LinkShaper(parameters, 1);
        _poller.Add(_near.Descriptor, NearToken, Interest.Read);
        _poller.Add(_far.Descriptor, FarToken, Interest.Read);
    }

    /// <summary>Where A sends to.</summary>
    public UdpEndpoint Near => _near.LocalEndpoint;

    /// <summary>Where B sends to.</summary>
    public UdpEndpoint Far => _far.LocalEndpoint;

    /// <summary>Sets other parameters; what is on its way still comes. From any thread.</summary>
    public void Set(LinkParameters parameters) => Post(() =>
    {
        _shaperToB = new LinkShaper(parameters, 0);
        _shaperToA = new LinkShaper(parameters, 1);
    });

    /// <summary>The counters of both directions, A to B first. From any thread.</summary>
    public Task<string> DescribeAsync()
    {
        var result = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(() => result.SetResult($"{_shaperToB.Counters} | {_shaperToA.Counters}"));
        return result.Task;
    }

    /// <summary>Carries datagrams until <see cref="Stop"/>.</summary>
    public void Run()
    {
        Span<Readiness> ready = stackalloc Readiness[4];
        var lastRelease = 0L;
        while (!_stopping)
        {
            _poller.Wait(ready, WaitTime(lastRelease));
            while (_posts.TryDequeue(out var post))
            {
                post();
            }

            Receive(_near, _a, _shaperToB, _toB);
            Receive(_far, _b, _shaperToA, _toA);
            lastRelease = Stopwatch.GetTimestamp();
            Release(lastRelease, _toB, _far, _b);
            Release(lastRelease, _toA, _near, _a);
        }
    }

    /// <summary>Ends <see cref="Run"/>. From any thread.</summary>
    public void Stop()
    {
        _stopping = true;
        _poller.Wake();
    }

    public void Dispose()
    {
        _poller.Dispose();
        _near.Dispose();
        _far.Dispose();
    }

    private void Post(Action action)
    {
        _posts.Enqueue(action);
        _poller.Wake();
    }

    private TimeSpan WaitTime(long lastRelease)
    {
        var next = Math.Min(_toB.Next, _toA.Next);
        if (next == long.MaxValue)
        {
            return Timeout.InfiniteTimeSpan;
        }

        // A little late rather than once per packet.
        var due = Math.Max(next, lastRelease + (long)(Step.TotalSeconds * Stopwatch.Frequency));
        var wait = Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), due);
        return wait > TimeSpan.Zero ? wait : TimeSpan.Zero;
    }

    private void Receive(IDatagramSocket socket, UdpEndpoint expected, LinkShaper shaper, LinkQueue queue)
    {
        while (socket.Receive(_received))
        {
            var now = Stopwatch.GetTimestamp();
            for (var i = 0; i < _received.Count; i++)
            {
                var message = _received.Messages[i];
                if (message.Source != expected)
                {
                    continue;
                }

                var rest = _received.Buffer.AsSpan(message.Offset, message.Length);
                while (!rest.IsEmpty)
                {
                    var datagram = rest[..Math.Min(message.SegmentSize, rest.Length)];
                    rest = rest[datagram.Length..];
                    if (shaper.TryAdmit(now, datagram.Length, out var arrival))
                    {
                        queue.Add(arrival, datagram);
                    }
                }
            }

            if (_received.Count < _received.Messages.Length)
            {
                return;
            }
        }
    }

    private void Release(long now, LinkQueue queue, IDatagramSocket socket, UdpEndpoint destination)
    {
        int length;
        while ((length = queue.TakeBatch(now, _batch, out var segmentSize)) > 0)
        {
            socket.Send(destination, _batch.AsSpan(0, length), segmentSize);
        }
    }
}
