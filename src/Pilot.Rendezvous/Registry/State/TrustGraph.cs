namespace Pilot.Rendezvous.Registry;

/// <summary>Who consented to whom, by node id. Survives the nodes (spec 03 section 6.4).</summary>
internal sealed class TrustGraph
{
    private const int MaxRevocationsPerNode = 10_000; // the will of one node; a stranger must not fill the store with his

    private readonly Dictionary<uint, HashSet<uint>> _consents = [];
    private readonly Dictionary<uint, HashSet<uint>> _revocations = [];
    private readonly Dictionary<uint, HashSet<uint>> _askedByName = [];
    private readonly Dictionary<uint, HashSet<uint>> _namedBy = []; // who names a node in any of the three: without it, to forget one takes a walk over all

    public IReadOnlyDictionary<uint, HashSet<uint>> Consents => _consents;

    public IReadOnlyDictionary<uint, HashSet<uint>> Revocations => _revocations;

    /// <summary>Requests by hostname: they become consent when the target accepts, and are visible to nobody before.</summary>
    public IReadOnlyDictionary<uint, HashSet<uint>> AskedByName => _askedByName;

    /// <summary>Pairs with consent in at least one direction.</summary>
    public int LinkCount { get; private set; }

    public bool Consented(uint from, uint to) => Has(_consents, from, to);

    public bool Linked(uint a, uint b) => Consented(a, b) || Consented(b, a);

    public bool Revoked(uint by, uint peer) => Has(_revocations, by, peer);

    public bool HasAskedByName(uint from, uint to) => Has(_askedByName, from, to);

    public int CountOf(uint from) => _consents.TryGetValue(from, out HashSet<uint>? to) ? to.Count : 0;

    public int AskedByNameCount(uint from) => _askedByName.TryGetValue(from, out HashSet<uint>? to) ? to.Count : 0;

    public void Give(uint from, uint to)
    {
        bool linked = Linked(from, to);
        Add(_consents, from, to);
        Remove(_revocations, from, to);
        Remove(_askedByName, from, to);
        LinkCount += linked ? 0 : 1;
    }

    public void AskByName(uint from, uint to) => Add(_askedByName, from, to);

    public void Revoke(uint by, uint peer)
    {
        LinkCount -= Linked(by, peer) ? 1 : 0;
        Remove(_consents, by, peer);
        Remove(_consents, peer, by);
        Remove(_askedByName, by, peer);
        Remove(_askedByName, peer, by);
        NoteRevocation(by, peer);
    }

    /// <summary>Notes a revocation that a snapshot holds; consents are not touched.</summary>
    public void NoteRevocation(uint by, uint peer)
    {
        if (!_revocations.TryGetValue(by, out HashSet<uint>? peers) || peers.Count < MaxRevocationsPerNode)
        {
            Add(_revocations, by, peer);
        }
    }

    /// <summary>Forgets everything from and to a node.</summary>
    public void Forget(uint node)
    {
        uint[] others = _namedBy.TryGetValue(node, out HashSet<uint>? namedBy) ? [.. namedBy] : [];
        foreach (uint peer in CopyOf(_consents, node).Union(others))
        {
            LinkCount -= Linked(node, peer) ? 1 : 0;
        }

        foreach (Dictionary<uint, HashSet<uint>> relation in (Dictionary<uint, HashSet<uint>>[])[_consents, _revocations, _askedByName])
        {
            foreach (uint peer in CopyOf(relation, node))
            {
                Remove(relation, node, peer);
            }

            foreach (uint other in others)
            {
                Remove(relation, other, node);
            }
        }
    }

    private static uint[] CopyOf(Dictionary<uint, HashSet<uint>> relation, uint node) => relation.TryGetValue(node, out HashSet<uint>? peers) ? [.. peers] : [];

    private static bool Has(Dictionary<uint, HashSet<uint>> relation, uint from, uint to) =>
        relation.TryGetValue(from, out HashSet<uint>? peers) && peers.Contains(to);

    private void Add(Dictionary<uint, HashSet<uint>> relation, uint from, uint to)
    {
        Put(relation, from, to);
        Put(_namedBy, to, from);
    }

    private void Remove(Dictionary<uint, HashSet<uint>> relation, uint from, uint to)
    {
        Take(relation, from, to);
        if (!Has(_consents, from, to) && !Has(_revocations, from, to) && !Has(_askedByName, from, to))
        {
            Take(_namedBy, to, from);
        }
    }

    private static void Put(Dictionary<uint, HashSet<uint>> relation, uint from, uint to)
    {
        if (!relation.TryGetValue(from, out HashSet<uint>? peers))
        {
            relation[from] = peers = [];
        }

        peers.Add(to);
    }

    private static void Take(Dictionary<uint, HashSet<uint>> relation, uint from, uint to)
    {
        if (relation.TryGetValue(from, out HashSet<uint>? peers) && peers.Remove(to) && peers.Count == 0)
        {
            relation.Remove(from);
        }
    }
}
