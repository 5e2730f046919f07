using Pilot.Engine.Streams;

namespace Pilot.Engine.Tests.Streams;

/// <summary>
/// Connections that share too little memory, on paths that lose, repeat, reorder, go dark and change their size, with readers that
/// pause and ends that close early or break off. Whatever happens: every byte once and in order, or an error; nobody hangs; memory
/// stays within its bound and comes back.
/// </summary>
public sealed class HardshipTests
{
    private const int Seeds = 20;
    private static readonly TimeSpan Slice = TimeSpan.FromMilliseconds(10);
    private static readonly int[] PathSizes = [1152, 1402, 4096, 16_000, 60_000];

    [Theory]
    [InlineData(0)]
    [InlineData(20)]
    [InlineData(40)]
    public void Bytes_arrive_once_and_in_order_or_an_error_tells(int firstSeed)
    {
        for (int seed = firstSeed; seed < firstSeed + Seeds; seed++)
        {
            new Run(seed).Play();
        }
    }

    private sealed class Run
    {
        private readonly Random _random;
        private readonly int _seed;
        private readonly ChunkPool _leftPool;
        private readonly ChunkPool _rightPool;
        private readonly long _limit;
        private readonly Couple[] _couples;

        public Run(int seed)
        {
            _seed = seed;
            _random = new Random(seed);
            int count = _random.Next(1, 5);
            _limit = count * 4 + _random.Next(2, 60);
            _leftPool = new ChunkPool(_limit << ChunkPool.ChunkShift);
            _rightPool = new ChunkPool(_limit << ChunkPool.ChunkShift);
            _couples = [.. Enumerable.Range(0, count).Select(i => new Couple(_random, _leftPool, _rightPool, (seed * 10) + i))];
        }

        public void Play()
        {
            try
            {
                for (int slice = 0; !_couples.All(couple => couple.IsOver); slice++)
                {
                    Assert.True(slice < 60_000, "not over after ten minutes");
                    foreach (Couple couple in _couples)
                    {
                        couple.Step(slice);
                        Assert.True(_leftPool.Committed <= _limit && _rightPool.Committed <= _limit, "more memory than the limit");
                    }
                }
                foreach (Couple couple in _couples)
                {
                    couple.Check();
                }
                Assert.Equal((0, 0), (_leftPool.Committed, _rightPool.Committed));
            }
            catch (Exception e)
            {
                throw new TestSeedException($"seed {_seed}: {e.Message}\n{string.Join('\n', _couples.Select(couple => couple.Describe()))}", e);
            }
        }
    }

    private sealed class Couple
    {
        private enum Ending
        {
            BothWays, LeftCloses, LeftAborts,
        }

        private readonly Random _random;
        private readonly ConnectionPair _pair;
        private readonly ConnectionHost _right;
        private readonly Link _good;
        private readonly int _leftLength, _rightLength, _seed, _endAt;
        private readonly Ending _ending;
        private Transfer? _left, _rightTransfer;
        private int _leftPausedUntil, _rightPausedUntil, _darkUntil;
        private int _pathSize = 1152;
        private bool _hasEnded;

        public Couple(Random random, ChunkPool left, ChunkPool right, int seed)
        {
            (_random, _seed) = (random, seed);
            int receive = random.Next(40_000, 1_000_000);
            ConnectionOptions options = new()
            {
                ReceiveBufferLimit = receive,
                ReceiveBufferStart = Math.Min(receive, 300_000),
                ReceiveBufferNear = Math.Min(receive, 100_000),
                SendBufferStart = random.Next(20_000, 300_000),
                CongestionControl = random.Next(3) == 0 ? CongestionControl.Cubic : CongestionControl.Bbr,
            };
            _good = new Link
            {
                Latency = TimeSpan.FromMilliseconds(random.NextDouble() * random.Next(1, 60)),
                Loss = random.Next(3) * random.NextDouble() * 0.05,
                Duplication = random.NextDouble() * 0.03,
                Reordering = random.Next(2) * random.NextDouble() * 0.1,
            };
            uint isn = (uint)random.NextInt64(1L << 32);
            ConnectionHost dialer = new(options, isn) { Pool = left };
            _right = new ConnectionHost(options, isn * 7) { Pool = right };
            _pair = new ConnectionPair(dialer, _right, _good, seed) { IsRecording = false };
            _pair.Drop = packet => packet.Payload.Length > _pathSize;
            dialer.Dial(_pair.Now, ConnectionPair.LeftAddress, ConnectionPair.LeftPort, ConnectionPair.RightAddress, ConnectionPair.RightPort);
            _leftLength = random.Next(2) * random.Next(0, 400_000);
            _rightLength = random.Next(2) * random.Next(0, 400_000);
            _ending = (Ending)Math.Max(0, random.Next(-3, 3));
            _endAt = random.Next(10, 500);
        }

