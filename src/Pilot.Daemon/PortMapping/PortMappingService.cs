using System.Net.Sockets;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Pilot.Daemon.Loop;
using Pilot.Daemon.Net;
using Pilot.Engine;
using Pilot.Ipc;
using Pilot.Protocol;

namespace Pilot.Daemon.PortMapping;

/// <summary>Ports and routes, which tests set otherwise.</summary>
internal sealed record PortMappingOptions
{
    public Func<GatewayRoute?> FindRoute { get; init; } = DefaultGateway.Find;

    public ushort ServerPort { get; init; } = PortMappingConstants.ServerPort;

    public ushort AnnouncementPort { get; init; } = PortMappingConstants.AnnouncementPort;

    /// <summary>Where searches go beside the gateway's own SSDP port; null for none.</summary>
    public UdpEndpoint? SsdpGroup { get; init; } = UdpEndpoint.FromIPv4(PortMappingConstants.SsdpGroup, PortMappingConstants.SsdpPort);

    public ushort SsdpPort { get; init; } = PortMappingConstants.SsdpPort;
}

/// <summary>
/// Has the default gateway map the tunnel's port: asked at the start, renewed, asked again when the network changes, released at the stop.
/// Nothing waits for it. One task owns everything here.
/// </summary>
internal sealed class PortMappingService(ushort port, PortMappingOptions options, ILogger logger) : IDisposable
{
    private ushort _port = port;

    private const int QueueLength = 256; // of what the network sends; more datagrams are dropped
    private static readonly TimeSpan RouteCheck = TimeSpan.FromMinutes(1); // for systems that tell of no change

