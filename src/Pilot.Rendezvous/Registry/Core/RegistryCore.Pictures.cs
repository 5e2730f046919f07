namespace Pilot.Rendezvous.Registry;

// What the dashboard asks
internal sealed partial class RegistryCore
{
    /// <summary>Message types that are handled.</summary>
    public IReadOnlyCollection<string> Types => _handlers.Keys;

    /// <summary>How many peers each of these nodes trusts; with one report opening both directions, how many pairs it is in.</summary>
    public int[] LinksOf(IReadOnlyList<uint> nodes)
    {
        if (Has(RegistryPolicy.DirectionalConsent))
        {
            return [.. nodes.Select(State.Trust.CountOf)];
        }

        Dictionary<uint, int> counts = [];
        foreach ((uint a, uint b) in Links())
        {
            counts[a] = counts.GetValueOrDefault(a) + 1;
            counts[b] = counts.GetValueOrDefault(b) + 1; // a pair of a node with itself counts twice, as in the reference
        }

        return [.. nodes.Select(n => counts.GetValueOrDefault(n))];
    }

    /// <summary>Pairs with trust whose both ends are live, the lower id first, each once.</summary>
    public IEnumerable<(uint A, uint B)> Links()
    {
        foreach ((uint from, HashSet<uint> peers) in State.Trust.Consents)
        {
            foreach (uint to in peers)
            {
                bool twice = to < from && State.Trust.Consented(to, from);
                if (!twice && State.TryGetLive(from, out _) && State.TryGetLive(to, out _))
                {
                    yield return (Math.Min(from, to), Math.Max(from, to));
                }
            }
        }
    }
}
