using Pilot.Protocol;

namespace Pilot.Engine.Tunnels;

/// <summary>
/// One tunnel key with a peer. Receive windows are kept per nonce prefix and move only after a frame was
/// authenticated (spec 01 section 15.3 item 2).
/// </summary>
internal sealed class Session : IDisposable
{
    private readonly List<(uint Prefix, ReplayWindow Window)> _windows = [];
    private readonly TunnelCipher _cipher;

    public Session(OwnKey ownKey, ReadOnlySpan<byte> peerKey, ReadOnlySpan<byte> key, uint sendPrefix, Instant now)
    {
        OwnKey = ownKey;
        PeerKey = peerKey.ToArray();
        SendPrefix = sendPrefix;
        CreatedAt = now;
        _cipher = new TunnelCipher(key);
    }

    public OwnKey OwnKey { get; }

    public byte[] PeerKey { get; }

    public uint SendPrefix { get; private set; }

    public Instant CreatedAt { get; }

    /// <summary>The peer proved that it holds the key: by a pong, or by any new frame that opened.</summary>
    public bool IsConfirmed { get; set; }

    /// <summary>When the session is forgotten: candidates and replaced sessions only.</summary>
    public Instant ExpiresAt { get; set; } = Instant.Never;

    public ulong FramesSent { get; private set; }

    /// <summary>Too many prefixes were used by the peer: the tunnel is to be rekeyed.</summary>
    public bool IsWornOut => _windows.Count >= TunnelConstants.MaxPrefixes || FramesSent >= TunnelConstants.RekeyFrames;

    public bool Matches(ReadOnlySpan<byte> peerKey, OwnKey ownKey) => ReferenceEquals(OwnKey, ownKey) && peerKey.SequenceEqual(PeerKey);

    public bool HasPrefix(uint prefix)
    {
        foreach (var entry in _windows)
        {
            if (entry.Prefix == prefix)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Whether a frame with this prefix and counter may be opened: read-only.</summary>
    public bool IsNew(uint prefix, ulong counter)
    {
        foreach (var entry in _windows)
        {
            if (entry.Prefix == prefix)
            {
                return entry.Window.IsNew(counter);
            }
        }

        return _windows.Count < TunnelConstants.MaxPrefixes;
    }

    /// <summary>Records an authenticated frame. Should the peer use our prefix, we take another one: both directions share the key.</summary>
    public void Record(uint prefix, ulong counter, IRandomSource random)
    {
        foreach (var entry in _windows)
        {
            if (entry.Prefix == prefix)
            {
                entry.Window.Record(counter);
                return;
            }
        }

        var window = new ReplayWindow(TunnelConstants.ReplayWindowSize);
        window.Record(counter);
        _windows.Add((prefix, window));
        while (prefix == SendPrefix)
        {
            SendPrefix = random.NextUInt32();
        }
    }

    public bool TryOpen(Span<byte> frame, out Span<byte> packet) => _cipher.TryOpenInPlace(frame, out packet);

    public void Seal(Span<byte> frame, int packetLength, uint senderNodeId, ulong counter)
    {
        FramesSent++;
        _cipher.SealInPlace(frame, packetLength, senderNodeId, SendPrefix, counter);
    }

    public void Dispose() => _cipher.Dispose();
}
