using Pilot.Engine.Streams;

namespace Pilot.Engine.Tests.Streams;

/// <summary>Whole transfers between a connection of ours and the reference double.</summary>
public sealed class ReferenceTransferTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(50)]
    [InlineData(100)]
    [InlineData(150)]
    public void Random_transfers_over_fifty_seeds_arrive_complete(int firstSeed)
    {
        for (int seed = firstSeed; seed < firstSeed + 50; seed++)
        {
            Random random = new(seed);
            Link link = new()
            {
                Latency = TimeSpan.FromMilliseconds(random.Next(0, 40)),
                Loss = 0.02,
                Duplication = 0.02,
                Reordering = 0.02,
            };
            Run(seed, weDial: seed % 2 == 0, random.Next(0, 200_000), random.Next(0, 200_000), link);
        }
    }

    /// <summary>The path is another one now and then, wider or narrower, and what was learnt about it is forgotten; boundaries that a reference has seen stay.</summary>
    [Fact]
    public void Transfers_arrive_complete_over_paths_that_change()
    {
        int[] sizes = [1152, 1402, 4096, 60_000];
        for (int seed = 1000; seed < 1040; seed++)
        {
            Random random = new(seed);
            Link link = new() { Latency = TimeSpan.FromMilliseconds(random.Next(0, 40)), Loss = random.NextDouble() * 0.03, Reordering = 0.02 };
            Run(seed, weDial: seed % 2 == 0, random.Next(0, 300_000), random.Next(0, 300_000), link, pair =>
            {
                if (random.Next(60) == 0)
                {
                    pair.LeftConnection.MaxSegmentPayload = sizes[random.Next(sizes.Length)];
                    if (random.Next(2) == 0)
                    {
                        pair.LeftConnection.OnPathChanged(pair.Now);
                    }
                }
            });
        }
    }

    private static void Run(int seed, bool weDial, int ourLength, int theirLength, Link link, Action<ConnectionPair>? disturb = null)
    {
        (ConnectionPair pair, ReferencePeer reference) = ConnectionPair.WithReference(weDial, link: link, seed: seed, segment: seed % 3 == 0 ? 4096 : 1152);
        pair.IsRecording = false;
        ConnectionHost host = (ConnectionHost)pair.Left;
        try
        {
            int delivered = 0;
            reference.OnRead = data =>
            {
                foreach (byte value in data)
                {
                    if (value != Transfer.ByteAt(1, delivered++))
                    {
                        Assert.Fail($"wrong byte at {delivered - 1}");
                    }
                }
            };
            pair.RunUntil(() => host.Connection?.State == ConnectionState.Established && reference.IsEstablished, TimeSpan.FromSeconds(40));
            Transfer ours = new(host.Connection!, ourLength, 1, theirLength, 2);
            byte[] theirs = new byte[theirLength];
            for (int i = 0; i < theirLength; i++)
            {
                theirs[i] = Transfer.ByteAt(2, i);
            }
            reference.Write(pair.Now, theirs);
            pair.RunUntil(
                () => ours.IsSent && ours.IsReceived && delivered == ourLength && host.Connection!.UnacknowledgedBytes == 0 && !reference.HasUnsent,
                TimeSpan.FromSeconds(300), () =>
                {
                    disturb?.Invoke(pair);
                    ours.Act(pair.Now);
                });
            Assert.Equal(ConnectionState.Established, host.Connection!.State);
            host.Connection.Close(pair.Now);
            pair.Run(TimeSpan.FromSeconds(60));
            Assert.Equal(ConnectionState.Closed, host.Connection.State);
            Assert.Equal(ConnectionError.None, host.Connection.Error);
            Assert.True(reference.ReadEnded);
            Assert.Equal(0, host.Pool.Rented);
        }
        catch (Exception e) when (e is not TestSeedException)
        {
            throw new TestSeedException($"seed {seed}: {e.Message}\nours {host.Connection?.GetStatus()}\nreference {reference.State} {reference.BytesDelivered} of {ourLength}", e);
        }
    }
}
