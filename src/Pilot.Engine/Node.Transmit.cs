using Pilot.Engine.Streams;
using Pilot.Engine.Tunnels;
using Pilot.Protocol;

namespace Pilot.Engine;

/// <summary>Datagrams out: control frames first, then the connections in turn, sealed in place in the host's buffer.</summary>
public sealed partial class Node
{
    private const int LoopbackTurn = 64 << 10; // bytes that a turn of a connection with the node itself counts for

    /// <summary>Datagrams of one connection before the next one has its turn.</summary>
    private const int MaxBatch = 32;

    private readonly ReadyQueue _ready = new();
    private readonly SendLane _ownLane = new(); // connections of the node with itself
    private readonly byte[] _loopback = new byte[Packet.HeaderSize + Packet.MaxPayload];
    private readonly byte[] _carry = new byte[Packet.HeaderSize + Packet.MaxPayload + TunnelFrame.EncryptedOverhead + BeaconRelay.HeaderSize];
    private UdpEndpoint _carryTo;
    private int _carryLength;
    private int _segmentSize;
    private bool _carryMayFragment;
    private bool _batchMayFragment;

    /// <summary>
    /// Writes the next datagrams for one destination into the buffer, back to back, each of
    /// <see cref="Transmit.SegmentSize"/> bytes except that the last may be shorter (the shape of UDP segmentation
    /// offload). Returns the bytes written; 0 when there is nothing to send now.
    /// </summary>
    /// <param name="now">The time.</param>
    /// <param name="buffer">At least 65,535 bytes, so that every datagram fits.</param>
    /// <param name="transmit">Where to.</param>
    public int Transmit(Instant now, Span<byte> buffer, out Transmit transmit)
    {
        int length = _context.Output.TryDequeue(buffer, out UdpEndpoint destination, out bool mayFragment);
        if (length == 0 && _carryLength > 0)
        {
            length = _carryLength;
            _carryLength = 0;
            _carry.AsSpan(0, length).CopyTo(buffer);
            destination = _carryTo;
            mayFragment = _carryMayFragment;
        }

        if (length > 0)
        {
            transmit = new Transmit(destination, length, mayFragment);
            return length;
        }

        for (int turns = _ready.Count; turns > 0 && _ready.TryTake(out ConnectionEntry entry); turns--)
        {
            entry.IsReady = false;
            if (entry.IsRemoved)
            {
                continue;
            }

            int segment = 0;
            if (entry.Peer is null)
            {
                // What it said makes its other end ready, and the other way round: no datagram will come to wake them.
                int before = _ready.Count;
                bool hasMoved = RunLoopback(now, entry);
                AfterConnection(now, entry);
                _ready.Charge(LoopbackTurn);
                turns += hasMoved ? _ready.Count - before : 0;
            }
            else
            {
                length = FillBatch(now, entry, buffer, out transmit, out destination);
                segment = _segmentSize;
                AfterConnection(now, entry);
                _ready.Charge(length);
                _deadlines.Update(entry.Peer);
            }

            if (length > 0)
            {
                transmit = new Transmit(destination, segment, _batchMayFragment);
                return length;
            }

            if (_context.Output.Count > 0)
            {
                return Transmit(now, buffer, out transmit);
            }
        }

        transmit = default;
        return 0;
    }

    private int FillBatch(Instant now, ConnectionEntry entry, Span<byte> buffer, out Transmit transmit, out UdpEndpoint destination)
    {
        transmit = default;
        destination = default;
        Peer peer = entry.Peer!;
        if (!peer.IsReady || peer.SendPath(now) is not { } path)
        {
            return 0;
        }

        destination = path.Endpoint;
        int overhead = Peer.FrameOverhead(path);
        int offset = Peer.PacketOffset(path);
        int total = 0;
        _segmentSize = 0;
        _batchMayFragment = false;
        for (int i = 0; i < MaxBatch; i++)
        {
            // Repeats toward a reference keep their size when the path's has fallen: there must be room for its largest.
            Span<byte> rest = buffer[total..];
            int room = Packet.HeaderSize + Math.Max(entry.Connection.LargestPayload, TunnelConstants.BasePayload);
            if (rest.Length < room + overhead || !entry.Connection.TryTransmit(now, rest.Slice(offset, room), out int packetLength))
            {
                break;
            }

            if (ExpectsAnswer(rest[offset..], packetLength))
            {
                peer.OnSentExpectingAnswer(now);
            }

            bool isTooLarge = packetLength - Packet.HeaderSize > path.MaxPayload;
            int length = peer.SealDatagram(now, path, rest, packetLength);
            if (_segmentSize == 0)
            {
                _segmentSize = length;
                _batchMayFragment = isTooLarge;
            }
            else if (length > _segmentSize || isTooLarge)
            {
                // Larger than the batch's segments: it leaves alone, at the next call.
                rest[..length].CopyTo(_carry);
                _carryLength = length;
                _carryTo = destination;
                _carryMayFragment = isTooLarge;
                break;
            }

            total += length;
            if (length < _segmentSize || _batchMayFragment)
            {
                break;
            }
        }

        return total;
    }

    /// <summary>Packets of a connection of the node with itself: handed over at once. Returns whether there were any.</summary>
    private bool RunLoopback(Instant now, ConnectionEntry entry)
    {
        bool any = false;
        for (int i = 0; i < MaxBatch && !entry.IsRemoved && entry.Connection.TryTransmit(now, _loopback, out int length); i++)
        {
            any = true;
            if (Packet.TryParseAuthenticated(_loopback.AsSpan(0, length), out PacketHeader header, out ReadOnlySpan<byte> payload))
            {
                OnStreamPacket(now, null, header, payload);
            }
        }

        return any;
    }

    /// <summary>Whether the peer has to answer: SYN, FIN and data do, pure ACKs do not.</summary>
    private static bool ExpectsAnswer(ReadOnlySpan<byte> packet, int length)
    {
        var flags = (PacketFlags)(packet[0] & 0x0F);
        return (flags & (PacketFlags.Syn | PacketFlags.Fin)) != 0 || (length > Packet.HeaderSize && flags == PacketFlags.Ack);
    }

    /// <summary>Last words of a connection that is about to be removed (RST).</summary>
    private void SendNow(Instant now, ConnectionEntry entry)
    {
        Span<byte> packet = _context.Scratch(Packet.HeaderSize + Packet.MaxPayload);
        for (int i = 0; i < 4 && entry.Connection.TryTransmit(now, packet, out int length); i++)
        {
            if (!Packet.TryParseAuthenticated(packet[..length], out PacketHeader header, out ReadOnlySpan<byte> payload))
            {
                continue;
            }

            if (entry.Peer is { } peer)
            {
                if (peer.IsReady)
                {
                    peer.Send(now, header, payload);
                }
            }
            else if (header.Flags == PacketFlags.Rst)
            {
                OnStreamPacket(now, null, header, []);
            }
        }
    }

    private void MarkReady(Instant now, ConnectionEntry entry)
    {
        if (!entry.IsReady && (entry.Peer is null || entry.Peer.IsReady) && entry.Connection.HasSomethingToSend(now))
        {
            entry.IsReady = true;
            _ready.Enqueue(entry.Peer?.Lane ?? _ownLane, entry);
        }
    }

    private void OnPeerReady(Instant now, Peer peer)
    {
        foreach (ConnectionEntry entry in peer.Connections)
        {
            MarkReady(now, entry);
        }
    }
}
