using System.Buffers.Binary;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Interop;

// Tunnels (01 §4 to 9): one X25519 key per process, exchange frames with every queued packet and no timer, state replaced by
// every accepted exchange frame.
internal sealed partial class ReferenceNode
{
    private const int MaxQueued = 64;
    private const int MaxQueuedPeers = 256;
    private const int ExchangeSize = 136;
    private const int SealOverhead = 36;

    private readonly byte[] _x25519Private;
    private readonly byte[] _x25519Public = new byte[32];
    private readonly Dictionary<uint, UdpEndpoint> _endpoints = [];
    private readonly Dictionary<uint, UdpEndpoint> _resolved = [];
    private readonly Dictionary<uint, KeyState> _keys = [];
    private readonly Dictionary<uint, CachedKey> _identities = [];
    private readonly Dictionary<uint, Queue<byte[]>> _queued = [];
    private readonly HashSet<uint> _relayed = [];

    private sealed class KeyState(byte[] peerKey, TunnelCipher cipher, uint prefix, bool isAuthenticated)
    {
        public readonly byte[] PeerKey = peerKey;
        public readonly TunnelCipher Cipher = cipher;
        public readonly uint Prefix = prefix;
        public readonly bool IsAuthenticated = isAuthenticated;
        public readonly ReferenceWindow Window = new();
        public ulong Counter;
    }

    // From the registry's answer at first; from the first accepted frame on only a place in the receive buffer (5.9).
    private sealed record CachedKey(byte[] Bytes, int? Alias);

    /// <summary>Exchange frames sent and accepted.</summary>
    public int ExchangesSent { get; private set; }

    public int ExchangesAccepted { get; private set; }

    /// <summary>Refused because the key stands at the place of the other path kind (5.9).</summary>
    public int AliasRefusals { get; private set; }

    /// <summary>Frames of the peer that its replay window refused although they were new.</summary>
    public int ReplayDrops { get; private set; }

    public int UnknownKeyDrops { get; private set; }

    public int DecryptionFailures { get; private set; }

    /// <summary>Packets passed on by the tunnel.</summary>
    public int PacketsOpened { get; private set; }

    public bool HasKey(uint nodeId) => _keys.ContainsKey(nodeId);

    public bool IsAuthenticated(uint nodeId) => _keys.TryGetValue(nodeId, out KeyState? state) && state.IsAuthenticated;

    public bool IsRelayed(uint nodeId) => _relayed.Contains(nodeId);

    public ulong HighestCounter(uint nodeId) => _keys[nodeId].Window.Highest;

    public UdpEndpoint? Endpoint(uint nodeId) => _endpoints.TryGetValue(nodeId, out UdpEndpoint endpoint) ? endpoint : null;

    /// <summary>Called for each packet that reaches the router.</summary>
    public Action<PacketHeader, byte[]>? Routed { get; set; }

    /// <summary>Forgets endpoint and key of a peer, as revoking trust does (9.2); identity, flag and queue stay.</summary>
    public void Forget(uint nodeId)
    {
        _endpoints.Remove(nodeId);
        _keys.Remove(nodeId);
    }

    /// <summary>Prepares to send to a node (04 §6); the error text if that is not possible.</summary>
    private string? EnsureEndpoint(uint nodeId)
    {
        if (_endpoints.ContainsKey(nodeId))
        {
            return null;
        }

        if (_registry.Resolve(NodeId, nodeId) is { } endpoint)
        {
            _resolved[nodeId] = endpoint;
            if (_beacon is { } beacon)
            {
                byte[] request = new byte[BeaconPunchRequest.Size];
                new BeaconPunchRequest(NodeId, nodeId).Write(request);
                _send(beacon, request);
            }
        }
        else if (!_resolved.TryGetValue(nodeId, out endpoint))
        {
            return $"resolve node {nodeId}: registry: request failed";
        }

        _endpoints[nodeId] = endpoint;
        SendExchange(nodeId);
        return null;
    }

    private void Discover()
    {
        if (_beacon is { } beacon)
        {
            byte[] message = new byte[BeaconDiscover.Size];
            new BeaconDiscover(NodeId).Write(message);
            _send(beacon, message);
        }
    }

