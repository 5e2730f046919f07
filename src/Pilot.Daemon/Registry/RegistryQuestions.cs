using System.Text.Json;
using Pilot.Daemon.Host;
using Pilot.Daemon.Net;
using Pilot.Engine;
using Pilot.Protocol;

namespace Pilot.Daemon.Registry;

/// <summary>Puts the node's questions to the registry, and posts the answers to its loop.</summary>
internal sealed class RegistryQuestions(RegistryRequests requests, RegistryClient client, NodeHost host, OwnAddresses own)
{
    public async Task ResolveAsync(uint nodeId)
    {
        ResolveAnswer result;
        try
        {
            var answer = await client.SendAsync(requests.Resolve(nodeId)).ConfigureAwait(false);
            result = answer.Error is { } error ? new ResolveAnswer(ResolveOutcome.Refused, null, [], error) : Found(answer);
        }
        catch (RegistryUnavailableException exception)
        {
            result = new ResolveAnswer(ResolveOutcome.Unavailable, null, [], exception.Message);
        }

        host.Loop.Post(() => host.CompleteResolve(nodeId, result));
    }

    private ResolveAnswer Found(RegistryAnswer answer)
    {
        var now = own.Current;
        string[] told = [.. answer.Items("lan_addrs").Where(item => item.ValueKind == JsonValueKind.String).Select(item => item.GetString()!)];
        UdpEndpoint? registered = UdpEndpoint.TryParse(answer.Text("real_addr"), out var endpoint) && endpoint.Port != 0 ? endpoint : null;
        return new ResolveAnswer(ResolveOutcome.Found, registered, LanAddresses.Matching(now.Lan, told))
        {
            OtherEndpoints = PeerEndpoints.Others(told, registered, now),
            IsOurs = answer.Text("software").StartsWith(RegistryRequests.SoftwareName, StringComparison.Ordinal),
        };
    }

    public async Task LookupAsync(uint nodeId)
    {
        LookupAnswer result;
        try
        {
            var answer = await client.SendAsync(RegistryRequests.Lookup(nodeId)).ConfigureAwait(false);
            result = answer.Error is not null && !answer.IsNotFound
                ? new LookupAnswer(false, null, [])
                : new LookupAnswer(true, RegistryAnswer.KeyOf(answer), RegistryAnswer.NetworksOf(answer));
        }
        catch (RegistryUnavailableException)
        {
            result = new LookupAnswer(false, null, []);
        }

        host.Loop.Post(() => host.Node.CompleteLookup(host.Now, nodeId, result));
    }

    public async Task CheckTrustAsync(uint nodeId)
    {
        var (isAvailable, isTrusted) = (false, false);
        try
        {
            var answer = await client.SendAsync(requests.CheckTrust(nodeId)).ConfigureAwait(false);
            (isAvailable, isTrusted) = (answer.Error is null, answer.Bool("trusted"));
        }
        catch (RegistryUnavailableException)
        {
            // Told below; counts as not trusted (05 §12).
        }

        host.Loop.Post(() => host.Node.CompleteTrustCheck(host.Now, nodeId, isAvailable, isTrusted));
    }
}