        public bool IsOver => _left is not null && IsDone(_pair.LeftConnection) && IsDone(_right.Connection!);

        private static bool IsDone(Connection connection) => connection.State == ConnectionState.Closed && connection.ReadableBytes == 0;

        public string Describe() => $"{_ending} {_left?.Received}/{_rightLength} {_rightTransfer?.Received}/{_leftLength} left {_pair.LeftConnection.Error} {_pair.LeftConnection.GetStatus()}\n  right {_right.Connection?.Error} {_right.Connection?.GetStatus()}";

        public void Step(int slice)
        {
            if (IsOver)
            {
                return;
            }
            if (slice < 2000)
            {
                Disturb(slice);
            }
            _pair.Link = slice < _darkUntil ? _good with { Loss = 1 } : _good;
            _pair.Run(Slice);
            if (_left is null)
            {
                if (_right.Connection is not { } accepted || _pair.LeftConnection.State == ConnectionState.SynSent)
                {
                    Assert.NotEqual(ConnectionState.Closed, _pair.LeftConnection.State);
                    return;
                }
                _left = new Transfer(_pair.LeftConnection, _leftLength, _seed, _rightLength, _seed + 1) { ReadLimit = _random.Next(1, 100_000) };
                _rightTransfer = new Transfer(accepted, _rightLength, _seed + 1, _leftLength, _seed) { ReadLimit = _random.Next(5_000, 100_000) };
            }
            if (_ending != Ending.BothWays && !_hasEnded && (slice >= _endAt || _left.IsSent))
            {
                _hasEnded = true;
                if (_ending == Ending.LeftCloses)
                {
                    _pair.LeftConnection.Close(_pair.Now);
                }
                else
                {
                    _pair.LeftConnection.Abort(_pair.Now);
                }
            }
            if (slice >= _leftPausedUntil && !_hasEnded)
            {
                _left.Act(_pair.Now);
            }
            if (slice >= _rightPausedUntil)
            {
                _rightTransfer!.Act(_pair.Now);
                if (_right.Connection!.Error != ConnectionError.None || (_hasEnded && _right.Connection.IsReadEnded))
                {
                    _right.Connection.Close(_pair.Now);
                }
            }
        }

        // a reader rests, the path goes dark, or it is another one
        private void Disturb(int slice)
        {
            switch (_random.Next(400))
            {
                case 0:
                    _leftPausedUntil = slice + _random.Next(1, 3000);
                    break;
                case 1:
                    _rightPausedUntil = slice + _random.Next(1, 3000);
                    break;
                case 2 when _left is not null:
                    _darkUntil = slice + _random.Next(1, 1000);
                    break;
                case 3 or 4 when _left is not null:
                    _pathSize = PathSizes[_random.Next(PathSizes.Length)];
                    foreach (Connection connection in new[] { _pair.LeftConnection, _right.Connection! })
                    {
                        connection.MaxSegmentPayload = _pathSize;
                        if (_random.Next(2) == 0)
                        {
                            connection.OnPathChanged(_pair.Now);
                        }
                    }
                    break;
            }
        }

        public void Check()
        {
            Connection left = _pair.LeftConnection;
            Connection right = _right.Connection!;
            if (_ending == Ending.BothWays)
            {
                Assert.True(_left!.IsReceived && _rightTransfer!.IsReceived, "bytes are missing");
                Assert.Equal((ConnectionError.None, ConnectionError.None), (left.Error, right.Error));
            }
            else if (right.IsReadEnded && right.Error == ConnectionError.None)
            {
                Assert.Equal(_left!.Sent, _rightTransfer!.Received); // a clean end never hides anything
            }
            else
            {
                Assert.NotEqual(ConnectionError.None, right.Error);
            }
        }
    }
}