    private void OnDatagram(Instant now, UdpEndpoint source, byte[] datagram)
    {
        if (datagram.Length == 0)
        {
            return;
        }

        if (datagram[0] >= 0x10)
        {
            OnFrame(source, datagram, 0);
        }
        else if (BeaconPunchCommand.TryParse(datagram, out BeaconPunchCommand command))
        {
            for (int i = 0; i < 3; i++)
            {
                _send(command.Target, "PILP"u8.ToArray());
            }
        }
        else if (datagram[0] == (byte)BeaconMessageType.RelayDeliver && datagram.Length > BeaconRelayDeliver.HeaderSize)
        {
            // From any source, and before any check of the content (8.2).
            uint sender = BinaryPrimitives.ReadUInt32BigEndian(datagram.AsSpan(1));
            _relayed.Add(sender);
            if (_beacon is { } beacon)
            {
                _endpoints.TryAdd(sender, beacon);
            }

            OnFrame(null, datagram, BeaconRelayDeliver.HeaderSize);
        }
    }

    /// <summary>A tunnel frame at an offset of the datagram; no source when it was relayed.</summary>
    private void OnFrame(UdpEndpoint? source, byte[] datagram, int offset)
    {
        ReadOnlySpan<byte> frame = datagram.AsSpan(offset);
        if (frame.Length < 4)
        {
            return;
        }

        if (frame.StartsWith("PILA"u8))
        {
            OnAuthenticatedExchange(source, datagram, offset);
        }
        else if (frame.StartsWith("PILK"u8))
        {
            OnPlainExchange(source, frame);
        }
        else if (frame.StartsWith("PILS"u8))
        {
            OnEncrypted(datagram.AsSpan(offset));
        }
        else if (frame.StartsWith("PILT"u8) && Packet.TryParse(frame[4..], out PacketHeader header, out ReadOnlySpan<byte> payload))
        {
            Pass(header, payload); // also with encryption on (8)
        }
    }

    private void OnAuthenticatedExchange(UdpEndpoint? source, byte[] datagram, int offset)
    {
        if (datagram.Length - offset < ExchangeSize)
        {
            return;
        }

        uint nodeId = BinaryPrimitives.ReadUInt32BigEndian(datagram.AsSpan(offset + 4));
        ReadOnlySpan<byte> peerKey = datagram.AsSpan(offset + 8, 32);
        ReadOnlySpan<byte> identity = datagram.AsSpan(offset + 40, 32);
        if (!_identities.TryGetValue(nodeId, out CachedKey? cached))
        {
            if (_registry.Lookup(nodeId) is not { } key)
            {
                return;
            }

            _identities[nodeId] = cached = new CachedKey(key, null);
        }

        bool isExpected = cached.Alias is { } place && _switches.HasAliasDefect
            ? place + 32 <= datagram.Length && identity.SequenceEqual(datagram.AsSpan(place, 32))
            : identity.SequenceEqual(cached.Bytes);
        if (!isExpected)
        {
            AliasRefusals += cached.Alias is null ? 0 : 1;
            return;
        }

        Span<byte> signed = stackalloc byte[40];
        "auth"u8.CopyTo(signed);
        datagram.AsSpan(offset + 4, 36).CopyTo(signed[4..]);
        if (Ed25519.Verify(identity, signed, datagram.AsSpan(offset + 72, 64)) && Install(source, nodeId, peerKey, isAuthenticated: true))
        {
            _identities[nodeId] = new CachedKey(identity.ToArray(), offset + 40);
        }
    }

    private void OnPlainExchange(UdpEndpoint? source, ReadOnlySpan<byte> frame)
    {
        if (frame.Length < 40)
        {
            return;
        }

        uint nodeId = BinaryPrimitives.ReadUInt32BigEndian(frame[4..]);
        if (_identities.ContainsKey(nodeId) || _registry.Lookup(nodeId) is not null)
        {
            SendExchange(nodeId);
            return;
        }

        Install(source, nodeId, frame.Slice(8, 32), isAuthenticated: false);
    }

    private bool Install(UdpEndpoint? source, uint nodeId, ReadOnlySpan<byte> peerKey, bool isAuthenticated)
    {
        Span<byte> key = stackalloc byte[TunnelKey.Size];
        if (!TunnelKey.TryDerive(_x25519Private, peerKey, key))
        {
            return false;
        }

        bool isNews = !_keys.TryGetValue(nodeId, out KeyState? before) || !peerKey.SequenceEqual(before.PeerKey);
        before?.Cipher.Dispose();
        _keys[nodeId] = new KeyState(peerKey.ToArray(), new TunnelCipher(key), _random.NextUInt32(), isAuthenticated);
        ExchangesAccepted++;
        if (source is { } endpoint)
        {
            _endpoints[nodeId] = endpoint;
        }

        if (isNews)
        {
            SendExchange(nodeId);
        }

        if (_queued.Remove(nodeId, out Queue<byte[]>? waiting))
        {
            while (waiting.TryDequeue(out byte[]? packet))
            {
                SendSealed(nodeId, packet);
            }
        }

        return true;
    }

