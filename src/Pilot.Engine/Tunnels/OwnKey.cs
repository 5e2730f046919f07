using System.Buffers.Binary;
using Pilot.Protocol;

namespace Pilot.Engine.Tunnels;

/// <summary>
/// One of our X25519 key pairs, made for one peer and one exchange round (spec 01 section 15.1 item 2). It remembers
/// the peer keys of sessions that ended, because taking such a key again would start with an empty replay window.
/// </summary>
internal sealed class OwnKey
{
    private readonly byte[] _privateKey = new byte[32];
    private readonly List<byte[]> _retiredPeerKeys = [];

    public OwnKey(IRandomSource random, Instant createdAt)
    {
        random.Fill(_privateKey);
        X25519.GetPublicKey(_privateKey, PublicKey);
        CreatedAt = createdAt;
        Prefix = BinaryPrimitives.ReadUInt64BigEndian(PublicKey);
    }

    public byte[] PublicKey { get; } = new byte[32];

    /// <summary>The first 8 bytes of the public key: what an answer names (spec 01 section 15.1 item 3).</summary>
    public ulong Prefix { get; }

    public Instant CreatedAt { get; }

    /// <summary>Until when frames for this key are still wanted; never for the current one.</summary>
    public Instant ExpiresAt { get; set; } = Instant.Never;

    /// <summary>No further peer key can be retired under this key: it has to be replaced.</summary>
    public bool IsWornOut => _retiredPeerKeys.Count >= TunnelConstants.MaxRetiredKeys;

    public bool TryDerive(ReadOnlySpan<byte> peerPublicKey, Span<byte> key) =>
        TunnelKey.TryDerive(_privateKey, peerPublicKey, key);

    public void Retire(byte[] peerPublicKey) => _retiredPeerKeys.Add(peerPublicKey);

    public bool IsRetired(ReadOnlySpan<byte> peerPublicKey)
    {
        foreach (byte[] retired in _retiredPeerKeys)
        {
            if (peerPublicKey.SequenceEqual(retired))
            {
                return true;
            }
        }

        return false;
    }
}
