using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Pilot.Daemon.Host;
using Pilot.Protocol;

namespace Pilot.Daemon.Net;

/// <summary>Turns the beacons' host names into addresses for the node, now and again from time to time (names move).</summary>
internal sealed class BeaconAddresses(IReadOnlyList<string> beacons, NodeHost host, ILogger logger)
{
    private static readonly TimeSpan Refresh = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan Retry = TimeSpan.FromSeconds(5);

    public async Task RunAsync(CancellationToken cancellation)
    {
        if (beacons.Count == 0)
        {
            return;
        }

        UdpEndpoint[] current = [];
        while (!cancellation.IsCancellationRequested)
        {
            var found = new List<UdpEndpoint>();
            var names = new Dictionary<UdpEndpoint, string>();
            foreach (var beacon in beacons)
            {
                if (await ResolveAsync(beacon, cancellation).ConfigureAwait(false) is { } endpoint && !found.Contains(endpoint))
                {
                    found.Add(endpoint);
                    names.Add(endpoint, NameOf(beacon));
                }
            }

            if (found.Count > 0 && !found.SequenceEqual(current))
            {
                current = [.. found];
                var addresses = current;
                host.Loop.Post(() =>
                {
                    host.BeaconNames = names;
                    host.Node.SetBeacons(host.Now, addresses);
                });
                logger.LogInformation("beacons: {Beacons}", string.Join(", ", current));
            }

            await Task.Delay(found.Count < beacons.Count ? Retry : Refresh, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>How people call it: the host name alone, an address with its port.</summary>
    public static string NameOf(string beacon)
    {
        var host = beacon[..beacon.LastIndexOf(':')].Trim('[', ']');
        return IPAddress.TryParse(host, out _) ? beacon : host;
    }

    private async Task<UdpEndpoint?> ResolveAsync(string beacon, CancellationToken cancellation)
    {
        var colon = beacon.LastIndexOf(':');
        var host = beacon[..colon].Trim('[', ']');
        var port = ushort.Parse(beacon.AsSpan(colon + 1), System.Globalization.CultureInfo.InvariantCulture);
        try
        {
            var addresses = await Dns.GetHostAddressesAsync(host, cancellation).ConfigureAwait(false);
            // IPv4 first: references register IPv4 endpoints (04 §13).
            var chosen = addresses.FirstOrDefault(address => address.AddressFamily == AddressFamily.InterNetwork) ?? addresses.FirstOrDefault();
            return chosen is null ? null : UdpEndpoint.FromBytes(chosen.GetAddressBytes(), port);
        }
        catch (SocketException exception)
        {
            logger.LogWarning("beacon {Beacon} cannot be resolved: {Error}", beacon, exception.Message);
            return null;
        }
        catch (OperationCanceledException)
        {
            return null;
        }
    }
}
