using Pilot.Net;
using Pilot.Net.Polling;
using Pilot.Protocol;

namespace Pilot.Benchmarks.Link;

/// <summary>
/// A link between two UDP sockets on this machine, in user space. What A sends to the near socket comes to B from the far one, and the
/// other way round; so each side sees the other at one address of the link. Datagrams of anybody else are dropped.
/// </summary>
internal sealed class UdpLink : TwoWayLink
{
    private const int NearToken = 0;
    private const int FarToken = 1;
    private const int HeaderBytes = 28; // IPv4 and UDP, which the wire carries too

    private readonly IDatagramSocket _near;
    private readonly IDatagramSocket _far;
    private readonly UdpEndpoint _a;
    private readonly UdpEndpoint _b;
    private readonly ArrivalClock _nearClock = new();
    private readonly ArrivalClock _farClock = new();
    private readonly ReceiveBatch _received = new(16, 65536);
    private readonly byte[] _batch = GC.AllocateUninitializedArray<byte>(65_507, pinned: true);

    /// <param name="a">Address of one node.</param>
    /// <param name="b">Address of the other.</param>
    /// <param name="nearPort">Port that A sends to, 0 for any.</param>
    /// <param name="farPort">Port that B sends to, 0 for any.</param>
    /// <param name="parameters">Of the first link; <see cref="TwoWayLink.Set"/> changes them.</param>
    public UdpLink(UdpEndpoint a, UdpEndpoint b, int nearPort, int farPort, LinkParameters parameters)
        : base(parameters)
    {
        _a = a;
        _b = b;
        _near = DatagramSocket.Open("127.0.0.1", nearPort);
        _far = DatagramSocket.Open("127.0.0.1", farPort);
        ArrivalClock.Start(_near.Descriptor);
        ArrivalClock.Start(_far.Descriptor);
        Poller.Add(_near.Descriptor, NearToken, Interest.Read);
        Poller.Add(_far.Descriptor, FarToken, Interest.Read);
    }

    /// <summary>Where A sends to.</summary>
    public UdpEndpoint Near => _near.LocalEndpoint;

    /// <summary>Where B sends to.</summary>
    public UdpEndpoint Far => _far.LocalEndpoint;

    protected override void Receive()
    {
        Receive(_near, _a, ShaperToB, ToB, _nearClock);
        Receive(_far, _b, ShaperToA, ToA, _farClock);
    }

    protected override void Release(long now)
    {
        Release(now, ToB, _far, _b);
        Release(now, ToA, _near, _a);
    }

    protected override void Close()
    {
        _near.Dispose();
        _far.Dispose();
    }

    private void Receive(IDatagramSocket socket, UdpEndpoint expected, LinkShaper shaper, LinkQueue queue, ArrivalClock clock)
    {
        while (socket.Receive(_received))
        {
            clock.Read();
            for (var i = 0; i < _received.Count; i++)
            {
                var message = _received.Messages[i];
                if (message.Source != expected)
                {
                    continue;
                }

                var arrived = clock.Of(message);
                var rest = _received.Buffer.AsSpan(message.Offset, message.Length);
                while (!rest.IsEmpty)
                {
                    var datagram = rest[..Math.Min(message.SegmentSize, rest.Length)];
                    rest = rest[datagram.Length..];
                    if (shaper.TryAdmit(arrived, datagram.Length + HeaderBytes, out var leaves))
                    {
                        queue.Add(leaves, datagram);
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
