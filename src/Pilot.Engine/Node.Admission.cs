using Pilot.Engine.Trust;
using Pilot.Engine.Tunnels;
using Pilot.Protocol;

namespace Pilot.Engine;

/// <summary>
/// Who may talk to us: gates G0 (key exchange), G1 (SYN) and G2 (datagrams) over one predicate (spec 05 section 12),
/// and the questions to the registry that it needs. Nothing here waits: an open question means no for now.
/// </summary>
public sealed partial class Node
{
    /// <summary>Answers <see cref="NodeEventKind.ResolveNeeded"/>.</summary>
    public void CompleteResolve(Instant now, uint nodeId, ResolveAnswer answer)
    {
        NodeDirectory.Entry entry = _directory.GetOrAdd(nodeId);
        entry.Resolve.Complete(now, answer.Outcome == ResolveOutcome.Found);
        if (!_peers.TryGetValue(nodeId, out Peer? peer))
        {
            return;
        }

        if (answer.Outcome == ResolveOutcome.Found)
        {
            peer.ResolvedAt = now;
            peer.IsOurs |= answer.IsOurs;
            bool isLan = false;
            foreach (UdpEndpoint lan in answer.LanEndpoints.Take(TunnelConstants.MaxCandidates))
            {
                isLan |= _context.IsWorthTrying(lan) && peer.Paths.AddTold(PathKind.Lan, lan, now) is not null;
            }

            foreach (UdpEndpoint other in answer.OtherEndpoints.Take(TunnelConstants.MaxCandidates))
            {
                if (_context.IsWorthTrying(other))
                {
                    peer.Paths.AddTold(PathKind.Direct, other, now);
                }
            }

            if (answer.PublicEndpoint is { } endpoint)
            {
                peer.Paths.AddTold(PathKind.Direct, endpoint, now);
            }

            if (answer.PublicEndpoint is not null || !isLan)
            {
                peer.RequestPunch(now);
            }

            peer.OnCandidates(now);
        }
        else if (answer.Outcome == ResolveOutcome.Refused)
        {
            string detail = $"resolve node {nodeId}: registry: {answer.Error ?? "request failed"}";
            if (!peer.IsConfirmed)
            {
                FailWaiting(now, peer, Streams.ConnectionError.NotFound, detail);
                peer.CancelFirstContact();
            }
        }
        else if (!peer.IsReady && peer.Paths.All.Count == 0 && _context.Beacons.Current is null)
        {
            FailWaiting(now, peer, Streams.ConnectionError.Unreachable, $"resolve node {nodeId}: registry unreachable");
        }

        _deadlines.Update(peer);
    }

    /// <summary>Answers <see cref="NodeEventKind.LookupNeeded"/>.</summary>
    public void CompleteLookup(Instant now, uint nodeId, LookupAnswer answer)
    {
        NodeDirectory.Entry entry = _directory.GetOrAdd(nodeId);
        bool isFound = answer.IsAvailable && answer.PublicKey is { Length: Ed25519.PublicKeySize };
        entry.Lookup.Complete(now, isFound);
        if (isFound)
        {
            entry.PublicKey = answer.PublicKey;
            entry.Networks = answer.Networks;
            entry.FreshUntil = now + TunnelConstants.PositiveLifetime;
        }

        if (entry.Pending is { } pending)
        {
            entry.Pending = null;
            if (isFound && now - pending.At < TunnelConstants.PendingLifetime)
            {
                OnKeyExchange(now, pending.Kind, pending.Source, pending.Frame);
            }
        }
    }

    /// <summary>Answers <see cref="NodeEventKind.TrustCheckNeeded"/>.</summary>
    public void CompleteTrustCheck(Instant now, uint nodeId, bool isAvailable, bool isTrusted)
    {
        NodeDirectory.Entry entry = _directory.GetOrAdd(nodeId);
        entry.TrustCheck.Complete(now, isAvailable && isTrusted);
        if (isAvailable)
        {
            entry.HasRegistryTrust = isTrusted;
            entry.TrustFreshUntil = now + (isTrusted ? TunnelConstants.PositiveLifetime : TunnelConstants.NegativeLifetime);
        }
    }

