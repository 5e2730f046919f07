using Pilot.Engine.Streams;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Streams;

/// <summary>A transfer in steady state allocates nothing per packet (design rule 4).</summary>
public sealed class SteadyStateTests
{
    private readonly ChunkPool _pool = new();
    private readonly byte[] _packets = new byte[64 * (Packet.HeaderSize + 4096)];
    private readonly int[] _lengths = new int[64];
    private readonly byte[] _data = new byte[64 << 10];
    private Instant _now = new(TimeSpan.TicksPerDay);
    private Connection _left, _right;

    public SteadyStateTests()
    {
        PilotAddress one = PilotAddress.OfNode(1);
        PilotAddress two = PilotAddress.OfNode(2);
        _left = Connection.Dial(1, one, 1, two, 2, 7, ConnectionOptions.Default, _pool, _now, default);
        Assert.True(_left.TryTransmit(_now, _packets, out int length));
        Assert.True(Packet.TryParseAuthenticated(_packets.AsSpan(0, length), out PacketHeader syn, out ReadOnlySpan<byte> payload));
        _right = Connection.Accept(2, syn, payload, 9, ConnectionOptions.Default, _pool, _now);
        _left.MaxSegmentPayload = _right.MaxSegmentPayload = 4096;
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Bulk_transfer_allocates_nothing_per_packet(bool withLoss)
    {
        Move(32 << 20, withLoss); // warm-up: pools, tables, tiered code
        long before = GC.GetAllocatedBytesForCurrentThread();
        long segments = _left.GetStatus().SegmentsSent;
        Move(64 << 20, withLoss);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        segments = _left.GetStatus().SegmentsSent - segments;
        Assert.True(segments > 15_000, $"{segments} segments");
        Assert.True(allocated < segments, $"{allocated} bytes for {segments} segments");
        Assert.Equal(withLoss, _left.GetStatus().Retransmissions > 0);
    }

    internal void Move(long bytes, bool withLoss)
    {
        long target = _right.GetStatus().BytesReceived + bytes;
        long written = _left.GetStatus().BytesSent + _left.UnacknowledgedBytes;
        int turn = 0;
        while (_right.GetStatus().BytesReceived < target)
        {
            written += _left.Write(_now, _data);
            Carry(_left, _right, withLoss && ++turn % 50 == 0);
            while (_right.ReadableBytes > 0)
            {
                _right.Consume(_now, _right.PeekRead().Length);
            }
            _now += TimeSpan.FromMicroseconds(50);
            Carry(_right, _left, false);
            if (_left.Deadline <= _now)
            {
                _left.HandleDeadline(_now);
            }
            if (_right.Deadline <= _now)
            {
                _right.HandleDeadline(_now);
            }
        }
    }

    private void Carry(Connection from, Connection to, bool dropFirst)
    {
        int count = 0;
        int at = 0;
        while (count < _lengths.Length && from.TryTransmit(_now, _packets.AsSpan(at), out int length))
        {
            _lengths[count++] = length;
            at += length;
        }
        at = 0;
        for (int i = 0; i < count; i++)
        {
            Span<byte> packet = _packets.AsSpan(at, _lengths[i]);
            at += _lengths[i];
            Assert.True(Packet.TryParseAuthenticated(packet, out PacketHeader header, out ReadOnlySpan<byte> payload));
            if (!(dropFirst && i == 0))
            {
                to.Receive(_now, header, payload);
            }
        }
    }
}
