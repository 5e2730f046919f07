using System.Text.Json;
using Pilot.Client;
using Pilot.EndToEnd.Tests.Lab;

namespace Pilot.EndToEnd.Tests;

/// <summary><c>kill -9</c> of a daemon or of the rendezvous is recovered by starting it again.</summary>
public sealed class RecoveryTests : IAsyncLifetime
{
    private RendezvousProcess _rendezvous = null!;
    private TestNode _a = null!;
    private TestNode _b = null!;

    public async ValueTask InitializeAsync()
    {
        _rendezvous = await RendezvousProcess.StartNewAsync();
        _a = new TestNode(_rendezvous.Registry, _rendezvous.Beacon, "agent-a");
        _b = new TestNode(_rendezvous.Registry, _rendezvous.Beacon, "agent-b");
        try
        {
            await TrustEachOtherAsync();
        }
        catch
        {
            await DisposeAsync(); // xUnit does not dispose what failed to initialise, and processes would stay behind
            throw;
        }
    }

    private async Task TrustEachOtherAsync()
    {
        await Task.WhenAll(_a.StartAsync(), _b.StartAsync());
        Assert.Equal("sent", (await _a.JsonAsync("trust", "add", "agent-b")).Data.GetProperty("status").GetString());
        Outcome second = await _b.CtlAsync("trust", "add", "agent-a", "--wait", "20s");
        Assert.True(second.Exit == 0, second.Everything);
        await _a.WaitForTrustAsync(_b);
    }

    public async ValueTask DisposeAsync()
    {
        await _a.DisposeAsync();
        await _b.DisposeAsync();
        await _rendezvous.DisposeAsync();
    }

    [Fact]
    public async Task Identity_address_and_trust_survive_and_everybody_registers_again()
    {
        await PingAsync(_a, "agent-b");
        string key = await PublicKeyAsync(_a);
        string address = _a.Address;

        // A stream of the dead daemon does not look like an orderly end.
        await using PilotClient client = _a.NewClient();
        await using PilotStream stream = await client.DialAsync("agent-b", 7, cancellationToken: TestContext.Current.CancellationToken);

        // A daemon: its peer talks to it again without any action of its own.
        await _a.KillAsync();
        Exception? end = await Record.ExceptionAsync(async () => _ = await stream.ReadAsync(new byte[1], TestContext.Current.CancellationToken));
        Assert.Equal("connection_lost", Assert.IsType<PilotStreamException>(end).Code);
        Assert.Equal("running False", await StatusAsync(_a));
        await _a.StartAsync();
        Assert.Equal((key, address), (await PublicKeyAsync(_a), _a.Address));
        await PingAsync(_a, "agent-b");
        await PingAsync(_b, "agent-a");

        // The rendezvous, with an empty memory: both register again by themselves, on the same ports.
        await _rendezvous.KillAsync();
        await PingAsync(_b, _a.Address);
        await _rendezvous.StartAsync();
        await Wait.UntilAsync("both registered again", async () => await FindsAsync(_a, "agent-b") && await FindsAsync(_b, "agent-a"), TimeSpan.FromSeconds(60));
        await PingAsync(_b, "agent-a");
        JsonElement trusted = (await _a.JsonAsync("trust")).Data.GetProperty("trusted");
        Assert.Equal(_b.NodeId, Assert.Single(trusted.EnumerateArray()).GetProperty("node_id").GetUInt32());
    }

    [Fact]
    public async Task A_dead_peer_is_an_error_within_the_dial_time_and_untrust_hides_at_once()
    {
        await PingAsync(_a, "agent-b");
        await _b.KillAsync();
        long started = Environment.TickCount64;
        Outcome send = await _a.JsonAsync("send", _b.Address, "1000", "--data", "x", "--timeout", "5s");
        Assert.Equal((1, "connection_failed"), (send.Exit, send.Code));
        Assert.InRange(Environment.TickCount64 - started, 0, 15_000);

        await _b.StartAsync();
        await PingAsync(_a, "agent-b");
        Outcome removed = await _a.CtlAsync("trust", "remove", "agent-b");
        Assert.Equal("✓ agent-a is now invisible to agent-b again.\n", removed.Stdout);
        await Wait.UntilAsync("b can find a no more", async () => (await _b.JsonAsync("find", "agent-a")).Code == "not_found");
        Outcome ping = await _b.JsonAsync("ping", _a.Address, "--count", "1", "--timeout", "5s");
        Assert.Equal((1, 0), (ping.Exit, ping.Data.GetProperty("received").GetInt32()));
    }

    private static async Task PingAsync(TestNode from, string target) => await Wait.UntilAsync(
        $"{from.Hostname} pings {target}",
        async () => (await from.JsonAsync("ping", target, "--count", "1", "--timeout", "3s")).Exit == 0);

    private static async Task<string> PublicKeyAsync(TestNode node) => (await node.JsonAsync("info")).Data.GetProperty("public_key").GetString()!;

    private static async Task<string> StatusAsync(TestNode node) => "running " + (await node.JsonAsync("daemon", "status")).Data.GetProperty("running").GetBoolean();

    private static async Task<bool> FindsAsync(TestNode node, string name) => (await node.JsonAsync("find", name)).Exit == 0;
}
