using Pilot.Engine.Trust;
using Pilot.Engine.Tunnels;
using Pilot.Protocol;

namespace Pilot.Engine;

/// <summary>Datagrams in: spec 01 section 4, with the stricter rules of section 15.4.</summary>
public sealed partial class Node
{
    /// <summary>Handles one UDP datagram. The buffer may be changed (decryption in place); it is the caller's again on return.</summary>
    public void ReceiveDatagram(Instant now, UdpEndpoint source, Span<byte> datagram)
    {
        switch (TunnelFrame.Classify(datagram))
        {
            case DatagramKind.Beacon:
                OnBeaconMessage(now, source, datagram);
                break;
            case DatagramKind.AuthenticatedKeyExchange:
                OnKeyExchange(now, PathKind.Direct, source, datagram);
                break;
            case DatagramKind.Encrypted:
                OnEncrypted(now, PathKind.Direct, source, datagram);
                break;
            case DatagramKind.Punch:
                if (!_context.Beacons.OnNatDatagram(now, source, datagram, _context.Events))
                {
                    OnPunch(now, source);
                }

                break;
            case DatagramKind.Empty:
                break;
            default:
                // PILT and PILK are refused (spec 01 section 15.4): plaintext proves nothing.
                _context.Statistics.Refused++;
                break;
        }
    }

    private void OnRelayed(Instant now, UdpEndpoint beacon, uint sender, Span<byte> frame)
    {
        switch (TunnelFrame.Classify(frame))
        {
            case DatagramKind.AuthenticatedKeyExchange when AuthenticatedKeyExchange.TryParse(frame, out var exchange) && exchange.NodeId == sender:
                OnKeyExchange(now, PathKind.Relay, beacon, frame);
                break;
            case DatagramKind.Encrypted when EncryptedFrame.TryParse(frame, out var encrypted) && encrypted.NodeId == sender:
                OnEncrypted(now, PathKind.Relay, beacon, frame);
                break;
            default:
                _context.Statistics.Refused++;
                break;
        }
    }

    private void OnPunch(Instant now, UdpEndpoint source)
    {
        foreach (uint target in _context.Beacons.RequestedTargets(now, TunnelConstants.PunchWindow))
        {
            if (!_peers.TryGetValue(target, out Peer? peer))
            {
                continue;
            }

            foreach (Paths.PeerPath path in peer.Paths.All)
            {
                if (path.Kind != PathKind.Relay && path.Endpoint.Ip == source.Ip)
                {
                    _context.Events.Add(new NodeEvent { Kind = NodeEventKind.PunchReceived, NodeId = target, Endpoint = source });
                    peer.OnPunch(now, source);
                    return;
                }
            }
        }
    }

    private void OnKeyExchange(Instant now, PathKind kind, UdpEndpoint source, ReadOnlySpan<byte> frame)
    {
        if (_context.NodeId == 0 || !AuthenticatedKeyExchange.TryParse(frame, out AuthenticatedKeyExchange exchange)
            || exchange.NodeId == 0 || exchange.NodeId == _context.NodeId)
        {
            _context.Statistics.Refused++;
            return;
        }

        uint nodeId = exchange.NodeId;
        _peers.TryGetValue(nodeId, out Peer? peer);
        // Before any cryptography: a lane for peers that we talk to, the source address's for everybody else. The lane
        // of a peer can be filled by a forger; then its frames still have the lane of their own address.
        if (!(peer is not null && peer.TakeExchangeLane(now)) && !_exchangeSources.TryTake(now, source.Ip))
        {
            _context.Statistics.Refused++;
            return;
        }

        if (_trust.PinnedKey(nodeId) is { } pinned && !exchange.Ed25519PublicKey.SequenceEqual(pinned))
        {
            // The trust logic decides what a changed key means; the tunnel only refuses it.
            _context.Statistics.Refused++;
            _context.Events.Add(new NodeEvent { Kind = NodeEventKind.Refused, NodeId = nodeId, Detail = "security.key_mismatch" });
            return;
        }

        AdmissionDecision decision = Admit(now, nodeId, exchange.Ed25519PublicKey, port: null);
        if (decision == AdmissionDecision.Denied)
        {
            _context.Statistics.Refused++;
            return;
        }

        if (ExpectedKey(now, nodeId) is not { } expected)
        {
            KeepPending(now, nodeId, kind, source, frame);
            return;
        }

        if (!exchange.Ed25519PublicKey.SequenceEqual(expected))
        {
            OnKeyMismatch(now, nodeId, kind, source, frame);
            return;
        }

        if (decision != AdmissionDecision.Allowed)
        {
            KeepPending(now, nodeId, kind, source, frame);
            return;
        }

        if (!exchange.VerifySignature())
        {
            _context.Statistics.Refused++;
            return;
        }

        peer ??= GetOrAddPeer(now, nodeId);
        peer.OnKeyExchange(now, exchange, kind, source);
        _deadlines.Update(peer);
    }

