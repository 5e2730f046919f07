using Pilot.Protocol;

namespace Pilot.Engine.Trust;

/// <summary>What a trust record says about a peer that shows a key.</summary>
public enum TrustStanding
{
    /// <summary>No record, or another key than the pinned one.</summary>
    None,

    /// <summary>Trusted.</summary>
    Trusted,

    /// <summary>Trusted as long as the network that caused it is shared.</summary>
    WhileNetworkShared,
}

/// <summary>The gates' immutable view of the trust state. Shared freely between threads.</summary>
public sealed class TrustSnapshot
{
    private readonly Dictionary<uint, Entry> _trusted;
    private readonly HashSet<uint> _marked;
    private readonly HashSet<uint> _denied;

    private TrustSnapshot(Dictionary<uint, Entry> trusted, HashSet<uint> marked, HashSet<uint> denied)
    {
        _trusted = trusted;
        _marked = marked;
        _denied = denied;
    }

    /// <summary>No trust, no marks, nobody denied.</summary>
    public static TrustSnapshot Empty { get; } = Create([], [], []);

    /// <summary>The ids of all trust records.</summary>
    public IReadOnlyCollection<uint> TrustedNodes => _trusted.Keys;

    /// <summary>Builds a view.</summary>
    /// <param name="trusted">Trust records; one with a key that is not 32 bytes of base64 counts as never matching, one with an empty key as not yet pinned.</param>
    /// <param name="marked">Nodes that the user asked.</param>
    /// <param name="denied">The deny list.</param>
    public static TrustSnapshot Create(IEnumerable<TrustedPeer> trusted, IEnumerable<uint> marked, IEnumerable<uint> denied)
    {
        var entries = new Dictionary<uint, Entry>();
        foreach (TrustedPeer peer in trusted)
        {
            byte[]? key = null;
            if (peer.PublicKey.Length > 0)
            {
                key = new byte[Ed25519.PublicKeySize];
                if (!StandardBase64.TryDecodeExact(peer.PublicKey, key))
                {
                    continue;
                }
            }

            entries[peer.NodeId] = new Entry(key, peer.Network);
        }

        return new TrustSnapshot(entries, [.. marked], [.. denied]);
    }

    /// <summary>Whether there is a trust record for the node that this key fulfils, without regard to shared networks.</summary>
    /// <param name="nodeId">The node.</param>
    /// <param name="publicKey">The Ed25519 key that it proved to hold and that the registry confirms.</param>
    public bool IsTrusted(uint nodeId, ReadOnlySpan<byte> publicKey) => Standing(nodeId, publicKey) == TrustStanding.Trusted;

    /// <summary>What the trust records say about the node with this key.</summary>
    public TrustStanding Standing(uint nodeId, ReadOnlySpan<byte> publicKey)
    {
        if (!_trusted.TryGetValue(nodeId, out Entry entry) || (entry.Key is not null && !publicKey.SequenceEqual(entry.Key)))
        {
            return TrustStanding.None;
        }

        return entry.Network == 0 ? TrustStanding.Trusted : TrustStanding.WhileNetworkShared;
    }

    /// <summary>Whether there is a trust record for the node, whatever its key: for limits and lanes, never for admission.</summary>
    public bool IsKnown(uint nodeId) => _trusted.ContainsKey(nodeId);

    /// <summary>The Ed25519 key that the node's trust record pins (32 bytes); null without record or without pinned key.</summary>
    public byte[]? PinnedKey(uint nodeId) => _trusted.TryGetValue(nodeId, out Entry entry) ? entry.Key : null;

    /// <summary>Whether the user asked this node for trust.</summary>
    public bool HasOutgoingMark(uint nodeId) => _marked.Contains(nodeId);

    /// <summary>Whether the user revoked this node.</summary>
    public bool IsDenied(uint nodeId) => _denied.Contains(nodeId);

    private readonly record struct Entry(byte[]? Key, ushort Network);
}
