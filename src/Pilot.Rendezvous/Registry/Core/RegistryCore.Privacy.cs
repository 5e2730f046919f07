namespace Pilot.Rendezvous.Registry;

// Who may know what about whom (spec 03 section 7)
internal sealed partial class RegistryCore
{
    private readonly Dictionary<(uint Requester, uint Target), DateTimeOffset> _recentResolves = [];

    /// <summary>True when <paramref name="target"/> lets <paramref name="peer"/> reach it: by consent (either way round in the reference policy).</summary>
    private bool Trusts(uint target, uint peer) =>
        Has(RegistryPolicy.DirectionalConsent) ? State.Trust.Consented(target, peer) : State.Trust.Linked(target, peer);

    private bool MayReach(NodeRecord requester, NodeRecord target) =>
        Trusts(target.Id, requester.Id) || RegistryState.ShareNetwork(requester, target);

    /// <summary>True when the connection may see the private attributes of a node.</summary>
    private bool MaySee(RegistryConnection connection, NodeRecord target) =>
        target.Public
        || connection.Proves(target.Id, target.Key)
        || (ActiveNode(connection) is { } viewer && MayReach(viewer, target));

    private void NoteResolve(uint requester, uint target, DateTimeOffset now)
    {
        if (_recentResolves.Count < _options.Limits.MaxTrackedKeys || _recentResolves.ContainsKey((requester, target)))
        {
            _recentResolves[(requester, target)] = now;
        }
    }

    private bool HasRecentlyResolved(uint requester, uint target, DateTimeOffset now) =>
        _recentResolves.TryGetValue((requester, target), out DateTimeOffset at) && now - at < _options.ResolveMemory;

    private void SweepResolves(DateTimeOffset now)
    {
        foreach (((uint, uint) pair, DateTimeOffset at) in _recentResolves)
        {
            if (now - at >= _options.ResolveMemory)
            {
                _recentResolves.Remove(pair);
            }
        }
    }
}
