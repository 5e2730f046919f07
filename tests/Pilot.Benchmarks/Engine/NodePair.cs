using System.Diagnostics;
using Pilot.Engine;
using Pilot.Engine.Streams;
using Pilot.Engine.Trust;
using Pilot.Protocol;

namespace Pilot.Benchmarks.Engine;

/// <summary>Two nodes that trust each other, back to back in one thread: what one transmits the other receives in the same buffer. No sockets, real clock.</summary>
internal sealed class NodePair
{
    private const ushort Port = 1000;
    private const int ChunkSize = 256 * 1024;

    private static readonly TimeSpan OpenPatience = TimeSpan.FromSeconds(5);

    private readonly byte[] _buffer = GC.AllocateUninitializedArray<byte>(128 * 1024, pinned: true);
    private readonly byte[] _chunk = new byte[ChunkSize];
    private readonly Side _a;
    private readonly Side _b;
    private readonly Connection _writer;
    private readonly Connection _reader;

    /// <param name="segmentSize">Largest stream payload of a packet in bytes.</param>
    public NodePair(int segmentSize)
    {
        var options = new ConnectionOptions { MaxReceiveSegment = segmentSize };
        _a = new Side(1, options);
        _b = new Side(2, options);
        _a.Trust(_b);
        _b.Trust(_a);
        var listener = _b.Node.Listen(Port)!;
        _writer = _a.Node.Dial(Now, 2, Port, OpenPatience, out var error) ?? throw new BenchmarkException($"dial: {error}");
        Connection? reader = null;
        var start = Now;
        while (_writer.State != ConnectionState.Established || reader is null)
        {
            Exchange();
            reader ??= _b.Node.Accept(listener);
            if (Now - start > OpenPatience)
            {
                throw new BenchmarkException($"two nodes in memory did not connect: {_writer.State} {_writer.Error}");
            }
        }

        _reader = reader;
    }

    private static Instant Now => new((long)(Stopwatch.GetTimestamp() * (double)TimeSpan.TicksPerSecond / Stopwatch.Frequency) + TimeSpan.TicksPerHour);

    /// <summary>Tunnel packets of both nodes so far.</summary>
    public long Packets => (long)(_a.Node.Statistics.PacketsSent + _b.Node.Statistics.PacketsSent);

    public ConnectionStatus Status => _writer.GetStatus();

    /// <summary>Moves at least that many bytes from A to B.</summary>
    public void Move(long bytes)
    {
        var target = _reader.GetStatus().BytesReceived + bytes;
        while (_reader.GetStatus().BytesReceived < target)
        {
            var now = Now;
            while (_writer.WriteCapacity > 0 && _writer.Write(now, _chunk) > 0)
            {
            }

            _a.Node.Touch(now, _writer);
            Exchange();
            if (_writer.Error != ConnectionError.None || _reader.Error != ConnectionError.None)
            {
                throw new BenchmarkException($"stream failed: {_writer.Error} {_reader.Error}");
            }
        }
    }

    private void Exchange()
    {
        Run(_a, _b);
        if (_reader is not null)
        {
            var now = Now;
            while (_reader.ReadableBytes > 0)
            {
                var readable = _reader.PeekRead();
                readable.CopyTo(_chunk); // as the write to the application would
                _reader.Consume(now, readable.Length);
            }

            _b.Node.Touch(now, _reader);
        }

        Run(_b, _a);
    }

    private void Run(Side from, Side to)
    {
        var now = Now;
        from.Answer(now, to);
        if (from.Node.NextDeadline <= now)
        {
            from.Node.HandleTimeout(now);
        }

        for (var i = 0; i < 16; i++)
        {
            var length = from.Node.Transmit(now, _buffer, out var transmit);
            if (length == 0)
            {
                break;
            }

            for (var at = 0; at < length; at += transmit.SegmentSize)
            {
                to.Node.ReceiveDatagram(now, from.Endpoint, _buffer.AsSpan(at, Math.Min(transmit.SegmentSize, length - at)));
            }
        }

        from.Answer(now, to);
        to.Answer(now, from);
    }

    /// <summary>One node and what its daemon would know.</summary>
    private sealed class Side
    {
        private readonly Identity _identity = Identity.Create();

        public Side(uint nodeId, ConnectionOptions options)
        {
            NodeId = nodeId;
            Endpoint = UdpEndpoint.FromIPv4(0x7F00_0001, (ushort)(4000 + nodeId));
            Node = new Node(new NodeOptions { Streams = options }, _identity, new Randomness(), Now, DateTimeOffset.UtcNow);
            Node.SetRegistered(Now, nodeId);
        }

        public uint NodeId { get; }

        public UdpEndpoint Endpoint { get; }

        public Node Node { get; }

        public void Trust(Side other) => Node.SetTrust(TrustSnapshot.Create(
            [new TrustedPeer { NodeId = other.NodeId, PublicKey = other._identity.PublicKeyText, ApprovedAt = DateTimeOffset.UnixEpoch }], [], []));

        public void Answer(Instant now, Side other)
        {
            while (Node.TryGetEvent(out var nodeEvent))
            {
                switch (nodeEvent.Kind)
                {
                    case NodeEventKind.ResolveNeeded:
                        Node.CompleteResolve(now, nodeEvent.NodeId, new ResolveAnswer(ResolveOutcome.Found, other.Endpoint, []));
                        break;
                    case NodeEventKind.LookupNeeded:
                        Node.CompleteLookup(now, nodeEvent.NodeId, new LookupAnswer(true, other._identity.PublicKey, []));
                        break;
                }
            }
        }
    }

    private sealed class Randomness : IRandomSource
    {
        private readonly Random _random = new(1);

        public void Fill(Span<byte> destination) => _random.NextBytes(destination);

        public uint NextUInt32() => (uint)_random.NextInt64(0, 1L << 32);
    }
}
