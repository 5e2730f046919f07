using System.Diagnostics.CodeAnalysis;
using System.Text.Json.Serialization;

namespace Pilot.Rendezvous.Registry;

/// <summary>All durable state of the registry with its indexes. Read by the rules, changed only by <see cref="Apply"/>. One writer, no locks.</summary>
internal sealed partial class RegistryState
{
    private readonly Dictionary<uint, NodeRecord> _nodes = [];
    private readonly Dictionary<PublicKey, uint> _byKey = [];
    private readonly Dictionary<string, uint> _byKeyAlias = new(StringComparer.Ordinal);
    private readonly Dictionary<string, uint> _byOwner = new(StringComparer.Ordinal);
    private readonly Dictionary<string, uint> _byHostname = new(StringComparer.Ordinal);
    private readonly Dictionary<uint, HandshakeInbox> _inboxes = [];
    private readonly SortedDictionary<ushort, NetworkRecord> _networks = [];

    private const int MaxPooledSoftware = 1000;
    private readonly HashSet<string> _software = new(StringComparer.Ordinal);

    public RegistryState(DateTimeOffset created) => Created = created;

    /// <summary>When the backbone was made.</summary>
    [JsonIgnore]
    public DateTimeOffset Created { get; private set; }

    /// <summary>Grows with every change.</summary>
    [JsonIgnore]
    public long Changes { get; private set; }

    /// <summary>Requests answered by processes that ended in order.</summary>
    [JsonIgnore]
    public long StoredRequests { get; private set; }

    /// <summary>Next id to give; 0 when the space is exhausted.</summary>
    public uint NextNode { get; private set; } = 1;

    public IReadOnlyDictionary<uint, NodeRecord> Nodes => _nodes;

    public IReadOnlyDictionary<PublicKey, uint> Keys => _byKey;

    public IReadOnlyDictionary<string, uint> KeyAliases => _byKeyAlias;

    public IReadOnlyDictionary<string, uint> Owners => _byOwner;

    public IReadOnlyDictionary<string, uint> Hostnames => _byHostname;

    public IReadOnlyDictionary<uint, HandshakeInbox> Inboxes => _inboxes;

    public IReadOnlyDictionary<ushort, NetworkRecord> Networks => _networks;

    public TrustGraph Trust { get; } = new();

    /// <summary>Nodes that are live: the members of the backbone.</summary>
    public int LiveCount { get; private set; }

    public bool TryGetLive(uint id, [NotNullWhen(true)] out NodeRecord? node) => _nodes.TryGetValue(id, out node) && node.Status == NodeStatus.Live;

    public bool TryGetByKey(PublicKey key, string? alias, [NotNullWhen(true)] out NodeRecord? node)
    {
        node = null;
        return (alias is null ? _byKey.TryGetValue(key, out uint id) : _byKeyAlias.TryGetValue(alias, out id)) && _nodes.TryGetValue(id, out node);
    }

    public bool TryGetByOwner(string owner, [NotNullWhen(true)] out NodeRecord? node)
    {
        node = null;
        return owner.Length > 0 && _byOwner.TryGetValue(owner, out uint id) && _nodes.TryGetValue(id, out node);
    }

    public bool TryGetByHostname(string hostname, [NotNullWhen(true)] out NodeRecord? node)
    {
        node = null;
        return _byHostname.TryGetValue(hostname, out uint id) && _nodes.TryGetValue(id, out node);
    }

    public HandshakeInbox? InboxOf(uint node) => _inboxes.GetValueOrDefault(node);

    /// <summary>True when both list the same network other than the backbone.</summary>
    public static bool ShareNetwork(NodeRecord a, NodeRecord b)
    {
        if (a.Networks is null || b.Networks is null)
        {
            return false;
        }

        foreach (ushort network in a.Networks)
        {
            if (b.Networks.Contains(network))
            {
                return true;
            }
        }

        return false;
    }
}
