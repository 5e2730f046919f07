using Pilot.Engine.Streams;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Streams.Bottleneck;

/// <summary>One of our connections: an application that always has something to write, and one that reads and checks at once.</summary>
internal sealed class PilotFlow : IFlow
{
    /// <summary>Tunnel, relay-free: packet header 34, encryption 36, UDP and IPv4 28; all but the 34 are added here.</summary>
    public const int FrameOverhead = 36 + 28;

    private const int PatternLength = 251 << 10; // no multiple of any segment, so a misplaced one shows
    private static readonly byte[] Pattern = MakePattern();

    private readonly SenderEnd _sender;
    private readonly ReceiverEnd _receiver;

    public PilotFlow(ConnectionOptions options, int segment, int seed, Instant start, long limit = long.MaxValue)
    {
        _receiver = new ReceiverEnd(options, segment, (uint)(seed * 7919), Pool);
        _sender = new SenderEnd(options, segment, (uint)(seed * 104729), start, limit, Pool);
    }

    /// <summary>Buffers of both ends.</summary>
    public ChunkPool Pool { get; } = new();

    public IFlowEnd Sender => _sender;

    public IFlowEnd Receiver => _receiver;

    public long Delivered => _receiver.Delivered;

    /// <summary>The sending connection, once it dialled.</summary>
    public Connection Connection => _sender.Connection!;

    public Connection? ReceivingConnection => _receiver.Connection;

    private static byte[] MakePattern()
    {
        byte[] pattern = new byte[PatternLength];
        new Random(4711).NextBytes(pattern);
        return pattern;
    }

    private sealed class SenderEnd(ConnectionOptions options, int segment, uint isn, Instant start, long limit, ChunkPool pool) : IFlowEnd
    {
        private static readonly PilotAddress From = PilotAddress.OfNode(1);
        private static readonly PilotAddress To = PilotAddress.OfNode(2);
        private long _written;

        public Connection? Connection { get; private set; }

        public Instant Deadline => Connection?.Deadline ?? start;

        public void OnDeadline(Instant now)
        {
            if (Connection is null)
            {
                Connection = Connection.Dial(1, From, (ushort)isn, To, 7, isn, options, pool, now, TimeSpan.FromSeconds(60));
                Connection.MaxSegmentPayload = segment;
            }
            else
            {
                Connection.HandleDeadline(now);
                Connection.TakeSignals();
            }
            Write(now);
        }

        public void OnPacket(Instant now, ReadOnlySpan<byte> packet)
        {
            Assert.True(Packet.TryParseAuthenticated(packet, out PacketHeader header, out ReadOnlySpan<byte> payload));
            Connection!.Receive(now, header, payload);
            Connection.TakeSignals();
            Write(now);
        }

        public int TryTransmit(Instant now, Span<byte> packet, out int wireSize)
        {
            wireSize = 0;
            if (Connection is null || !Connection.TryTransmit(now, packet, out int length))
            {
                return 0;
            }
            wireSize = length + FrameOverhead;
            return length;
        }

        // like a daemon that is woken when there is room for a good piece
        private void Write(Instant now)
        {
            if (Connection!.State != ConnectionState.Established || Connection.WriteCapacity < 64 << 10)
            {
                return;
            }
            while (_written < limit)
            {
                int at = (int)(_written % PatternLength);
                int taken = Connection.Write(now, Pattern.AsSpan(at, (int)Math.Min(PatternLength - at, limit - _written)));
                if (taken == 0)
                {
                    return;
                }
                _written += taken;
            }
        }
    }

    private sealed class ReceiverEnd(ConnectionOptions options, int segment, uint isn, ChunkPool pool) : IFlowEnd
    {
        public Connection? Connection { get; private set; }

        public long Delivered { get; private set; }

        public Instant Deadline => Connection?.Deadline ?? Instant.Never;

        public void OnDeadline(Instant now)
        {
            Connection!.HandleDeadline(now);
            Read(now);
        }

        public void OnPacket(Instant now, ReadOnlySpan<byte> packet)
        {
            Assert.True(Packet.TryParseAuthenticated(packet, out PacketHeader header, out ReadOnlySpan<byte> payload));
            if (Connection is null)
            {
                Connection = Connection.Accept(2, header, payload, isn, options, pool, now);
                Connection.MaxSegmentPayload = segment;
                return;
            }
            Connection.Receive(now, header, payload);
            Read(now);
        }

        public int TryTransmit(Instant now, Span<byte> packet, out int wireSize)
        {
            wireSize = 0;
            if (Connection is null || !Connection.TryTransmit(now, packet, out int length))
            {
                return 0;
            }
            wireSize = length + FrameOverhead;
            return length;
        }

        private void Read(Instant now)
        {
            Connection!.TakeSignals();
            while (Connection.ReadableBytes > 0)
            {
                ReadOnlySpan<byte> run = Connection.PeekRead();
                int at = (int)(Delivered % PatternLength);
                run = run[..Math.Min(run.Length, PatternLength - at)];
                Assert.True(run.SequenceEqual(Pattern.AsSpan(at, run.Length)), "wrong bytes");
                Delivered += run.Length;
                Connection.Consume(now, run.Length);
            }
        }
    }
}
