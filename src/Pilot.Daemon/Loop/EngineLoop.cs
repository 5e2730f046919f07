using Microsoft.Extensions.Logging;
using Pilot.Net;
using Pilot.Daemon.Net;
using Pilot.Engine;
using Pilot.Net.Polling;
using Pilot.Protocol;

namespace Pilot.Daemon.Loop;

/// <summary>The loop that owns the node, the UDP socket, every handed-over stream and the local clients' connections.</summary>
internal sealed class EngineLoop : EventLoop, IReadinessHandler
{
    private const int BatchMessages = 32;
    private const int MessageSize = 65536; // the largest UDP datagram
    private const int SendBufferSize = 65536 * 2; // Node.Transmit wants at least 65,535
    private const int MaxReceiveBatches = 4; // per turn, so that streams get theirs
    private const int MaxSends = 32; // batches per round, so that arriving acknowledgements are not kept waiting
    private static readonly TimeSpan RebindRetry = TimeSpan.FromSeconds(1);

    private const int MaxRounds = 4; // of events and sends per turn

    private IDatagramSocket _socket;
    private int _socketToken;
    private readonly List<IDeadlineSource> _deadlines = [];
    private readonly ReceiveBatch _received = new(BatchMessages, MessageSize);
    private readonly byte[] _sendBuffer = GC.AllocateUninitializedArray<byte>(SendBufferSize, pinned: true);
    private bool _isReadable;

    public EngineLoop(Node node, IDatagramSocket socket, ILogger logger)
        : base("engine", logger)
    {
        Node = node;
        _socket = socket;
        _socketToken = Watch(socket.Descriptor, this, Interest.Read);
    }

    /// <summary>The node. Loop thread only.</summary>
    public Node Node { get; }

    /// <summary>Where the tunnel socket is bound.</summary>
    public UdpEndpoint LocalEndpoint => _socket.LocalEndpoint;

    /// <summary>
    /// Puts another socket in the place of the tunnel's; node, tunnels and streams stay. The old one is closed first, since the new one usually
    /// takes its port. When none can be opened it is tried again every second; until then nothing is sent or received. Loop thread.
    /// </summary>
    /// <param name="open">Opens; null when it cannot.</param>
    /// <param name="opened">Called when the new socket is in place.</param>
    public void Rebind(Func<IDatagramSocket?> open, Action opened)
    {
        if (_socket is not ClosedDatagramSocket)
        {
            Unwatch(_socketToken);
            var local = _socket.LocalEndpoint;
            _socket.Dispose();
            _socket = new ClosedDatagramSocket(local);
        }

        if (open() is not { } socket)
        {
            StartTimer(RebindRetry, () =>
            {
                if (_socket is ClosedDatagramSocket)
                {
                    Rebind(open, opened);
                }
            });
            return;
        }

        _socket = socket;
        _socketToken = Watch(socket.Descriptor, this, Interest.Read);
        opened();
    }

    /// <summary>Takes the node's events. Set before the start.</summary>
    public Action<NodeEvent>? EventSink { get; set; }

    /// <summary>Datagrams received and sent, for <c>info</c>. Written by the loop, read by anyone.</summary>
    public long DatagramsReceived { get; private set; }

    public long DatagramsSent { get; private set; }

    /// <summary>Adds a state machine whose deadline the loop keeps.</summary>
    public void AddDeadlineSource(IDeadlineSource source) => _deadlines.Add(source);

    /// <summary>The UDP socket has datagrams: they are read after the other descriptors' turns.</summary>
    public void OnReady(in Readiness readiness) => _isReadable = true;

    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        if (disposing)
        {
            _socket.Dispose();
        }
    }

    protected override Instant NextDeadline
    {
        get
        {
            var next = Node.NextDeadline;
            foreach (var source in _deadlines)
            {
                next = Instant.Min(next, source.NextDeadline);
            }

            return next;
        }
    }

    protected override bool Turn()
    {
        if (_isReadable)
        {
            _isReadable = false;
            Receive();
        }

        foreach (var source in _deadlines)
        {
            if (source.NextDeadline <= Now)
            {
                source.HandleTimeout(Now);
            }
        }

        if (Node.NextDeadline <= Now)
        {
            Node.HandleTimeout(Now);
        }

        for (var round = 0; round < MaxRounds; round++)
        {
            // What answers a peer (acknowledgements, SYN-ACKs, pongs) leaves before local clients are served.
            var sent = Send();
            var delivered = Deliver();
            if (sent == MaxSends)
            {
                return true;
            }

            if (!delivered && sent == 0)
            {
                return false;
            }
        }

        return true;
    }

    private void Receive()
    {
        for (var i = 0; i < MaxReceiveBatches && _socket.Receive(_received); i++)
        {
            for (var m = 0; m < _received.Count; m++)
            {
                var message = _received.Messages[m];
                var rest = _received.Buffer.AsSpan(message.Offset, message.Length);
                do
                {
                    var length = Math.Min(message.SegmentSize, rest.Length);
                    DatagramsReceived++;
                    Node.ReceiveDatagram(Now, message.Source, rest[..length]);
                    rest = rest[length..];
                }
                while (!rest.IsEmpty);
            }

            if (_received.Count < _received.Messages.Length)
            {
                return;
            }
        }
    }

    private bool Deliver()
    {
        var any = false;
        while (Node.TryGetEvent(out var nodeEvent))
        {
            any = true;
            EventSink?.Invoke(nodeEvent);
        }

        return any;
    }

    private int Send()
    {
        var sent = 0;
        for (; sent < MaxSends; sent++)
        {
            var length = Node.Transmit(Now, _sendBuffer, out var transmit);
            if (length == 0)
            {
                break;
            }

            Now = MonotonicClock.Now; // what is sent late in a turn must not look older than it is
            if (transmit.MayFragment)
            {
                _socket.SendWhole(transmit.Destination, _sendBuffer.AsSpan(0, length));
            }
            else
            {
                _socket.Send(transmit.Destination, _sendBuffer.AsSpan(0, length), transmit.SegmentSize);
            }

            DatagramsSent += (length + transmit.SegmentSize - 1) / transmit.SegmentSize;
        }

        return sent;
    }
}
