using Pilot.Client;
using Pilot.EndToEnd.Tests.Lab;
using Pilot.Ipc;

namespace Pilot.EndToEnd.Tests;

/// <summary>A registered node without trust can neither find, dial nor send, and cannot tell a private name from none.</summary>
[Collection(TrustedPairCollection.Name)]
public sealed class StrangerTests(TrustedPair pair) : IAsyncLifetime
{
    private readonly TestNode _stranger = new(pair.Rendezvous.Registry, pair.Rendezvous.Beacon, "stranger");

    public async ValueTask InitializeAsync()
    {
        try
        {
            await _stranger.StartAsync();
        }
        catch
        {
            await DisposeAsync(); // xUnit does not dispose what failed to initialise
            throw;
        }
    }

    public ValueTask DisposeAsync() => _stranger.DisposeAsync();

    [Fact]
    public async Task A_stranger_learns_nothing()
    {
        // Finding: the private name and no name at all answer alike.
        Outcome existing = await _stranger.JsonAsync("find", "agent-b");
        Outcome missing = await _stranger.JsonAsync("find", "agent-q");
        Assert.Equal((1, "not_found"), (existing.Exit, existing.Code));
        Assert.Equal(missing.Stderr, existing.Stderr.Replace("agent-b", "agent-q", StringComparison.Ordinal));

        // The registry's public record holds neither endpoint nor name.
        Outcome record = await _stranger.CtlAsync("lookup", $"{pair.B.NodeId}");
        Assert.DoesNotContain("real_addr", record.Stdout, StringComparison.Ordinal);
        Assert.DoesNotContain("127.0.0.1", record.Stdout, StringComparison.Ordinal);

        // Dialling by number.
        Outcome ping = await _stranger.JsonAsync("ping", $"{pair.B.NodeId}", "--count", "1", "--timeout", "5s");
        Assert.Equal((1, 0), (ping.Exit, ping.Data.GetProperty("received").GetInt32()));
        Outcome send = await _stranger.JsonAsync("send", $"{pair.B.NodeId}", "1000", "--data", "x", "--timeout", "5s");
        Assert.Equal((1, "connection_failed"), (send.Exit, send.Code));

        // A handshake by name answers alike for a name that exists and one that does not.
        Outcome known = await _stranger.JsonAsync("handshake", "agent-b");
        Outcome unknown = await _stranger.JsonAsync("handshake", "agent-q");
        Assert.Equal(unknown.Stdout.Replace("agent-q", "agent-b", StringComparison.Ordinal), known.Stdout);
        Assert.Equal(0, known.Data.GetProperty("node_id").GetInt32());
    }

    [Fact]
    public async Task A_strangers_datagram_does_not_arrive()
    {
        CancellationToken token = TestContext.Current.CancellationToken;
        await using PilotClient receiver = pair.B.NewClient();
        await using PilotClient stranger = _stranger.NewClient();
        await using PilotClient friend = pair.A.NewClient();
        List<string> sources = [];
        using CancellationTokenSource stop = CancellationTokenSource.CreateLinkedTokenSource(token);
        TaskCompletionSource subscribed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Task receiving = Task.Run(
            async () =>
            {
                await foreach (DatagramEvent datagram in receiver.SubscribeDatagramsAsync([6001], subscribed.SetResult, stop.Token))
                {
                    sources.Add(datagram.Src);
                    if (sources.Count == 3)
                    {
                        break;
                    }
                }
            },
            token);
        await subscribed.Task.WaitAsync(token);
        await Wait.UntilAsync(
            "three datagrams arrived",
            async () =>
            {
                Exception? refused = await Record.ExceptionAsync(
                    () => stranger.SendDatagramAsync($"{pair.B.NodeId}", 6001, "from a stranger"u8.ToArray(), cancellationToken: token));
                Assert.True(refused is null or PilotException, refused?.ToString());
                await friend.SendDatagramAsync("agent-b", 6001, "from a friend"u8.ToArray(), cancellationToken: token);
                return receiving.IsCompleted;
            });
        await receiving;
        Assert.All(sources, s => Assert.Equal(pair.A.Address, s));
    }
}
