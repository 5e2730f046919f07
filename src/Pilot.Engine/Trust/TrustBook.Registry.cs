using Pilot.Protocol;

namespace Pilot.Engine.Trust;

/// <summary>An entry of <c>requests[]</c> in a poll's answer. The registry verified its signature.</summary>
/// <param name="FromNodeId">Who asks.</param>
/// <param name="Justification">Its text.</param>
/// <param name="FromHostname">Its registered hostname, if our registry added it (spec 03 section 6.5); else empty.</param>
public sealed record RelayedRequest(uint FromNodeId, string Justification, string FromHostname = "");

/// <summary>An entry of <c>responses[]</c> in a poll's answer. The registry verified its signature.</summary>
/// <param name="FromNodeId">Who answers.</param>
/// <param name="Accept">Its answer.</param>
/// <param name="FromHostname">Its registered hostname, if our registry added it (spec 03 section 6.5); else empty.</param>
public sealed record RelayedResponse(uint FromNodeId, bool Accept, string FromHostname = "");

/// <summary>The registry's answer to a <c>lookup</c>.</summary>
/// <param name="IsAvailable">False when the registry could not be asked; then it is asked again later.</param>
/// <param name="PublicKey">The node's Ed25519 key, 32 bytes; null when the registry does not know the node.</param>
/// <param name="Networks">Its networks; 0 may be among them.</param>
/// <param name="Hostname">Its hostname, or empty.</param>
public sealed record TrustLookup(bool IsAvailable, byte[]? PublicKey, IReadOnlyList<ushort> Networks, string Hostname = "")
{
    /// <summary>The registry could not be asked.</summary>
    public static TrustLookup Unavailable { get; } = new(false, null, []);
}

// What comes from the registry.
public sealed partial class TrustBook
{
    private readonly HashSet<uint> _lookups = [];
    private readonly HashSet<uint> _lookupsToRepeat = [];
    private readonly HashSet<uint> _answersOwed = [];
    private readonly HashSet<uint> _pendingEventOwed = [];

    /// <summary>
    /// The node is registered, for the first time or again: the registry is told everything that it may have lost
    /// (spec 00 section 3): trust, open requests, revocations.
    /// </summary>
    public void Registered(uint nodeId)
    {
        _self = nodeId;
        if (LastNodeId != nodeId)
        {
            LastNodeId = nodeId;
            SaveNow();
        }

        RegistryAvailable();
        foreach (uint peer in _trusted.Keys)
        {
            AddRegistry(RegistryOperationKind.Report, peer);
        }

        foreach (OutgoingMark mark in Requested)
        {
            AddRegistry(RegistryOperationKind.Request, mark.NodeId, mark.Hostname, mark.Justification);
        }

        // A revoked peer's own report may have brought the pair back (spec 05 section 15, W5).
        foreach (FormerPeer peer in _former.Values.Where(peer => !_marks.ContainsKey(peer.NodeId)))
        {
            AddRegistry(RegistryOperationKind.Revoke, peer.NodeId);
        }

        foreach (uint peer in _trusted.Values.Where(peer => peer.PublicKey.Length == 0).Select(peer => peer.NodeId)
            .Concat(_former.Values.Where(peer => peer.State == FormerPeerState.KeyChanged).Select(peer => peer.NodeId)).ToArray())
        {
            Lookup(peer);
        }
    }

    /// <summary>The registry can be asked again: what waits is sent.</summary>
    public void RegistryAvailable()
    {
        _registry.Resume();
        uint[] lookups = [.. _lookupsToRepeat];
        _lookupsToRepeat.Clear();
        foreach (uint nodeId in lookups)
        {
            Lookup(nodeId);
        }
    }

    /// <summary>A poll delivered messages. Requests come first, as in the reference; repeated ones change nothing.</summary>
    public void ReceivePoll(TrustClock clock, IEnumerable<RelayedRequest> requests, IEnumerable<RelayedResponse> responses)
    {
        foreach (RelayedRequest request in requests)
        {
            if (IsPossiblePeer(request.FromNodeId))
            {
                ReceiveRelayedRequest(clock, request.FromNodeId, TrustText.Cut(request.Justification), request.FromHostname);
            }
        }

        foreach (RelayedResponse response in responses)
        {
            if (!IsPossiblePeer(response.FromNodeId))
            {
                continue;
            }

            if (response.Accept)
            {
                ReceiveRelayedAccept(clock, response.FromNodeId, response.FromHostname);
            }
            else
            {
                EndRejectedRequest(clock, response.FromNodeId, "", isRelayed: true);
            }
        }
    }

