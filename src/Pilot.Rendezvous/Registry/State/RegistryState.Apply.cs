namespace Pilot.Rendezvous.Registry;

internal sealed partial class RegistryState
{
    /// <summary>Changes the state by one event. The rules have checked everything; a contradiction here is a damaged event stream.</summary>
    /// <exception cref="InvalidOperationException">The event names a node or network that does not exist.</exception>
    public void Apply(RegistryEvent happened)
    {
        Changes++;
        switch (happened)
        {
            case NodeRegistered e: ApplyRegistered(e); break;
            case NodeMoved e: ApplyMoved(e); break;
            case NodeReclaimed e: ApplyReclaimed(e); break;
            case NodeTakenOver e: ApplyTakenOver(e); break;
            case NodeProven e: Node(e.Node).Proven = true; break;
            case NodeSignsFresh e: Node(e.Node).SignsFresh = true; break;
            case SoftwareChanged e: Node(e.Node).Software = Pool(e.Software); break;
            case NodeReaped e: ApplyReaped(e); break;
            case NodeDeregistered e: ApplyDeregistered(e); break;
            case NodeForgotten e: ApplyForgotten(e); break;
            case KeyRotated e: ApplyRotated(e); break;
            case KeyExpirySet e: Node(e.Node).KeyExpires = e.Expires; break;
            case HostnameChanged e: SetHostname(Node(e.Node), e.Hostname); break;
            case VisibilityChanged e: Node(e.Node).Public = e.Public; break;
            case TagsChanged e: Node(e.Node).Tags = e.Tags; break;
            case TaskExecChanged e: Node(e.Node).TaskExec = e.Enabled; break;
            case PoloScoreChanged e: Node(e.Node).PoloScore = e.Score; break;
            case ExternalIdChanged e: Node(e.Node).ExternalId = e.ExternalId; break;
            case ConsentGiven e: Trust.Give(e.From, e.To); break;
            case TrustRevoked e: Trust.Revoke(e.By, e.Peer); break;
            case HandshakeRequested e: ApplyHandshakeRequested(e); break;
            case HandshakeResponded e: ApplyHandshakeResponded(e); break;
            case HandshakeRequestsDropped e: DropRequests(e); break;
            case HandshakeResponsesDropped e: DropResponses(e); break;
            case NetworkCreated e: ApplyNetworkCreated(e); break;
            case NetworkJoined e: Join(Network(e.Network), Node(e.Node), e.Role); break;
            case CountersStored e: Restore(e); break;
            case RequestsCounted e: StoredRequests += e.Requests; break;
            case NetworkStored e: Restore(e); break;
            case NodeStored e: Restore(e); break;
            case TrustStored e: Restore(e); break;
            case InboxStored e: Restore(e); break;
            default: throw new InvalidOperationException($"unknown event {happened.GetType().Name}");
        }
    }

    // Most nodes run one of a few versions: one string for all of them. What comes when the pool is full is kept as it is.
    private string Pool(string software)
    {
        if (_software.TryGetValue(software, out string? known))
        {
            return known;
        }

        if (_software.Count < MaxPooledSoftware)
        {
            _software.Add(software);
        }

        return software;
    }

    private NodeRecord Node(uint id) =>
        _nodes.TryGetValue(id, out NodeRecord? node) ? node : throw new InvalidOperationException($"event names node {id}, which does not exist");

    private NetworkRecord Network(ushort id) =>
        _networks.TryGetValue(id, out NetworkRecord? network) ? network : throw new InvalidOperationException($"event names network {id}, which does not exist");

    private void ApplyRegistered(NodeRegistered e)
    {
        var node = new NodeRecord
        {
            Id = e.Node,
            Owner = e.Owner,
            Endpoint = e.Endpoint,
            LanAddresses = e.LanAddresses,
            KeyCreated = e.At,
            LastSeen = e.At,
        };
        _nodes.Add(e.Node, node);
        LiveCount++;
        // 0xFFFFFFFF is the broadcast node and never given; 0 then says that no id is left.
        NextNode = e.Node == uint.MaxValue - 1 ? 0 : Math.Max(NextNode, e.Node + 1);

        IndexKey(node, e.Key, e.KeyAlias);
        IndexOwner(node, e.Owner);
    }