    /// <summary>The key that this node must have: pinned by trust, else the registry's. Null while the registry is asked.</summary>
    private byte[]? ExpectedKey(Instant now, uint nodeId)
    {
        if (_trust.PinnedKey(nodeId) is { } pinned)
        {
            return pinned;
        }

        NodeDirectory.Entry entry = _directory.GetOrAdd(nodeId);
        if (entry.PublicKey is { } known)
        {
            return known;
        }

        AskLookup(now, nodeId, entry);
        return null;
    }

    private void OnKeyMismatch(Instant now, uint nodeId, PathKind kind, UdpEndpoint source, ReadOnlySpan<byte> frame)
    {
        _context.Statistics.Refused++;
        NodeDirectory.Entry entry = _directory.GetOrAdd(nodeId);
        if (now - entry.KeyAskedAt > TunnelConstants.KeyRequeryInterval || entry.KeyAskedAt == Instant.Origin)
        {
            entry.KeyAskedAt = now;
            if (AskLookup(now, nodeId, entry))
            {
                KeepPending(now, nodeId, kind, source, frame);
            }
        }
    }

    private void KeepPending(Instant now, uint nodeId, PathKind kind, UdpEndpoint source, ReadOnlySpan<byte> frame)
    {
        NodeDirectory.Entry entry = _directory.GetOrAdd(nodeId);
        if (frame.Length <= TunnelFrame.MarkedKeyExchangeSize && entry.Lookup.IsInFlight)
        {
            entry.Pending = new NodeDirectory.PendingExchange(frame.ToArray(), kind, source, now);
        }
    }

    private void OnEncrypted(Instant now, PathKind kind, UdpEndpoint source, Span<byte> frame)
    {
        if (_context.NodeId == 0 || !EncryptedFrame.TryParse(frame, out EncryptedFrame header)
            || header.NodeId == 0 || header.NodeId == _context.NodeId)
        {
            _context.Statistics.Refused++;
            return;
        }

        uint nodeId = header.NodeId;
        if (!_peers.TryGetValue(nodeId, out Peer? peer))
        {
            OnUnknownEncrypted(now, nodeId, kind);
            return;
        }

        int length = frame.Length;
        if (!peer.TryOpen(now, frame, header, out Span<byte> packet, out bool isReplay))
        {
            if (isReplay)
            {
                _context.Statistics.Replays++;
            }
            else
            {
                _context.Statistics.DecryptionFailures++;
                peer.OnUndecryptable(now, kind);
            }

            return;
        }

        if (!Packet.TryParseAuthenticated(packet, out PacketHeader inner, out ReadOnlySpan<byte> payload) || inner.Destination.Node != _context.NodeId)
        {
            _context.Statistics.Refused++;
            return;
        }

        if (inner.Source.Node != nodeId)
        {
            // Later releases send probes and keepalives from node 0: a sign of life, nothing else (spec 01 section 15.4).
            bool isLiveness = inner.Source.Node == 0 && (inner.Flags & PacketFlags.Ack) != 0
                && (inner.Protocol == PacketProtocol.Control || (inner.Protocol == PacketProtocol.Stream && payload.IsEmpty));
            if (!isLiveness)
            {
                _context.Statistics.Refused++;
                return;
            }
        }

        _context.Statistics.PacketsReceived++;
        _context.Statistics.BytesReceived += (ulong)length;
        peer.OnAuthenticated(now, kind, source, length);
        switch (inner.Protocol)
        {
            case PacketProtocol.Stream when inner.Source.Node == nodeId:
                if (!payload.IsEmpty)
                {
                    peer.OnStreamData(now);
                }

                OnStreamPacket(now, peer, inner, payload);
                break;
            case PacketProtocol.Datagram when inner.Source.Node == nodeId:
                OnDatagramPacket(now, peer, inner, payload);
                break;
            case PacketProtocol.Control when (inner.Flags & PacketFlags.Ack) != 0
                || Admit(now, nodeId, peer.IdentityKey, port: null) == AdmissionDecision.Allowed:
                peer.OnControl(now, inner, payload, kind, source);
                break;
        }

        _deadlines.Update(peer);
    }

    private bool MayRepair(Instant now, uint nodeId) => !_trust.IsDenied(nodeId)
        && (_trust.IsKnown(nodeId) || Admit(now, nodeId, _directory.Find(nodeId)?.PublicKey, port: null) == AdmissionDecision.Allowed);

    /// <summary>A PILS of a node that we have no state for: after our restart the peer still uses the old key (spec 01 section 15.1 item 4).</summary>
    private void OnUnknownEncrypted(Instant now, uint nodeId, PathKind kind)
    {
        _context.Statistics.Refused++;
        if (!_repairs.TryTake(now) || !MayRepair(now, nodeId))
        {
            return;
        }

        Peer peer = GetOrAddPeer(now, nodeId);
        peer.OnUndecryptable(now, kind);
        _deadlines.Update(peer);
    }
}