    /// <summary>The answer to <see cref="TrustEffect.LookupKey"/>, or a lookup that the host made for another reason.</summary>
    public void CompleteLookup(TrustClock clock, uint nodeId, TrustLookup answer)
    {
        _lookups.Remove(nodeId);
        if (!answer.IsAvailable)
        {
            if (IsLookupWanted(nodeId))
            {
                _lookupsToRepeat.Add(nodeId);
            }

            RaiseOwedPending(nodeId);
            return;
        }

        string key = KeyText(answer.PublicKey);
        if (_trusted.TryGetValue(nodeId, out TrustedPeer? peer))
        {
            bool isOwed = _answersOwed.Remove(nodeId);
            if (key.Length > 0 && CheckKey(clock, peer, key))
            {
                if (answer.Hostname.Length > 0 && !string.Equals(_trusted[nodeId].Hostname, answer.Hostname, StringComparison.Ordinal))
                {
                    _trusted[nodeId] = _trusted[nodeId] with { Hostname = answer.Hostname };
                    SaveSoon(clock);
                }

                if (isOwed)
                {
                    SendAccept(clock, nodeId);
                }
            }
        }
        else if (IsPinnedKeyBack(nodeId, key))
        {
            Establish(clock, nodeId, key, mutual: true, hostname: answer.Hostname);
        }
        else if (_held.Remove(nodeId, out HeldAccept held) && SameKey(held.Key, key) && _nameMarks.ContainsKey(answer.Hostname))
        {
            Establish(clock, nodeId, key, mutual: true, hostname: answer.Hostname);
        }
        else if (_pending.TryGetValue(nodeId, out PendingRequest? request))
        {
            CompletePending(clock, request, key, answer);
        }
    }

    // The registry names the key again under which the peer was trusted: trust was in that key, and nobody ended it.
    private bool IsPinnedKeyBack(uint nodeId, string key) =>
        key.Length > 0 && _former.TryGetValue(nodeId, out FormerPeer? former) && former.State == FormerPeerState.KeyChanged && SameKey(former.PublicKey, key);

    private bool IsPossiblePeer(uint nodeId) => nodeId != 0 && nodeId != _self && !PilotAddress.OfNode(nodeId).IsBroadcast;

    private bool IsLookupWanted(uint nodeId) =>
        _answersOwed.Contains(nodeId) || _held.ContainsKey(nodeId) || _pending.ContainsKey(nodeId)
        || (_trusted.TryGetValue(nodeId, out TrustedPeer? peer) && peer.PublicKey.Length == 0);

    private void Lookup(uint nodeId)
    {
        if (_lookups.Add(nodeId))
        {
            Emit(new TrustEffect.LookupKey(nodeId));
        }
    }

    private void ReceiveRelayedRequest(TrustClock clock, uint nodeId, string justification, string hostname)
    {
        if (_trusted.ContainsKey(nodeId))
        {
            // The registry verified the request with the key that it has now. Whether that is still the pinned key
            // has to be known before an answer opens our endpoint to its holder (spec 05 section 15, W8).
            _answersOwed.Add(nodeId);
            Lookup(nodeId);
            return;
        }

        bool isNew = !_pending.TryGetValue(nodeId, out PendingRequest? present) || !string.Equals(present.Justification, justification, StringComparison.Ordinal);
        if (isNew)
        {
            Raise(TrustEventNames.Received, nodeId, justification, isRelayed: true);
        }

        if (_marks.ContainsKey(nodeId) || (hostname.Length > 0 && _nameMarks.ContainsKey(hostname)))
        {
            EstablishMutual(clock, nodeId, key: "", hostname, isRelayed: true);
        }
        else if (isNew)
        {
            ConsiderRequest(clock, nodeId, key: "", justification, hostname, isRelayed: true);
        }
    }

