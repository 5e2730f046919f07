using Microsoft.Extensions.Logging.Abstractions;
using Pilot.Daemon.Net;
using Pilot.Daemon.PortMapping;
using Pilot.Ipc;
using Pilot.Protocol;

namespace Pilot.Daemon.Tests.PortMapping;

/// <summary>The service on real sockets against a gateway of this process.</summary>
public sealed class GatewayTests
{
    [Theory]
    [InlineData(true, true, true, "pcp", "203.0.113.5:41000")]
    [InlineData(false, true, true, "nat-pmp", "203.0.113.5:40000")]
    [InlineData(false, false, true, "upnp", "203.0.113.5:40000")]
    public async Task The_best_protocol_maps_and_the_stop_releases(bool pcp, bool natPmp, bool upnp, string protocol, string external)
    {
        await using var gateway = new FakeGateway { SpeaksPcp = pcp, SpeaksNatPmp = natPmp, SpeaksUpnp = upnp };
        var mapped = new TaskCompletionSource<PortMappingStatus>(TaskCreationOptions.RunContinuationsAsynchronously);
        using var service = Service(gateway, status =>
        {
            if (status.Lease is not null)
            {
                mapped.TrySetResult(status);
            }
        });
        using var stop = new CancellationTokenSource();
        var run = Task.Run(() => service.RunAsync(stop.Token));
        var status = await mapped.Task.WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Equal((PortMappingState.Mapped, protocol, external), (status.State, status.Protocol, status.PublicEndpoint.ToString()));
        await stop.CancelAsync();
        await run.WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Equal([$"{protocol} 7200", $"{protocol} 0"], gateway.Log);
        Assert.Null(service.Status.Lease);
    }

    [Fact]
    public async Task A_new_gateway_is_asked_when_the_network_changes()
    {
        await using var first = new FakeGateway();
        await using var second = new FakeGateway { SpeaksNatPmp = true };
        var route = (GatewayRoute?)null;
        var states = System.Threading.Channels.Channel.CreateUnbounded<PortMappingStatus>();
        using var service = Service(second, status => states.Writer.TryWrite(status), () => Volatile.Read(ref route));
        using var stop = new CancellationTokenSource();
        var run = Task.Run(() => service.RunAsync(stop.Token));
        Assert.Equal(PortMappingState.NotNeeded, (await states.Reader.ReadAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(20))).State);
        Volatile.Write(ref route, new GatewayRoute(FakeGateway.Address, FakeGateway.Address));
        service.NetworkChanged();
        PortMappingStatus status;
        do
        {
            status = await states.Reader.ReadAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(20));
        }
        while (status.Lease is null);
        Volatile.Write(ref route, null);
        service.NetworkChanged();
        do
        {
            status = await states.Reader.ReadAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(20));
        }
        while (status.Lease is not null);
        Assert.Equal(PortMappingState.NotNeeded, status.State);
        await stop.CancelAsync();
        await run.WaitAsync(TimeSpan.FromSeconds(20));
    }

    private static PortMappingService Service(FakeGateway gateway, Action<PortMappingStatus> changed, Func<GatewayRoute?>? route = null) => new(
        40_000,
        new PortMappingOptions
        {
            FindRoute = route ?? (static () => new GatewayRoute(FakeGateway.Address, FakeGateway.Address)),
            ServerPort = gateway.ControlPort,
            AnnouncementPort = 0,
            SsdpGroup = null,
            SsdpPort = gateway.SsdpPort,
        },
        NullLogger.Instance)
    {
        Changed = changed,
    };
}