    private void OnEncrypted(Span<byte> frame)
    {
        if (frame.Length < SealOverhead)
        {
            return;
        }

        uint nodeId = BinaryPrimitives.ReadUInt32BigEndian(frame[4..]);
        ulong counter = BinaryPrimitives.ReadUInt64BigEndian(frame[12..]);
        if (!_keys.TryGetValue(nodeId, out KeyState? state))
        {
            UnknownKeyDrops++;
            return;
        }

        if (!state.Window.Take(counter))
        {
            ReplayDrops++;
            return;
        }

        if (!state.Cipher.TryOpenInPlace(frame, out Span<byte> packet))
        {
            state.Window.Forget(counter);
            DecryptionFailures++;
            return;
        }

        if (Packet.TryParse(packet, out PacketHeader header, out ReadOnlySpan<byte> payload))
        {
            PacketsOpened++;
            Pass(header, payload); // whatever source it names (6.2)
        }
    }

    private void Pass(in PacketHeader header, ReadOnlySpan<byte> payload)
    {
        Routed?.Invoke(header, payload.ToArray());
        PassToRouter(header, payload);
    }

    /// <summary>Sends a packet, or queues it with one exchange frame; the error text if neither is possible (01 §7).</summary>
    private string? SendPacket(uint nodeId, in PacketHeader header, ReadOnlySpan<byte> payload)
    {
        byte[] packet = new byte[Packet.HeaderSize + payload.Length];
        Packet.Write(packet, header, payload);
        return SendPacket(nodeId, packet);
    }

    private string? SendPacket(uint nodeId, byte[] packet)
    {
        if (!_endpoints.ContainsKey(nodeId))
        {
            return $"no tunnel to node {nodeId}";
        }

        if (_keys.ContainsKey(nodeId))
        {
            SendSealed(nodeId, packet);
            return null;
        }

        SendExchange(nodeId);
        if (!_queued.TryGetValue(nodeId, out Queue<byte[]>? waiting))
        {
            if (_queued.Count >= MaxQueuedPeers)
            {
                return "too many pending key exchanges";
            }

            _queued[nodeId] = waiting = new Queue<byte[]>();
        }

        waiting.Enqueue(packet);
        if (waiting.Count > MaxQueued)
        {
            waiting.Dequeue();
        }

        return null;
    }

    private void SendSealed(uint nodeId, byte[] packet)
    {
        KeyState state = _keys[nodeId];
        byte[] frame = new byte[packet.Length + SealOverhead];
        packet.CopyTo(frame, 20);
        state.Cipher.SealInPlace(frame, packet.Length, NodeId, state.Prefix, ++state.Counter);
        SendFrame(nodeId, frame);
    }

    private void SendExchange(uint nodeId)
    {
        if (!_endpoints.ContainsKey(nodeId))
        {
            return;
        }

        byte[] frame = new byte[ExchangeSize];
        "PILA"u8.CopyTo(frame);
        BinaryPrimitives.WriteUInt32BigEndian(frame.AsSpan(4), NodeId);
        _x25519Public.CopyTo(frame, 8);
        Identity.PublicKeySpan.CopyTo(frame.AsSpan(40));
        Span<byte> signed = stackalloc byte[40];
        "auth"u8.CopyTo(signed);
        frame.AsSpan(4, 36).CopyTo(signed[4..]);
        Identity.Sign(signed, frame.AsSpan(72));
        ExchangesSent++;
        SendFrame(nodeId, frame);
    }

    private void SendFrame(uint nodeId, byte[] frame)
    {
        if (_relayed.Contains(nodeId) && _beacon is { } beacon)
        {
            byte[] wrapped = new byte[BeaconRelay.HeaderSize + frame.Length];
            BeaconRelay.WriteHeader(wrapped, NodeId, nodeId);
            frame.CopyTo(wrapped, BeaconRelay.HeaderSize);
            _send(beacon, wrapped);
            return;
        }

        _send(_endpoints[nodeId], frame);
    }
}
