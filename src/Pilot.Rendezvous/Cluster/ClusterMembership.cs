using System.Net;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Pilot.Protocol;

namespace Pilot.Rendezvous.Cluster;

/// <summary>Registers a beacon at the registry every 30 s and takes the list of the others (spec 04 section 4.3).</summary>
internal sealed class ClusterMembership(uint beaconId, string host, int port, IPEndPoint listen, UdpEndpoint? advertised, Action<UdpEndpoint[]> known, ILogger logger)
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(30);

    public async Task RunAsync(CancellationToken cancellation)
    {
        bool failed = false;
        while (!cancellation.IsCancellationRequested)
        {
            try
            {
                known(await RoundAsync(cancellation).ConfigureAwait(false));
                failed = false;
            }
            catch (IOException e)
            {
                if (!failed)
                {
                    logger.LogWarning("cluster: {Reason}", e.Message);
                }

                failed = true;
            }
            catch (OperationCanceledException)
            {
                return;
            }

            await Task.Delay(Interval, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task<UdpEndpoint[]> RoundAsync(CancellationToken cancellation)
    {
        using RegistryLink link = await RegistryLink.OpenAsync(host, port, cancellation).ConfigureAwait(false);
        bool wildcard = listen.Address.Equals(IPAddress.Any) || listen.Address.Equals(IPAddress.IPv6Any);
        string address = (advertised ?? UdpEndpoint.FromBytes((wildcard ? link.LocalAddress : listen.Address).GetAddressBytes(), (ushort)listen.Port)).ToString();
        JsonElement answer = await link.AskAsync(new { type = "beacon_register", beacon_id = beaconId, addr = address }).ConfigureAwait(false);
        if (RegistryLink.Text(answer, "error") is { Length: > 0 } refusal)
        {
            logger.LogWarning("the registry refuses beacon {Id} at {Address}: {Reason}", beaconId, address, refusal);
        }

        answer = await link.AskAsync(new { type = "beacon_list" }).ConfigureAwait(false);
        var others = new List<UdpEndpoint>();
        if (answer.TryGetProperty("beacons", out JsonElement list) && list.ValueKind == JsonValueKind.Array)
        {
            foreach (JsonElement entry in list.EnumerateArray())
            {
                string text = RegistryLink.Text(entry, "addr");
                bool isSelf = text == address || (entry.ValueKind == JsonValueKind.Object && entry.TryGetProperty("id", out JsonElement id)
                    && id.ValueKind == JsonValueKind.Number && id.TryGetDouble(out double number) && number == beaconId);
                if (!isSelf && UdpEndpoint.TryParse(text, out UdpEndpoint endpoint) && endpoint.Port != 0)
                {
                    others.Add(endpoint);
                }
            }
        }

        return [.. others];
    }
}
