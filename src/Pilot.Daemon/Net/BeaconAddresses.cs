using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Pilot.Daemon.Host;
using Pilot.Daemon.Registry;
using Pilot.Protocol;

namespace Pilot.Daemon.Net;

/// <summary>
/// Tells the node its beacons: the configured names as addresses of both families, now, from time to time (names move), and when a beacon stops
/// answering; and those that the registry lists.
/// </summary>
internal sealed class BeaconAddresses(IReadOnlyList<string> beacons, UdpEndpoint local, NodeHost host, RegistryClient registry, ILogger logger) : IDisposable
{
    private const int MaxListed = 4;
    private static readonly TimeSpan Refresh = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan Retry = TimeSpan.FromSeconds(5);

    private readonly SemaphoreSlim _wake = new(0, 1);

    /// <summary>A beacon does not answer: perhaps its name leads elsewhere by now. Any thread.</summary>
    public void Doubt()
    {
        try
        {
            _wake.Release();
        }
        catch (SemaphoreFullException)
        {
            // Already on its way.
        }
    }

    public async Task RunAsync(CancellationToken cancellation)
    {
        UdpEndpoint[] current = [];
        UdpEndpoint[] currentListed = [];
        while (!cancellation.IsCancellationRequested)
        {
            var found = new List<UdpEndpoint>();
            var names = new Dictionary<UdpEndpoint, string>();
            var isComplete = true;
            foreach (var beacon in beacons)
            {
                var addresses = await ResolveAsync(beacon, cancellation).ConfigureAwait(false);
                isComplete &= addresses.Count > 0;
                found.AddRange(addresses.Where(address => names.TryAdd(address, NameOf(beacon))));
            }

            if (found.Count > 0 && !found.SequenceEqual(current))
            {
                current = [.. found];
                host.Loop.Post(() => host.BeaconNames = names);
                Tell(current, currentListed);
            }

            // Without a configured beacon none is wanted. The registry's answer may take long: it must not hold the names back.
            var listed = beacons.Count > 0 ? await ListAsync(cancellation).ConfigureAwait(false) : [];
            isComplete &= listed is not null;
            if (listed is not null && !listed.SequenceEqual(currentListed))
            {
                currentListed = listed;
                Tell(current, currentListed);
            }

            try
            {
                await _wake.WaitAsync(isComplete ? Refresh : Retry, cancellation).ConfigureAwait(false);
                // Doubts come with every unanswered round; names are not asked for more often than this.
                await Task.Delay(Retry, cancellation).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    /// <summary>How people call it: the host name alone, an address with its port.</summary>
    public static string NameOf(string beacon)
    {
        var host = beacon[..beacon.LastIndexOf(':')].Trim('[', ']');
        return IPAddress.TryParse(host, out _) ? beacon : host;
    }

    public void Dispose() => _wake.Dispose();

    private void Tell(UdpEndpoint[] configured, UdpEndpoint[] listed)
    {
        host.Loop.Post(() => host.Node.SetBeacons(host.Now, configured, listed));
        logger.LogInformation("beacons: {Beacons}", string.Join(", ", configured.Concat(listed)));
    }

    private async Task<UdpEndpoint[]?> ListAsync(CancellationToken cancellation)
    {
        try
        {
            var answer = await registry.SendAsync(RegistryRequests.BeaconList(), cancellation).ConfigureAwait(false);
            return answer.Error is not null ? null :
            [
                .. answer.Items("beacons")
                    .Select(item => UdpEndpoint.TryParse(RegistryAnswer.Text(item, "addr"), out var endpoint) ? endpoint : default)
                    .Where(endpoint => endpoint.Port != 0 && !endpoint.IsUnspecified && !endpoint.IsMulticast)
                    .Distinct()
                    .Take(MaxListed),
            ];
        }
        catch (Exception exception) when (exception is RegistryUnavailableException or OperationCanceledException)
        {
            return null;
        }
    }

    private async Task<IReadOnlyList<UdpEndpoint>> ResolveAsync(string beacon, CancellationToken cancellation)
    {
        var colon = beacon.LastIndexOf(':');
        var host = beacon[..colon].Trim('[', ']');
        var port = ushort.Parse(beacon.AsSpan(colon + 1), System.Globalization.CultureInfo.InvariantCulture);
        try
        {
            var addresses = await Dns.GetHostAddressesAsync(host, cancellation).ConfigureAwait(false);
            // IPv4 first: references register IPv4 endpoints (04 §13). One address of each family.
            return
            [
                .. new[] { AddressFamily.InterNetwork, AddressFamily.InterNetworkV6 }
                    .Select(family => addresses.FirstOrDefault(address => address.AddressFamily == family))
                    .OfType<IPAddress>()
                    .Where(address => address.AddressFamily == AddressFamily.InterNetwork || CanReachIPv6)
                    .Select(address => UdpEndpoint.FromBytes(address.GetAddressBytes(), port)),
            ];
        }
        catch (SocketException exception)
        {
            logger.LogWarning("beacon {Beacon} cannot be resolved: {Error}", beacon, exception.Message);
            return [];
        }
        catch (OperationCanceledException)
        {
            return [];
        }
    }

    private bool CanReachIPv6 => !local.IsIPv4 || (local.IsUnspecified && Socket.OSSupportsIPv6);
}