    private readonly Channel<Action<Instant>> _inbox = Channel.CreateBounded<Action<Instant>>(new BoundedChannelOptions(QueueLength) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });
    private GatewayRoute? _route;
    private GatewaySockets? _sockets;
    private PortMappingMachine? _machine;
    private PortMappingStatus _status = new(PortMappingState.Asking, string.Empty, null, null, string.Empty);

    /// <summary>From any thread.</summary>
    public PortMappingStatus Status => Volatile.Read(ref _status);

    /// <summary>Told of every new status, on the service's task. Set before the start.</summary>
    public Action<PortMappingStatus>? Changed { get; set; }

    /// <summary>Own addresses or routes changed: looks for the gateway again. From any thread.</summary>
    public void NetworkChanged() => _inbox.Writer.TryWrite(CheckRoute);

    /// <summary>The tunnel has another port. From any thread.</summary>
    public void PortChanged(ushort changed) => _inbox.Writer.TryWrite(now =>
    {
        if (changed != _port)
        {
            _port = changed;
            Close(); // the old mapping leads nowhere and runs out
            CheckRoute(now);
        }
    });

    /// <summary>Works until cancelled, then deletes the mapping within <see cref="PortMappingConstants.ReleaseLimit"/>.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        try
        {
            CheckRoute(MonotonicClock.Now);
            var nextCheck = MonotonicClock.Now + RouteCheck;
            while (!cancellation.IsCancellationRequested)
            {
                await StepAsync(nextCheck, cancellation).ConfigureAwait(false);
                if (MonotonicClock.Now >= nextCheck)
                {
                    nextCheck = MonotonicClock.Now + RouteCheck;
                    CheckRoute(MonotonicClock.Now);
                }
            }

            await ReleaseAsync().ConfigureAwait(false);
        }
        finally
        {
            _inbox.Writer.TryComplete();
            Close();
        }
    }

    public void Dispose() => Close();

    private async Task ReleaseAsync()
    {
        if (_machine is null)
        {
            return;
        }

        var limit = MonotonicClock.Now + PortMappingConstants.ReleaseLimit;
        _machine.Release(MonotonicClock.Now);
        Flush();
        while (!_machine.IsReleased && MonotonicClock.Now < limit)
        {
            await StepAsync(limit, CancellationToken.None).ConfigureAwait(false);
        }

        logger.LogInformation("port mapping {Outcome}", _machine.IsReleased ? "released" : "not released in time; it runs out");
    }

    private async Task StepAsync(Instant until, CancellationToken cancellation)
    {
        var deadline = Instant.Min(until, _machine?.NextDeadline ?? Instant.Never);
        var wait = deadline - MonotonicClock.Now;
        if (wait > TimeSpan.Zero)
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            limit.CancelAfter(wait + TimeSpan.FromMilliseconds(1));
            try
            {
                await _inbox.Reader.WaitToReadAsync(limit.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                // A deadline, or the stop.
            }
        }

        while (_inbox.Reader.TryRead(out var action))
        {
            action(MonotonicClock.Now);
        }

        if (_machine is { } machine && MonotonicClock.Now >= machine.NextDeadline)
        {
            machine.HandleTimeout(MonotonicClock.Now);
        }

        Flush();
    }

    private void CheckRoute(Instant now)
    {
        var route = options.FindRoute();
        if (route == _route && (_machine is not null || route is null))
        {
            if (_machine is null)
            {
                Report(new PortMappingStatus(PortMappingState.NotNeeded, string.Empty, null, null, string.Empty));
            }

            return;
        }

        Close();
        _route = route;
        if (route is null)
        {
            Report(new PortMappingStatus(PortMappingState.NotNeeded, string.Empty, null, null, string.Empty));
            return;
        }

        try
        {
            Open(route, now);
        }
        catch (SocketException exception)
        {
            logger.LogDebug("port mapping: no socket toward {Gateway}: {Error}", route.Gateway.IpText(), exception.Message);
            _route = null; // tried again at the next check
        }
    }

    private void Open(GatewayRoute route, Instant now)
    {
        var random = new SecureRandom();
        var server = route.Gateway with { Port = options.ServerPort };
        UdpEndpoint[] searches = [.. new[] { options.SsdpGroup, route.Gateway with { Port = options.SsdpPort } }.OfType<UdpEndpoint>()];
        var machine = new PortMappingMachine(
            route.Gateway,
            [
                new PcpMapper(server, route.Own, _port, random),
                new NatPmpMapper(server, _port),
                new UpnpMapper(route.Gateway, route.Own, _port, random, searches),
            ]);
        _sockets = new GatewaySockets(route, options.AnnouncementPort, datagram => _inbox.Writer.TryWrite(at => Take(machine, at, datagram)), logger);
        _machine = machine;
        machine.Start(now);
        Flush();
    }

    private void Take(PortMappingMachine machine, Instant now, GatewayDatagram datagram)
    {
        if (machine != _machine)
        {
            return; // of a gateway before
        }

        foreach (var mapper in machine.Mappers)
        {
            if (mapper.Protocol == PortMappingProtocol.Upnp == datagram.IsSsdp)
            {
                mapper.OnDatagram(now, datagram.Source, datagram.Data.Span);
            }
        }

        machine.Choose(now);
    }

    private void Flush()
    {
        if (_machine is not { } machine || _sockets is not { } sockets)
        {
            return;
        }

        foreach (var mapper in machine.Mappers)
        {
            while (mapper.TryTakeOutput(out var output))
            {
                switch (output)
                {
                    case MapperOutput.Datagram datagram:
                        sockets.Send(mapper.Protocol == PortMappingProtocol.Upnp, datagram.Destination, datagram.Data);
                        break;
                    case MapperOutput.Http http:
                        _ = AskAsync(machine, mapper, sockets, http);
                        break;
                }
            }
        }

        Report(machine.Status);
    }

    private async Task AskAsync(PortMappingMachine machine, PortMapper mapper, GatewaySockets sockets, MapperOutput.Http request)
    {
        var answer = await sockets.AskAsync(request).ConfigureAwait(false);
        // Unlike datagrams this must not be dropped: the mapper waits for it.
        while (await _inbox.Writer.WaitToWriteAsync().ConfigureAwait(false) && !_inbox.Writer.TryWrite(Take))
        {
        }

        void Take(Instant now)
        {
            if (machine == _machine)
            {
                mapper.OnHttp(now, request.Token, answer);
                machine.Choose(now);
            }
        }
    }

    private void Report(PortMappingStatus status)
    {
        var before = _status;
        if (status == before)
        {
            return;
        }

        Volatile.Write(ref _status, status);
        if (status.Lease?.External != before.Lease?.External)
        {
            logger.LogInformation(
                "port mapping: {Endpoint}{Note}", status.Lease is { } lease ? $"{lease.External} by {status.Protocol}" : "none", status.IsBehindAnotherNat ? " (behind another NAT)" : string.Empty);
        }

        Changed?.Invoke(status);
    }

    private void Close()
    {
        _machine = null;
        _sockets?.Dispose();
        _sockets = null;
    }
}