    private void ApplyMoved(NodeMoved e)
    {
        NodeRecord node = Node(e.Node);
        node.Endpoint = e.Endpoint;
        node.LanAddresses = e.LanAddresses;
        node.LastSeen = e.At;
        if (e.Owner is not null)
        {
            IndexOwner(node, e.Owner);
        }
    }

    private void ApplyReclaimed(NodeReclaimed e)
    {
        NodeRecord node = Node(e.Node);
        if (e.Blank)
        {
            Blank(node, e.At);
        }

        if (!e.KeepNetworks)
        {
            LeaveAll(node);
        }

        // Private until the node says otherwise: reference daemons announce only that they are public, so a kept flag could expose one that no longer is.
        node.Public = false;
        Revive(node, e.Endpoint, e.LanAddresses, e.At);
        if (e.Blank || e.Owner.Length > 0)
        {
            IndexOwner(node, e.Owner);
        }
    }

    private void ApplyTakenOver(NodeTakenOver e)
    {
        NodeRecord node = Node(e.Node);
        UnindexKey(node);
        if (e.Blank)
        {
            Blank(node, e.At);
            LeaveAll(node);
        }

        if (e.DropTrust)
        {
            Trust.Forget(node.Id);
            _inboxes.Remove(node.Id);
        }

        node.Proven = false;
        node.SignsFresh = false;
        IndexKey(node, e.Key, e.KeyAlias);
        IndexOwner(node, e.Owner);
        Revive(node, e.Endpoint, e.LanAddresses, e.At);
    }

    private void ApplyReaped(NodeReaped e)
    {
        NodeRecord node = Node(e.Node);
        Silence(node, NodeStatus.Offline, e.At);
        if (e.ReleaseHostname)
        {
            SetHostname(node, "");
        }
    }

    private void ApplyDeregistered(NodeDeregistered e)
    {
        NodeRecord node = Node(e.Node);
        SetHostname(node, "");
        node.ClearAttributes();
        LeaveAll(node);
        Silence(node, NodeStatus.Departed, e.At);
    }

    private void ApplyForgotten(NodeForgotten e)
    {
        NodeRecord node = Node(e.Node);
        Silence(node, NodeStatus.Departed, default);
        SetHostname(node, "");
        LeaveAll(node);
        UnindexKey(node);
        UnindexOwner(node);
        Trust.Forget(node.Id);
        _inboxes.Remove(node.Id);
        _nodes.Remove(node.Id);
    }

    private void ApplyRotated(KeyRotated e)
    {
        NodeRecord node = Node(e.Node);
        UnindexKey(node);
        IndexKey(node, e.Key, e.KeyAlias);
        node.KeyRotated = e.At;
        node.KeyRotations++;
        node.LastSeen = e.At;
    }

    private void ApplyHandshakeRequested(HandshakeRequested e)
    {
        HandshakeInbox inbox = GetInbox(e.To);
        inbox.Requests.RemoveAll(r => r.From == e.From && r.ByName == e.ByName);
        inbox.Requests.Add(new QueuedRequest { From = e.From, Justification = e.Justification, ByName = e.ByName, At = e.At });
        if (e.ByName)
        {
            Trust.AskByName(e.From, e.To);
        }
    }

    private void ApplyHandshakeResponded(HandshakeResponded e)
    {
        HandshakeInbox inbox = GetInbox(e.Requester);
        if (e.Replace)
        {
            inbox.Responses.RemoveAll(r => r.From == e.Responder);
        }

        inbox.Responses.Add(new QueuedResponse { From = e.Responder, Accept = e.Accept, At = e.At });
    }

    private void DropRequests(HandshakeRequestsDropped e)
    {
        if (_inboxes.TryGetValue(e.Target, out HandshakeInbox? inbox))
        {
            inbox.Requests.RemoveAll(r => r.ByName == e.ByName && e.Senders.Contains(r.From));
            RemoveIfEmpty(e.Target, inbox);
        }
    }