    private void ReceiveRelayedAccept(TrustClock clock, uint nodeId, string hostname)
    {
        if (_trusted.ContainsKey(nodeId))
        {
            BecomeMutual(nodeId);
        }
        else if (_marks.ContainsKey(nodeId) || (hostname.Length > 0 && _nameMarks.ContainsKey(hostname)))
        {
            Establish(clock, nodeId, key: "", mutual: true, hostname: hostname, isRelayed: true);
        }
        else if (!_pending.ContainsKey(nodeId))
        {
            // Nobody here asked: it says no more than a request does (spec 05 section 15, W2).
            ReceiveRelayedRequest(clock, nodeId, "", hostname);
        }
    }

    private void EstablishMutual(TrustClock clock, uint nodeId, string key, string hostname, bool isRelayed)
    {
        Raise(TrustEventNames.AutoApproved, nodeId, reason: "mutual", isRelayed: isRelayed);
        Establish(clock, nodeId, key, mutual: true, hostname: hostname, isRelayed: isRelayed);
        SendAccept(clock, nodeId);
    }

    /// <summary>A request that no mark answers: by the option, else to the user.</summary>
    private void ConsiderRequest(TrustClock clock, uint nodeId, string key, string justification, string hostname, bool isRelayed)
    {
        // Whoever was trusted once needs the user's word (spec 05 section 16.5).
        bool mayBeAutomatic = !_former.ContainsKey(nodeId) && _trusted.Count < TrustLimits.MaxAutomaticTrust;
        if (mayBeAutomatic && AutoApprove == AutoApprove.All)
        {
            Raise(TrustEventNames.AutoApproved, nodeId, reason: "all", isRelayed: isRelayed);
            Establish(clock, nodeId, key, mutual: false, hostname: hostname, isRelayed: isRelayed);
            SendAccept(clock, nodeId);
            return;
        }

        bool isKnown = _pending.TryGetValue(nodeId, out PendingRequest? present);
        if (!isKnown && _pending.Count >= TrustLimits.MaxPending)
        {
            return;
        }

        _pending[nodeId] = new PendingRequest
        {
            NodeId = nodeId,
            PublicKey = key.Length > 0 ? key : present?.PublicKey ?? "",
            Justification = justification,
            ReceivedAt = WholeSeconds(clock.Wall),
            Hostname = hostname.Length > 0 ? hostname : present?.Hostname ?? "",
        };
        SaveSoon(clock);
        _pendingEventOwed.Add(nodeId);
        if (!(mayBeAutomatic && AutoApprove == AutoApprove.SameNetwork) && _nameMarks.Count == 0)
        {
            RaiseOwedPending(nodeId, isRelayed);
        }

        // For the list that the user reads, and for the two cases in which the answer decides.
        Lookup(nodeId);
    }

    private void CompletePending(TrustClock clock, PendingRequest request, string key, TrustLookup answer)
    {
        if (key.Length > 0 || answer.Hostname.Length > 0)
        {
            request = request with
            {
                PublicKey = key.Length > 0 ? key : request.PublicKey,
                Hostname = answer.Hostname.Length > 0 ? answer.Hostname : request.Hostname,
            };
            _pending[request.NodeId] = request;
            SaveSoon(clock);
        }

        if (key.Length > 0 && !IsDenied(request.NodeId) && answer.Hostname.Length > 0 && _nameMarks.ContainsKey(answer.Hostname))
        {
            EstablishMutual(clock, request.NodeId, key, answer.Hostname, isRelayed: false);
            return;
        }

        if (key.Length > 0 && AutoApprove == AutoApprove.SameNetwork && !_former.ContainsKey(request.NodeId)
            && _trusted.Count < TrustLimits.MaxAutomaticTrust
            && _networks.FirstOrDefault(answer.Networks.Contains) is var network and not 0)
        {
            Raise(TrustEventNames.AutoApproved, request.NodeId, reason: "same_network");
            Establish(clock, request.NodeId, key, mutual: false, network, answer.Hostname);
            SendAccept(clock, request.NodeId);
            return;
        }

        RaiseOwedPending(request.NodeId);
    }

    private void RaiseOwedPending(uint nodeId, bool isRelayed = false)
    {
        if (_pendingEventOwed.Remove(nodeId) && _pending.TryGetValue(nodeId, out PendingRequest? request))
        {
            Raise(TrustEventNames.Pending, nodeId, request.Justification, isRelayed: isRelayed);
        }
    }
}
