using System.Buffers;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Server;

namespace Pilot.Rendezvous.Http;

/// <summary>One node as the dashboard may show it (spec 03 section 11): no hostname, no address of the internet, no key, no owner.</summary>
internal sealed record NodeSummary(string Address, string[] Tags, bool Online, int TrustLinks, bool TaskExec, long PoloScore);

/// <summary>Counts of the network at one moment, and the nodes to choose a page from.</summary>
internal sealed class NetworkPicture
{
    public required DateTimeOffset At { get; init; }

    public required NodeRecord[] Live { get; init; }

    public required int Active { get; init; }

    public required int TrustLinks { get; init; }

    public required int TaskExecutors { get; init; }

    /// <summary>Software with the number of live nodes that run it, the most frequent first; what is rare together as <c>other</c>, what nodes do not say as <c>unknown</c>.</summary>
    public required (string Software, int Nodes)[] Versions { get; init; }

    /// <summary>Tags with the number of nodes that carry them, the most frequent first.</summary>
    public required (string Tag, int Nodes)[] Tags { get; init; }
}

/// <summary>What to show of the nodes.</summary>
/// <param name="Query">Part of a tag, or of an address.</param>
/// <param name="OnlineOnly">Leaves out nodes that were not seen within the stale threshold.</param>
/// <param name="TasksOnly">Only nodes that take tasks.</param>
/// <param name="Sort"><c>address</c>, <c>trust</c> or <c>polo</c>.</param>
/// <param name="Offset">Nodes to skip.</param>
/// <param name="Limit">Nodes to show, at most.</param>
internal sealed record NodeQuery(string Query, bool OnlineOnly, bool TasksOnly, string Sort, int Offset, int Limit);

/// <summary>Looks at the registry for the dashboard: rarely, briefly, and shared by all who ask.</summary>
internal sealed class NetworkStatistics(RegistryService registry, SteadyClock clock, TimeSpan staleAfter)
{
    private const int MaxVersions = 20;
    private static readonly SearchValues<char> AddressCharacters = SearchValues.Create("0123456789abcdef:.");
    private static readonly TimeSpan Lifetime = TimeSpan.FromSeconds(2);
    private readonly Lock _making = new();
    private NetworkPicture? _picture;

    /// <summary>The present picture, at most two seconds old.</summary>
    public NetworkPicture Picture
    {
        get
        {
            lock (_making)
            {
                DateTimeOffset now = clock.Now;
                return _picture is { } known && now - known.At < Lifetime ? known : _picture = Take(now);
            }
        }
    }

    /// <summary>A page of the nodes and how many there are in all.</summary>
    public (List<NodeSummary> Page, int Total) Select(NetworkPicture picture, NodeQuery query)
    {
        string wanted = query.Query.TrimStart('#').ToLowerInvariant();
        bool mayBeAddress = !wanted.AsSpan().ContainsAnyExcept(AddressCharacters);
        NodeRecord[] found = [.. picture.Live.Where(n =>
            (!query.TasksOnly || n.TaskExec)
            && (!query.OnlineOnly || IsOnline(n, picture.At))
            && (wanted.Length == 0 || Array.Exists(n.Tags, t => t.Contains(wanted, StringComparison.Ordinal)) || (mayBeAddress && AddressOf(n).Contains(wanted, StringComparison.OrdinalIgnoreCase))))];
        IEnumerable<NodeRecord> ordered = query.Sort switch
        {
            "trust" => found.Zip(registry.Look(core => Array.ConvertAll(found, n => core.State.Trust.CountOf(n.Id)))).OrderByDescending(n => n.Second).ThenBy(n => n.First.Id).Select(n => n.First),
            "polo" => found.OrderByDescending(n => n.PoloScore).ThenBy(n => n.Id),
            _ => found.OrderBy(n => n.Id), // the order of the address texts, too: fixed width, digits before letters
        };
        NodeRecord[] page = [.. ordered.Skip(query.Offset).Take(query.Limit)];
        int[] links = registry.Look(core => core.LinksOf(Array.ConvertAll(page, n => n.Id)));
        return ([.. page.Select((n, i) => new NodeSummary(AddressOf(n), n.Tags, IsOnline(n, picture.At), links[i], n.TaskExec, n.PoloScore))], found.Length);
    }

    /// <summary>Trusting pairs whose both ends are live, at most as many as asked.</summary>
    public List<(string Source, string Target)> Edges(int limit) => registry.Look(core => core.Links().Take(limit)
        .Select(p => (AddressOf(core.State.Nodes[p.A]), AddressOf(core.State.Nodes[p.B]))).ToList());

    private NetworkPicture Take(DateTimeOffset now)
    {
        // Under the lock only what must be: the records themselves are read after it. A field may then be newer than another, which a picture bears.
        (NodeRecord[] nodes, int links) = registry.Look(core => (core.State.Nodes.Values.ToArray(), core.State.Trust.LinkCount));
        NodeRecord[] live = Array.FindAll(nodes, n => n.Status == NodeStatus.Live);
        Dictionary<string, int> tags = new(StringComparer.Ordinal);
        Dictionary<string, int> versions = new(StringComparer.Ordinal);
        int active = 0, executors = 0;
        foreach (NodeRecord node in live)
        {
            active += IsOnline(node, now) ? 1 : 0;
            executors += node.TaskExec ? 1 : 0;
            versions[node.Software] = versions.GetValueOrDefault(node.Software) + 1;
            foreach (string tag in node.Tags)
            {
                tags[tag] = tags.GetValueOrDefault(tag) + 1;
            }
        }

        return new NetworkPicture
        {
            At = now,
            Live = live,
            Active = active,
            TrustLinks = links,
            TaskExecutors = executors,
            Versions = Bound(versions),
            Tags = [.. tags.OrderByDescending(t => t.Value).ThenBy(t => t.Key, StringComparer.Ordinal).Select(t => (t.Key, t.Value))],
        };
    }

    private static (string Software, int Nodes)[] Bound(Dictionary<string, int> versions)
    {
        (string, int)[] ordered = [.. versions.OrderByDescending(v => v.Value).ThenBy(v => v.Key, StringComparer.Ordinal).Select(v => (v.Key.Length > 0 ? v.Key : "unknown", v.Value))];
        return ordered.Length <= MaxVersions ? ordered : [.. ordered[..(MaxVersions - 1)], ("other", ordered[(MaxVersions - 1)..].Sum(v => v.Item2))];
    }

    private bool IsOnline(NodeRecord node, DateTimeOffset now) => now - node.LastSeen <= staleAfter;

    private static string AddressOf(NodeRecord node) => node.Address.ToString();
}