    private void DropResponses(HandshakeResponsesDropped e)
    {
        if (_inboxes.TryGetValue(e.Target, out HandshakeInbox? inbox))
        {
            foreach (uint responder in e.Responders)
            {
                int oldest = inbox.Responses.FindIndex(r => r.From == responder);
                if (oldest >= 0)
                {
                    inbox.Responses.RemoveAt(oldest);
                }
            }

            RemoveIfEmpty(e.Target, inbox);
        }
    }

    private void ApplyNetworkCreated(NetworkCreated e)
    {
        var network = new NetworkRecord { Id = e.Network, Name = e.Name, JoinRule = e.JoinRule, Enterprise = e.Enterprise, Created = e.At };
        _networks.Add(e.Network, network);
        if (e.Owner != 0)
        {
            Join(network, Node(e.Owner), "owner");
        }
    }

    private static void Join(NetworkRecord network, NodeRecord node, string role)
    {
        network.Members.Add(node.Id);
        network.Roles[node.Id] = role;
        (node.Networks ??= []).Add(network.Id);
    }

    private void LeaveAll(NodeRecord node)
    {
        foreach (ushort id in node.Networks ?? [])
        {
            NetworkRecord network = Network(id);
            network.Members.Remove(node.Id);
            network.Roles.Remove(node.Id);
        }

        node.Networks = null;
    }

    private void Blank(NodeRecord node, DateTimeOffset at)
    {
        SetHostname(node, "");
        node.ClearAttributes();
        node.KeyCreated = at;
    }

    private void Revive(NodeRecord node, string endpoint, string[] lanAddresses, DateTimeOffset at)
    {
        LiveCount += node.Status == NodeStatus.Live ? 0 : 1;
        node.Status = NodeStatus.Live;
        node.SilentSince = null;
        node.Endpoint = endpoint;
        node.LanAddresses = lanAddresses;
        node.LastSeen = at;
    }

    private void Silence(NodeRecord node, NodeStatus status, DateTimeOffset at)
    {
        LiveCount -= node.Status == NodeStatus.Live ? 1 : 0;
        node.Status = status;
        node.SilentSince = at;
    }

    private void SetHostname(NodeRecord node, string hostname)
    {
        if (node.Hostname.Length > 0)
        {
            _byHostname.Remove(node.Hostname);
        }

        node.Hostname = hostname;
        if (hostname.Length > 0)
        {
            _byHostname[hostname] = node.Id;
        }
    }

    private void IndexKey(NodeRecord node, PublicKey key, string? alias)
    {
        node.Key = key;
        node.KeyAlias = alias;
        if (alias is null)
        {
            _byKey[key] = node.Id;
        }
        else
        {
            _byKeyAlias[alias] = node.Id;
        }
    }

    private void UnindexKey(NodeRecord node)
    {
        if (node.KeyAlias is not null)
        {
            _byKeyAlias.Remove(node.KeyAlias);
        }
        else if (_byKey.TryGetValue(node.Key, out uint holder) && holder == node.Id)
        {
            _byKey.Remove(node.Key);
        }
    }

    private void IndexOwner(NodeRecord node, string owner)
    {
        UnindexOwner(node);
        node.Owner = owner;
        if (owner.Length > 0)
        {
            // The first holder keeps the index: a later registrant of the same text cannot stand in the way of its recovery.
            _byOwner.TryAdd(owner, node.Id);
        }
    }

    private void UnindexOwner(NodeRecord node)
    {
        if (node.Owner.Length > 0 && _byOwner.TryGetValue(node.Owner, out uint holder) && holder == node.Id)
        {
            _byOwner.Remove(node.Owner);
        }
    }

    private HandshakeInbox GetInbox(uint node)
    {
        if (!_inboxes.TryGetValue(node, out HandshakeInbox? inbox))
        {
            _inboxes[node] = inbox = new HandshakeInbox();
        }

        return inbox;
    }

    private void RemoveIfEmpty(uint node, HandshakeInbox inbox)
    {
        if (inbox.IsEmpty)
        {
            _inboxes.Remove(node);
        }
    }
}
