using Pilot.Engine.Streams;

namespace Pilot.Engine.Tests.Streams;

/// <summary>All stream buffers together are full: what was promised to a sender cannot be kept for a while.</summary>
public sealed class StarvationTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Data_that_memory_refused_come_when_there_is_room_again(bool withFin)
    {
        ChunkPool pool = new(1 << 20);
        ConnectionHost left = new(ConnectionOptions.Default, 1000);
        ConnectionHost right = new(ConnectionOptions.Default, 2000) { Pool = pool };
        ConnectionPair pair = new(left, right);
        left.Dial(pair.Now, ConnectionPair.LeftAddress, ConnectionPair.LeftPort, ConnectionPair.RightAddress, ConnectionPair.RightPort);
        pair.RunUntil(() => right.Connection is not null && left.Connection!.State == ConnectionState.Established);

        while (pool.TryRent(ChunkPool.Guaranteed) >= 0) // others take all that is not guaranteed
        {
        }
        Transfer sender = new(left.Connection!, 50_000, 1, 0, 2) { ShutsDown = withFin };
        sender.Act(pair.Now);
        pair.Run(TimeSpan.FromSeconds(100)); // longer than the user timeout
        Assert.Equal(withFin ? ConnectionState.FinWait : ConnectionState.Established, left.Connection!.State);
        Assert.InRange(right.Connection!.ReadableBytes, 1, ChunkPool.Guaranteed * ChunkPool.ChunkSize);

        Transfer reader = new(right.Connection, 0, 2, 50_000, 1) { ShutsDown = false };
        pair.RunUntil(() => reader.IsReceived && right.Connection.IsReadEnded == withFin, TimeSpan.FromSeconds(30), () => reader.Act(pair.Now));
    }
}
