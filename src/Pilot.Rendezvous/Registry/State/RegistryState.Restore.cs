namespace Pilot.Rendezvous.Registry;

// Events of a snapshot
internal sealed partial class RegistryState
{
    private void Restore(CountersStored e)
    {
        NextNode = e.NextNode;
        Created = e.Created;
        StoredRequests = e.Requests;
    }

    private void Restore(NetworkStored e)
    {
        var network = new NetworkRecord { Id = e.Network, Name = e.Name, JoinRule = e.JoinRule, Enterprise = e.Enterprise, Created = e.Created };
        network.Members.AddRange(e.Members);
        foreach ((uint node, string role) in e.Roles)
        {
            network.Roles[node] = role;
        }

        _networks.Add(e.Network, network);
    }

    private void Restore(NodeStored e)
    {
        var node = new NodeRecord
        {
            Id = e.Node,
            Key = e.Key,
            KeyAlias = e.KeyAlias,
            Status = e.Status,
            Owner = e.Owner ?? "",
            Endpoint = e.Endpoint ?? "",
            LanAddresses = e.LanAddresses ?? [],
            SilentSince = e.SilentSince,
            Proven = e.Proven,
            SignsFresh = e.SignsFresh ?? false,
            Software = Pool(e.Software ?? ""),
            Public = e.Public,
            Tags = e.Tags ?? [],
            PoloScore = e.PoloScore,
            TaskExec = e.TaskExec,
            ExternalId = e.ExternalId ?? "",
            KeyCreated = e.KeyCreated,
            KeyRotated = e.KeyRotated,
            KeyRotations = e.KeyRotations,
            KeyExpires = e.KeyExpires,
            Networks = e.Networks is null ? null : [.. e.Networks],
        };
        _nodes.Add(e.Node, node);
        LiveCount += e.Status == NodeStatus.Live ? 1 : 0;
        SetHostname(node, e.Hostname ?? "");
        if (e.KeyIndexed)
        {
            IndexKey(node, e.Key, e.KeyAlias);
        }

        if (e.OwnerIndexed)
        {
            _byOwner[node.Owner] = node.Id;
        }
    }

    private void Restore(TrustStored e)
    {
        foreach (uint peer in e.Consents ?? [])
        {
            Trust.Give(e.Node, peer);
        }

        foreach (uint peer in e.Revocations ?? [])
        {
            Trust.NoteRevocation(e.Node, peer);
        }

        foreach (uint peer in e.AskedByName ?? [])
        {
            Trust.AskByName(e.Node, peer);
        }
    }

    private void Restore(InboxStored e)
    {
        HandshakeInbox inbox = GetInbox(e.Node);
        inbox.Requests.AddRange(e.Requests ?? []);
        inbox.Responses.AddRange(e.Responses ?? []);
        RemoveIfEmpty(e.Node, inbox);
    }

    /// <summary>Takes over what another state of the same history knows from memory only: last-seen, proofs, and which messages were delivered.</summary>
    public void Remember(RegistryState other)
    {
        Changes = Math.Max(Changes, other.Changes) + 1;
        foreach (NodeRecord node in _nodes.Values)
        {
            if (other._nodes.TryGetValue(node.Id, out NodeRecord? known) && known.Key == node.Key)
            {
                node.LastSeen = known.LastSeen;
                node.ProofIp = known.ProofIp;
                node.ProofAt = known.ProofAt;
                node.ConnectedElsewhere = known.ConnectedElsewhere;
                node.Mac = node.SignsFresh && known.KeyCreated == node.KeyCreated ? known.Mac : null; // not across a deregistration
            }
        }

        foreach ((uint target, HandshakeInbox inbox) in _inboxes)
        {
            if (other._inboxes.TryGetValue(target, out HandshakeInbox? known))
            {
                foreach (QueuedRequest request in inbox.Requests)
                {
                    request.CopyDelivery(known.Requests.Find(r => r.From == request.From && r.ByName == request.ByName && r.At == request.At));
                }

                foreach (QueuedResponse response in inbox.Responses)
                {
                    response.CopyDelivery(known.Responses.Find(r => r.From == response.From && r.At == response.At));
                }
            }
        }
    }
}
