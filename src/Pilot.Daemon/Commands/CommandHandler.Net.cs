using Pilot.Daemon.Host;
using Pilot.Daemon.Ipc;
using Pilot.Daemon.Loop;
using Pilot.Engine.Nat;
using Pilot.Ipc;
using Pilot.Protocol;

namespace Pilot.Daemon.Commands;

/// <summary>Commands about the network that this node is in, and about paths.</summary>
internal sealed partial class CommandHandler
{
    private static readonly TimeSpan BeaconWait = TimeSpan.FromMilliseconds(300); // for answers to the question that net asks; far beacons keep their last figures
    private static readonly TimeSpan MinAskInterval = TimeSpan.FromSeconds(2); // however often net is called, the beacons are left in peace
    private Engine.Instant _askedAt;

    private async Task<CommandOutcome> NetAsync(IpcRequest request, CancellationToken cancellation)
    {
        var isAsked = await context.Host.Loop.AskAsync(() =>
        {
            if (context.Settings.Beacons.Count == 0 || MonotonicClock.Now - _askedAt < MinAskInterval)
            {
                return false;
            }

            _askedAt = MonotonicClock.Now;
            context.Host.Node.Discover(context.Host.Now);
            return true;
        }).ConfigureAwait(false);
        if (isAsked)
        {
            await Task.Delay(BeaconWait, cancellation).ConfigureAwait(false);
        }

        return await OnLoopAsync(request, Net, IpcJson.Context.NetData).ConfigureAwait(false);
    }

    private NetData Net()
    {
        var nat = context.Host.Node.Nat;
        var own = context.Own.Current;
        var data = NatWords.Describe(nat, NatType(nat));
        if (data is { EndpointV4: "", EndpointV6: "" } && own.Seen is { } seen)
        {
            data = seen.IsIPv4 ? data with { EndpointV4 = seen.ToString() } : data with { EndpointV6 = seen.ToString() };
        }

        return new NetData
        {
            Udp = context.Settings.Beacons.Count > 0 ? context.Host.Node.IsBeaconAnswering : null,
            Ipv4 = data.EndpointV4.Length > 0,
            Ipv6 = data.EndpointV6.Length > 0 || own.Global.Count > 0,
            Nat = data,
            PortMapping = PortMapping(),
            Beacons = context.Host.Beacons(context.Settings.Beacons),
            Endpoint = context.Session.Endpoint,
            OtherEndpoints = [.. own.Others.Select(endpoint => endpoint.ToString())],
            LanEndpoints = [.. own.Lan.Select(endpoint => endpoint.ToString())],
            Registry = context.Registry.Address,
            RegistryConnected = context.Registry.IsConnected,
        };
    }

    private async Task<CommandOutcome> PathAsync(IpcRequest request, CancellationToken cancellation)
    {
        RequireRegistered();
        var target = await _targets.ResolveAsync(request, cancellation, mayBeRecent: true).ConfigureAwait(false);
        return await OnLoopAsync(request, () => context.Host.PathTo(target.NodeId), IpcJson.Context.PathData).ConfigureAwait(false);
    }

    private PortMappingData PortMapping()
    {
        if (context.PortMapping?.Status is not { } status)
        {
            return new PortMappingData { State = PortMappingState.Off, Protocol = string.Empty, Gateway = string.Empty, External = string.Empty, BehindAnotherNat = false, Error = string.Empty };
        }

        return new PortMappingData
        {
            State = status.State,
            Protocol = status.Protocol,
            Gateway = status.Gateway?.IpText() ?? string.Empty,
            External = status.Lease?.External.ToString() ?? string.Empty,
            BehindAnotherNat = status.IsBehindAnotherNat,
            ExpiresInSecs = status.Lease is { } lease ? Math.Max(0, (long)(lease.ExpiresAt - MonotonicClock.Now).TotalSeconds) : null,
            Error = status.Error,
        };
    }

    /// <summary>What was measured; before that, what one answer of one beacon shows: that nothing translates our address (04 §11).</summary>
    private string NatType(NatReport report) =>
        report.Type != Engine.Nat.NatType.Unknown ? NatWords.Type(report.Type)
        : context.Own.Current.Seen is { } seen && seen.Port == context.LocalEndpoint.Port && (seen.IsLoopback || IsOwn(seen)) ? NatWords.Type(Engine.Nat.NatType.Open)
        : NatWords.Unknown;

    private bool IsOwn(UdpEndpoint seen) => context.Own.Current.Lan.Concat(context.Own.Current.Global).Any(own => own.Ip == seen.Ip);
}
