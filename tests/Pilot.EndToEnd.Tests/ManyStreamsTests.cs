using System.Security.Cryptography;
using Pilot.Client;
using Pilot.EndToEnd.Tests.Lab;

namespace Pilot.EndToEnd.Tests;

/// <summary>A thousand streams at once between two daemons.</summary>
[Collection(TrustedPairCollection.Name)]
public sealed class ManyStreamsTests(TrustedPair pair)
{
    private const int Streams = 1000;
    private const int Size = 1_000_000;

    [Fact]
    public async Task A_thousand_streams_move_a_megabyte_each()
    {
        ThreadPool.SetMinThreads(2 * Streams, 2 * Streams); // this process is not what is tested: its pool would add a thread or two per second
        CancellationToken token = TestContext.Current.CancellationToken;
        await using PilotClient a = pair.A.NewClient();
        await using PilotClient b = pair.B.NewClient();
        await using PilotListener listener = await b.ListenAsync(0, Streams, cancellationToken: token);
        byte[] pattern = new byte[Size + Streams];
        new Random(7).NextBytes(pattern);

        // All are open before the first byte moves. Each one says which it is; its bytes are the pattern from there on.
        Task<PilotStream[]> accepting = Task.Run(async () =>
        {
            PilotStream[] accepted = new PilotStream[Streams];
            for (int i = 0; i < Streams; i++)
            {
                accepted[i] = await listener.AcceptAsync(token);
            }

            return accepted;
        }, token);
        PilotStream[] dialled = new PilotStream[Streams];
        for (int i = 0; i < Streams; i++)
        {
            dialled[i] = await a.DialAsync(pair.B.Address, listener.Port, cancellationToken: token);
        }

        PilotStream[] incoming = await accepting;
        Task[] writing = [.. dialled.Select((stream, i) => Task.Run(async () =>
        {
            await stream.WriteAsync(BitConverter.GetBytes(i), token);
            await stream.WriteAsync(pattern.AsMemory(i, Size), token);
            stream.CompleteWrites();
            Assert.Equal(0, await stream.ReadAsync(new byte[1], token)); // the other side has read all and closed
            await stream.DisposeAsync();
        }, token))];
        int[] numbers = await Task.WhenAll(incoming.Select(stream => Task.Run(async () =>
        {
            await using (stream)
            {
                byte[] number = new byte[sizeof(int)];
                await stream.ReadExactlyAsync(number, token);
                int i = BitConverter.ToInt32(number);
                byte[] hash = await SHA256.HashDataAsync(stream, token);
                Assert.Equal(SHA256.HashData(pattern.AsSpan(i, Size)), hash);
                return i;
            }
        }, token)));
        await Task.WhenAll(writing);
        Assert.Equal(Enumerable.Range(0, Streams), numbers.Order());
        foreach (TestNode node in new[] { pair.A, pair.B })
        {
            string limits = await File.ReadAllTextAsync($"/proc/{node.Pid}/limits", token);
            string[] files = limits.Split('\n').Single(line => line.StartsWith("Max open files", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries);
            Assert.Equal(files[^2], files[^3]); // the soft limit is the hard one
        }
    }
}
