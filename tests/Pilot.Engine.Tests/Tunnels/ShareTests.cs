using Pilot.Engine.Streams;

namespace Pilot.Engine.Tests.Tunnels;

/// <summary>Connections and peers share a node's socket and its memory.</summary>
public sealed class ShareTests
{
    private static readonly byte[] Data = new byte[1 << 20];

    /// <summary>A network card that is the bottleneck, eight streams to one peer, one to another, and pings between them.</summary>
    [Fact]
    public void Peers_share_equally_their_streams_too_and_pings_do_not_wait()
    {
        var wire = new Wire { IsLogging = false };
        WireNode node = wire.Add(7);
        WireNode many = wire.Add(9);
        WireNode one = wire.Add(11);
        foreach (WireNode peer in new[] { many, one })
        {
            node.Trust(peer);
            peer.Trust(node);
        }

        const double rate = 40e6;
        node.BytesPerSecond = rate;
        var streams = Enumerable.Range(0, 8).Select(_ => new Bulk(wire, node, many)).Append(new Bulk(wire, node, one)).ToArray();
        bool Step()
        {
            foreach (Bulk stream in streams)
            {
                stream.Step();
            }

            return false;
        }

        wire.RunUntil(Step, TimeSpan.FromSeconds(3));
        long[] before = [.. streams.Select(stream => stream.Received)];
        var pings = new List<TimeSpan>();
        for (long token = 1; token <= 20; token++)
        {
            WireNode target = token % 2 == 0 ? many : one;
            node.Events.Clear();
            node.Node.Ping(wire.Now, target.NodeId, token, TimeSpan.FromSeconds(1));
            wire.RunUntil(Step, TimeSpan.FromMilliseconds(200));
            pings.Add(node.Events.Single(e => e.Kind == NodeEventKind.PingResult && e.Token == token).Rtt);
        }

        long[] bytes = [.. streams.Select((stream, i) => stream.Received - before[i])];
        string all = string.Join(' ', bytes.Select(b => b / 1000));
        Assert.True(bytes.Sum() > rate * 4 * 0.9, $"the card is not used: {all} kB");
        Assert.True(bytes[8] / (double)bytes.Sum() is > 0.4 and < 0.6, all);
        Assert.All(bytes[..8], b => Assert.True(b * 8.0 / bytes[..8].Sum() is > 0.5 and < 2, all));

        // Twice the delay, and the batch of up to 256 KiB that is on the card at that moment.
        Assert.All(pings, rtt => Assert.InRange(rtt, TimeSpan.FromMilliseconds(10), TimeSpan.FromMilliseconds(18)));
    }

    /// <summary>Nobody reads 1,000 streams: the limit holds, a stream with a reader goes on, and all of them when they are read.</summary>
    [Fact]
    public void A_thousand_streams_that_nobody_reads_stay_within_the_limit()
    {
        const int count = 1000;
        const int size = 90_000;
        const long limit = 68L << 20; // 64 KiB for each and a little
        var wire = new Wire { IsLogging = false, BufferLimit = limit };
        WireNode a = wire.Add(7);
        WireNode b = wire.Add(9);
        a.Trust(b);
        b.Trust(a);
        var streams = Enumerable.Range(0, count).Select(_ => new Bulk(wire, a, b, size) { IsReading = false }).ToArray();
        var reader = new Bulk(wire, a, b);
        a.BytesPerSecond = 10e6;
        int turn = 0;
        bool Step()
        {
            reader.Step();
            if (turn++ % 200 == 0)
            {
                foreach (Bulk stream in streams)
                {
                    stream.Step();
                }
            }

            foreach (WireNode node in wire.Nodes)
            {
                ChunkPool pool = node.Node.Chunks;
                Assert.True(pool.Committed << ChunkPool.ChunkShift <= limit && pool.Rented <= pool.Committed, $"{pool.Rented} of {pool.Committed} chunks");
            }

            return false;
        }

        wire.RunUntil(Step, TimeSpan.FromSeconds(20));
        Assert.True(b.Node.Chunks.Rented >= count * 2, $"{b.Node.Chunks.Rented} chunks"); // they are full
        long before = reader.Received;
        a.BytesPerSecond = 1.5e6;
        wire.RunUntil(Step, TimeSpan.FromSeconds(60)); // longer than the user timeout
        Assert.True(reader.Received - before > 40_000_000, $"{reader.Received - before} bytes while the others stood still: {reader}");
        Assert.All(streams, stream => Assert.Equal(ConnectionError.None, stream.Error));
        reader.IsWriting = false;
        a.BytesPerSecond = null;
        foreach (Bulk stream in streams)
        {
            stream.IsReading = true;
        }

        Assert.True(wire.RunUntil(() => Step() || streams.All(stream => stream.Received == size), TimeSpan.FromSeconds(20)), $"{streams.Count(stream => stream.Received < size)} streams are not complete");
        wire.RunFor(TimeSpan.FromMinutes(2));
        Assert.Equal(0, b.Node.Chunks.Rented);
        Assert.False(b.Node.Chunks.HasSpare);
    }

    /// <summary>Zero bytes: a stream from one node to another, whose reader may stand still.</summary>
    private sealed class Bulk
    {
        private readonly Wire _wire;
        private readonly WireNode _from;
        private readonly WireNode _to;
        private readonly Connection _writer;
        private readonly Connection _reader;
        private readonly long _size;
        private long _written;

        public Bulk(Wire wire, WireNode from, WireNode to, long size = long.MaxValue)
        {
            (_wire, _from, _to, _size) = (wire, from, to, size);
            Listener listener = to.Node.Listen(0, 1)!;
            _writer = from.Node.Dial(wire.Now, to.NodeId, listener.Port, TimeSpan.FromSeconds(10), out _)!;
            Connection? accepted = null;
            Assert.True(wire.RunUntil(() => (accepted ??= to.Node.Accept(listener)) is not null && _writer.State == ConnectionState.Established, TimeSpan.FromSeconds(10)), $"{_writer.State} {_writer.Error} {_writer.ErrorDetail}");
            _reader = accepted!;
        }

        public bool IsReading { get; set; } = true;

        public bool IsWriting { get; set; } = true;

        public long Received { get; private set; }

        public ConnectionError Error => _writer.Error != ConnectionError.None ? _writer.Error : _reader.Error;

        public override string ToString() => $"{Received} of {_written} read\n{_writer.GetStatus()}\n{_reader.GetStatus()}";

        public void Step()
        {
            int room = (int)Math.Min(_writer.WriteCapacity, Math.Min(Data.Length, _size - _written));
            if (IsWriting && room > 0)
            {
                Assert.Equal(room, _writer.Write(_wire.Now, Data.AsSpan(0, room)));
                _written += room;
                _from.Node.Touch(_wire.Now, _writer);
            }

            while (IsReading && _reader.ReadableBytes > 0)
            {
                int length = _reader.PeekRead().Length;
                _reader.Consume(_wire.Now, length);
                Received += length;
                _to.Node.Touch(_wire.Now, _reader);
            }
        }
    }
}