    /// <summary>Asks the one predicate, and the registry for what it needs to know.</summary>
    /// <param name="now">The time.</param>
    /// <param name="nodeId">The peer.</param>
    /// <param name="publicKey">Its key, proved or to be proved before anything is done.</param>
    /// <param name="port">The destination port; null for the tunnel.</param>
    private AdmissionDecision Admit(Instant now, uint nodeId, ReadOnlySpan<byte> publicKey, ushort? port)
    {
        if (nodeId is 0 or uint.MaxValue)
        {
            return AdmissionDecision.Denied;
        }

        bool needsNetworks = _networks.Count > 0 && !_options.IsPublic;
        NodeDirectory.Entry? entry = needsNetworks || _options.AcceptRegistryTrust ? _directory.GetOrAdd(nodeId) : null;
        var query = new AdmissionQuery
        {
            IsPublic = _options.IsPublic,
            Trust = _trust,
            NodeId = nodeId,
            PublicKey = publicKey,
            SharesNetwork = !needsNetworks ? Knowledge.No : KnownNetworks(now, entry!),
            AcceptRegistryTrust = _options.AcceptRegistryTrust,
            RegistryPair = entry is null ? Knowledge.No : KnownPair(now, entry),
            Port = port,
            WasContacted = _peers.TryGetValue(nodeId, out Peer? peer) && peer.SentExchangeAt != Instant.Origin
                && now - peer.SentExchangeAt < Admission.ContactMemory,
        };
        AdmissionDecision decision = Admission.Decide(query);
        if (decision == AdmissionDecision.Unknown && entry is not null)
        {
            if (query.SharesNetwork == Knowledge.Unknown)
            {
                AskLookup(now, nodeId, entry);
            }

            if (query.RegistryPair == Knowledge.Unknown && _options.AcceptRegistryTrust && entry.TrustCheck.TryAsk(now))
            {
                _context.Events.Add(new NodeEvent { Kind = NodeEventKind.TrustCheckNeeded, NodeId = nodeId });
            }
        }

        return decision;
    }

    /// <summary>What the registry said about shared networks; the last yes counts while it cannot be asked.</summary>
    private Knowledge KnownNetworks(Instant now, NodeDirectory.Entry entry)
    {
        foreach (ushort network in entry.Networks)
        {
            if (network != 0 && _networks.Contains(network))
            {
                return now < entry.FreshUntil || entry.Lookup.IsBlocked(now) ? Knowledge.Yes : Knowledge.Unknown;
            }
        }

        return now < entry.FreshUntil || entry.Lookup.IsBlocked(now) ? Knowledge.No : Knowledge.Unknown;
    }

    private static Knowledge KnownPair(Instant now, NodeDirectory.Entry entry) =>
        now < entry.TrustFreshUntil || entry.TrustCheck.IsBlocked(now)
            ? entry.HasRegistryTrust ? Knowledge.Yes : Knowledge.No
            : Knowledge.Unknown;

    private bool AskLookup(Instant now, uint nodeId, NodeDirectory.Entry entry)
    {
        if (entry.Lookup.TryAsk(now))
        {
            _context.Events.Add(new NodeEvent { Kind = NodeEventKind.LookupNeeded, NodeId = nodeId });
        }

        return entry.Lookup.IsInFlight;
    }

    private void AskResolve(Instant now, uint nodeId)
    {
        if (_directory.GetOrAdd(nodeId).Resolve.TryAsk(now))
        {
            _context.Events.AddCertain(new NodeEvent { Kind = NodeEventKind.ResolveNeeded, NodeId = nodeId });
        }
    }

    private void FailWaiting(Instant now, Peer peer, Streams.ConnectionError error, string detail)
    {
        peer.FailWaiters(error, detail);
        foreach (ConnectionEntry entry in peer.Connections.ToArray())
        {
            if (entry.Connection.State == Streams.ConnectionState.SynSent)
            {
                entry.Connection.ErrorDetail = detail;
                entry.Connection.Fail(now, error);
                AfterConnection(now, entry);
            }
        }
    }
}
