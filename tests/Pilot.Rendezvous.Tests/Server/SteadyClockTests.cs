using Pilot.Protocol;
using Pilot.Rendezvous.Server;

namespace Pilot.Rendezvous.Tests.Server;

/// <summary>What the server's time does when the machine's clock leaps.</summary>
public sealed class SteadyClockTests
{
    private DateTimeOffset _wall = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    [Fact]
    public void Time_follows_a_leap_forward_and_no_other()
    {
        var clock = new SteadyClock(() => _wall);
        DateTimeOffset start = clock.Now;
        _wall = start + TimeSpan.FromSeconds(9);
        Assert.Equal(TimeSpan.Zero, clock.CatchUp());
        Assert.InRange(clock.Now, start, start + TimeSpan.FromSeconds(8));
        _wall = start + TimeSpan.FromDays(400);
        Assert.InRange(clock.CatchUp(), TimeSpan.FromDays(399), TimeSpan.FromDays(400));
        DateTimeOffset after = clock.Now;
        Assert.InRange(after, _wall, _wall + TimeSpan.FromSeconds(10));
        _wall = start;
        Assert.Equal(TimeSpan.Zero, clock.CatchUp());
        Assert.True(clock.Now >= after);
    }

    [Fact]
    public async Task A_leap_makes_no_node_stale()
    {
        using var lanes = new VerificationLanes();
        var clock = new SteadyClock(() => _wall);
        var machine = new Pilot.Rendezvous.Registry.RegistryMachine(new Pilot.Rendezvous.Registry.RegistryOptions(), clock.Now);
        var registry = new RegistryService(machine, clock, lanes);
        var connection = new Pilot.Rendezvous.Registry.RegistryConnection(new UdpEndpoint(1, 2));
        Identity identity = Identity.Create();
        byte[] request = System.Text.Encoding.ASCII.GetBytes($"{{\"type\":\"register\",\"public_key\":\"{identity.PublicKeyText}\"}}");
        Assert.NotNull(await registry.HandleAsync(connection, request));
        _wall += TimeSpan.FromHours(8);
        Assert.NotEqual(TimeSpan.Zero, registry.CatchUp());
        registry.Tick();
        Assert.Equal(1, registry.LiveNodes);
    }
}
