using Pilot.Engine.Paths;
using Pilot.Protocol;

namespace Pilot.Engine.Tunnels;

/// <summary>Sealing and sending, and packets that wait for a key (spec 01 section 7).</summary>
internal sealed partial class Peer
{
    private readonly Queue<(byte[] Packet, Instant ExpiresAt)> _pending = new();
    private Instant _pendingExpireAt = Instant.Never;
    private int _pendingBytes;

    // At first contact the peer may still be asking the registry for our key. Streams repeat what it cannot open yet, datagrams
    // are gone: they wait until it has proved the key, but not long.
    private Instant _datagramsHeldUntil = Instant.Never;

    public int PendingCount => _pending.Count;

    /// <summary>Bytes that a sealed packet has around it on the path that is used now.</summary>
    public static int FrameOverhead(PeerPath path) => TunnelFrame.EncryptedOverhead + (path.Kind == PathKind.Relay ? BeaconRelay.HeaderSize : 0);

    /// <summary>Where the packet of a frame for this path begins.</summary>
    public static int PacketOffset(PeerPath path) => TunnelFrame.EncryptedHeaderSize + (path.Kind == PathKind.Relay ? BeaconRelay.HeaderSize : 0);

    /// <summary>
    /// Seals the packet that stands at <see cref="PacketOffset"/> of the buffer, in place, under the current session;
    /// returns the length of the whole datagram.
    /// </summary>
    public int SealDatagram(Instant now, PeerPath path, Span<byte> buffer, int packetLength)
    {
        int offset = 0;
        if (path.Kind == PathKind.Relay)
        {
            BeaconRelay.WriteHeader(buffer, _context.NodeId, NodeId);
            offset = BeaconRelay.HeaderSize;
        }

        int length = offset + packetLength + TunnelFrame.EncryptedOverhead;
        _current!.Seal(buffer[offset..length], packetLength, _context.NodeId, ++_sendCounter);
        path.OnSent(now, length);
        BytesSent += (ulong)length;
        _context.Statistics.PacketsSent++;
        _context.Statistics.BytesSent += (ulong)length;
        _context.Statistics.Encrypted++;
        if (HedgePath(now, path) is { } other)
        {
            _context.SendFrame(now, NodeId, other, buffer[offset..length]); // the same frame: the second to come is a replay
        }

        return length;
    }

    /// <summary>Sends one packet (datagram, RST) now, or queues it until there is a key. False if the queue is full.</summary>
    public bool Send(Instant now, in PacketHeader header, ReadOnlySpan<byte> payload)
    {
        if (_current is not null && !HoldsBack(now, header) && SendPath(now) is { } path)
        {
            SendPacket(now, header, payload, path, _current);
            return true;
        }

        int length = Packet.HeaderSize + payload.Length;
        if (_pending.Count >= TunnelConstants.MaxPendingPackets || _pendingBytes + length > TunnelConstants.MaxPendingBytes)
        {
            return false;
        }

        byte[] packet = new byte[length];
        Packet.Write(packet, header, payload);
        _pending.Enqueue((packet, now + TunnelConstants.PendingLifetime));
        _pendingBytes += length;
        _pendingExpireAt = Instant.Min(_pendingExpireAt, now + TunnelConstants.PendingLifetime);
        EnsureContact(now);
        return true;
    }

    private void SendPacket(Instant now, in PacketHeader header, ReadOnlySpan<byte> payload, PeerPath path, Session session)
    {
        int packetLength = Packet.HeaderSize + payload.Length;
        int frameLength = packetLength + TunnelFrame.EncryptedOverhead;
        int prefix = path.Kind == PathKind.Relay ? BeaconRelay.HeaderSize : 0;
        bool mayFragment = header.Protocol == PacketProtocol.Datagram && payload.Length > path.MaxPayload;
        Span<byte> datagram = _context.Output.Reserve(path.Endpoint, prefix + frameLength, mayFragment);
        if (datagram.IsEmpty)
        {
            return;
        }

        if (prefix > 0)
        {
            BeaconRelay.WriteHeader(datagram, _context.NodeId, NodeId);
        }

        Span<byte> frame = datagram[prefix..];
        Packet.Write(frame[TunnelFrame.EncryptedHeaderSize..], header, payload);
        session.Seal(frame, packetLength, _context.NodeId, ++_sendCounter);
        path.OnSent(now, datagram.Length);
        BytesSent += (ulong)datagram.Length;
        _context.Statistics.PacketsSent++;
        _context.Statistics.BytesSent += (ulong)datagram.Length;
        _context.Statistics.Encrypted++;
    }

    private bool HoldsBack(Instant now, in PacketHeader header) =>
        header.Protocol == PacketProtocol.Datagram && !IsConfirmed && now < _datagramsHeldUntil;

    private void FlushPending(Instant now)
    {
        for (int left = _pending.Count; left > 0 && _current is not null && SendPath(now) is { } path; left--)
        {
            var item = _pending.Dequeue();
            if (now < item.ExpiresAt && Packet.TryParse(item.Packet, out PacketHeader header, out ReadOnlySpan<byte> payload))
            {
                if (HoldsBack(now, header))
                {
                    _pending.Enqueue(item); // the order among themselves stays
                    continue;
                }

                SendPacket(now, header, payload, path, _current);
            }

            _pendingBytes -= item.Packet.Length;
        }

        if (_pending.Count == 0)
        {
            ClearPending();
        }
    }

    private void ReleaseHeldDatagrams(Instant now)
    {
        if (now >= _datagramsHeldUntil)
        {
            _datagramsHeldUntil = Instant.Never;
            FlushPending(now);
        }
    }

    private void ExpirePending(Instant now)
    {
        if (now < _pendingExpireAt)
        {
            return;
        }

        while (_pending.TryPeek(out var item) && now >= item.ExpiresAt)
        {
            _pendingBytes -= _pending.Dequeue().Packet.Length;
        }

        _pendingExpireAt = _pending.TryPeek(out var next) ? next.ExpiresAt : Instant.Never;
    }

    private void ClearPending()
    {
        _pending.Clear();
        _pendingBytes = 0;
        _pendingExpireAt = Instant.Never;
    }
}
