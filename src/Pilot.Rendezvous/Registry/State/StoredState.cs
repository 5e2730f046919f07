namespace Pilot.Rendezvous.Registry;

/// <summary>Counters of a snapshot. Comes first.</summary>
internal sealed record CountersStored(uint NextNode, DateTimeOffset Created, long Requests) : RegistryEvent;

/// <summary>A process ended that had answered so many requests.</summary>
internal sealed record RequestsCounted(long Requests) : RegistryEvent;

/// <summary>A network as a snapshot keeps it. Members and roles come with it, the members' own lists with <see cref="NodeStored"/>.</summary>
internal sealed record NetworkStored(
    ushort Network, string Name, string JoinRule, bool Enterprise, DateTimeOffset Created, uint[] Members, Dictionary<uint, string> Roles) : RegistryEvent;

/// <summary>A node as a snapshot keeps it: everything durable in one record.</summary>
internal sealed record NodeStored(uint Node, PublicKey Key, NodeStatus Status) : RegistryEvent
{
    public string? KeyAlias { get; init; }

    /// <summary>The key or its alias leads to this node.</summary>
    public bool KeyIndexed { get; init; }

    public string? Owner { get; init; }

    /// <summary>The owner text leads to this node.</summary>
    public bool OwnerIndexed { get; init; }

    public string? Endpoint { get; init; }

    public string[]? LanAddresses { get; init; }

    public DateTimeOffset? SilentSince { get; init; }

    public bool Proven { get; init; }

    public bool? SignsFresh { get; init; }

    public string? Software { get; init; }

    public bool Public { get; init; }

    public string? Hostname { get; init; }

    public string[]? Tags { get; init; }

    public long PoloScore { get; init; }

    public bool TaskExec { get; init; }

    public string? ExternalId { get; init; }

    public DateTimeOffset KeyCreated { get; init; }

    public DateTimeOffset? KeyRotated { get; init; }

    public int KeyRotations { get; init; }

    public DateTimeOffset? KeyExpires { get; init; }

    public ushort[]? Networks { get; init; }
}

/// <summary>One node's side of the trust graph in a snapshot.</summary>
internal sealed record TrustStored(uint Node, uint[]? Consents, uint[]? Revocations, uint[]? AskedByName) : RegistryEvent;

/// <summary>One node's inbox in a snapshot.</summary>
internal sealed record InboxStored(uint Node, QueuedRequest[]? Requests, QueuedResponse[]? Responses) : RegistryEvent;

/// <summary>A state as the shortest list of events that rebuilds it.</summary>
internal static class StoredState
{
    /// <summary>Lists the state. Applied in order to an empty state the events give an equal one.</summary>
    public static IEnumerable<RegistryEvent> Of(RegistryState state)
    {
        yield return new CountersStored(state.NextNode, state.Created, state.StoredRequests);
        foreach (NetworkRecord network in state.Networks.Values)
        {
            yield return new NetworkStored(network.Id, network.Name, network.JoinRule, network.Enterprise, network.Created, [.. network.Members], network.Roles);
        }

        foreach (NodeRecord node in state.Nodes.Values)
        {
            yield return Of(state, node);
        }

        TrustGraph trust = state.Trust;
        foreach (uint node in trust.Consents.Keys.Union(trust.Revocations.Keys).Union(trust.AskedByName.Keys))
        {
            yield return new TrustStored(node, Peers(trust.Consents, node), Peers(trust.Revocations, node), Peers(trust.AskedByName, node));
        }

        foreach ((uint node, HandshakeInbox inbox) in state.Inboxes)
        {
            yield return new InboxStored(
                node, inbox.Requests.Count > 0 ? [.. inbox.Requests] : null, inbox.Responses.Count > 0 ? [.. inbox.Responses] : null);
        }
    }

    private static NodeStored Of(RegistryState state, NodeRecord node) => new(node.Id, node.Key, node.Status)
    {
        KeyAlias = node.KeyAlias,
        KeyIndexed = state.TryGetByKey(node.Key, node.KeyAlias, out NodeRecord? byKey) && byKey == node,
        Owner = Text(node.Owner),
        OwnerIndexed = state.TryGetByOwner(node.Owner, out NodeRecord? byOwner) && byOwner == node,
        Endpoint = Text(node.Endpoint),
        LanAddresses = node.LanAddresses.Length > 0 ? node.LanAddresses : null,
        SilentSince = node.SilentSince,
        Proven = node.Proven,
        SignsFresh = node.SignsFresh ? true : null,
        Software = Text(node.Software),
        Public = node.Public,
        Hostname = Text(node.Hostname),
        Tags = node.Tags.Length > 0 ? node.Tags : null,
        PoloScore = node.PoloScore,
        TaskExec = node.TaskExec,
        ExternalId = Text(node.ExternalId),
        KeyCreated = node.KeyCreated,
        KeyRotated = node.KeyRotated,
        KeyRotations = node.KeyRotations,
        KeyExpires = node.KeyExpires,
        Networks = node.Networks is { Count: > 0 } networks ? [.. networks] : null,
    };

    private static string? Text(string text) => text.Length > 0 ? text : null;

    private static uint[]? Peers(IReadOnlyDictionary<uint, HashSet<uint>> relation, uint node) =>
        relation.TryGetValue(node, out HashSet<uint>? peers) ? [.. peers] : null;
}
