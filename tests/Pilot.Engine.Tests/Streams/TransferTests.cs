using Pilot.Engine.Streams;

namespace Pilot.Engine.Tests.Streams;

/// <summary>Whole transfers between two of ours over bad links.</summary>
public sealed class TransferTests
{
    [Fact]
    public void Hello_goes_both_ways_and_both_ends_close()
    {
        ConnectionPair pair = ConnectionPair.Ours();
        pair.RunUntil(() => pair.Right is ConnectionHost { Connection: not null } && pair.LeftConnection.State == ConnectionState.Established);
        Transfer left = new(pair.LeftConnection, 5, 1, 7, 2);
        Transfer right = new(pair.RightConnection, 7, 2, 5, 1);
        void Act()
        {
            left.Act(pair.Now);
            right.Act(pair.Now);
        }
        Act();
        pair.RunUntil(() => pair.LeftConnection.State == ConnectionState.TimeWait && pair.RightConnection.State == ConnectionState.TimeWait, eachStep: Act);
        Assert.True(pair.LeftConnection.IsReadEnded);
        Assert.True(pair.RightConnection.IsReadEnded);
        Assert.True(pair.LeftConnection.PeerIsExtended);
        Assert.True(pair.RightConnection.PeerIsExtended);
        Assert.Equal(ConnectionError.None, pair.LeftConnection.Error);
        pair.Run(TimeSpan.FromSeconds(11));
        Assert.Equal(ConnectionState.Closed, pair.LeftConnection.State);
        Assert.True(((ConnectionHost)pair.Left).Signals.HasFlag(ConnectionSignals.Closed));
        Assert.Equal(0, ((ConnectionHost)pair.Left).Pool.Rented);
        Assert.Equal(0, ((ConnectionHost)pair.Right).Pool.Rented);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(250)]
    [InlineData(500)]
    [InlineData(750)]
    public void Random_transfers_over_a_thousand_seeds_arrive_complete(int firstSeed)
    {
        for (int seed = firstSeed; seed < firstSeed + 250; seed++)
        {
            Random random = new(seed);
            Link link = new()
            {
                Latency = TimeSpan.FromMilliseconds(random.Next(0, 40)),
                Loss = 0.02,
                Duplication = 0.02,
                Reordering = 0.02,
            };
            uint isn = seed % 3 == 0 ? (uint)-random.Next(1, 100_000) : (uint)random.Next(); // a third wraps on both sides
            RunBothWays(ConnectionPair.Ours(link: link, seed: seed, isn: isn), random.Next(0, 300_000), random.Next(0, 300_000), seed);
        }
    }

    [Fact]
    public void Handshake_survives_thirty_percent_loss()
    {
        for (int seed = 0; seed < 60; seed++)
        {
            Link link = new() { Loss = 0.3, Latency = TimeSpan.FromMilliseconds(15) };
            RunBothWays(ConnectionPair.Ours(link: link, seed: seed), 3000, 3000, seed);
        }
    }

    internal static void RunBothWays(ConnectionPair pair, int leftLength, int rightLength, int seed, bool record = false)
    {
        pair.IsRecording = record;
        try
        {
            ConnectionHost right = (ConnectionHost)pair.Right;
            pair.RunUntil(() => right.Connection is not null && pair.LeftConnection.State == ConnectionState.Established, TimeSpan.FromSeconds(15));
            Transfer a = new(pair.LeftConnection, leftLength, seed, rightLength, seed + 1);
            Transfer b = new(right.Connection!, rightLength, seed + 1, leftLength, seed);
            void Act()
            {
                a.Act(pair.Now);
                b.Act(pair.Now);
            }
            Act();
            pair.RunUntil(
                () => pair.LeftConnection.IsReadEnded && right.Connection!.IsReadEnded && pair.LeftConnection.IsWriteClosed && right.Connection.IsWriteClosed,
                TimeSpan.FromSeconds(300), Act);
            Assert.True(a.IsReceived && b.IsReceived);
            pair.Run(TimeSpan.FromSeconds(120));
            Assert.Equal(ConnectionError.None, pair.LeftConnection.Error);
            Assert.Equal(ConnectionError.None, right.Connection!.Error);
            Assert.Equal(ConnectionState.Closed, pair.LeftConnection.State);
            Assert.Equal(ConnectionState.Closed, right.Connection.State);
            Assert.Equal(0, right.Pool.Rented);
        }
        catch (Exception e) when (e is not TestSeedException)
        {
            throw new TestSeedException($"seed {seed}: {e.Message}\nleft {pair.LeftConnection.GetStatus()}\nright {((ConnectionHost)pair.Right).Connection?.GetStatus()}", e);
        }
    }
}

/// <summary>Names the seed of a failed random run.</summary>
internal sealed class TestSeedException(string message, Exception inner) : Exception(message, inner);
