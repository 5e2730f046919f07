using System.Diagnostics;
using Pilot.EndToEnd.Tests.Lab;
using Pilot.Rendezvous.Tests.Server;

namespace Pilot.EndToEnd.Tests;

/// <summary>Two rendezvous processes on one PostgreSQL: daemons on either side find, trust and reach each other, and move when one is killed.</summary>
public sealed class TwoRendezvousTests
{
    private static readonly TimeSpan MostForMoving = TimeSpan.FromSeconds(10);

    [Fact]
    public async Task Daemons_of_two_servers_are_one_network_and_survive_one_of_them()
    {
        Assert.SkipWhen(PostgresServer.Missing is not null, PostgresServer.Missing ?? "");
        await using PostgresServer database = await PostgresServer.StartAsync();
        await using RendezvousProcess one = await RendezvousProcess.StartNewAsync("-store", database.ConnectionString);
        await using RendezvousProcess two = await RendezvousProcess.StartNewAsync("-store", database.ConnectionString);
        await using TestNode a = new($"{one.Registry},{two.Registry}", one.Beacon, "agent-a");
        await using TestNode b = new($"{two.Registry},{one.Registry}", two.Beacon, "agent-b");
        await using TestNode c = new(two.Registry, two.Beacon, "agent-c");
        await Task.WhenAll(a.StartAsync(), b.StartAsync(), c.StartAsync());
        Assert.NotEqual(a.NodeId, b.NodeId);

        Assert.Equal("sent", (await a.JsonAsync("trust", "add", "agent-b")).Data.GetProperty("status").GetString());
        Outcome second = await b.CtlAsync("trust", "add", "agent-a", "--wait", "20s");
        Assert.True(second.Exit == 0, second.Everything);
        await a.WaitForTrustAsync(b);
        Outcome ping = await a.JsonAsync("ping", "agent-b", "--count", "1");
        Assert.True(ping.Exit == 0, ping.Everything);

        // A change goes through the server that is left. (A name would not show it: the daemon remembers names for some seconds.)
        await one.KillAsync();
        var clock = Stopwatch.StartNew();

        // Trust changes while a is between the two: c asks for it at the server that is left.
        Assert.Equal("sent", (await c.JsonAsync("trust", "add", "agent-a")).Data.GetProperty("status").GetString());
        await Wait.UntilAsync("a is served by the other rendezvous", async () => (await a.JsonAsync("set-public")).Exit == 0);
        Assert.True(clock.Elapsed < MostForMoving, $"moved after {clock.Elapsed.TotalSeconds:0.0} s");
        ping = await a.JsonAsync("ping", "agent-b", "--count", "1");
        Assert.True(ping.Exit == 0, ping.Everything);
        Outcome answered = await a.CtlAsync("trust", "add", "agent-c", "--wait", "20s");
        Assert.True(answered.Exit == 0, answered.Everything);
        await c.WaitForTrustAsync(a);
        ping = await c.JsonAsync("ping", "agent-a", "--count", "1");
        Assert.True(ping.Exit == 0, ping.Everything);
    }
}
