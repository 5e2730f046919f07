using Pilot.Engine.Limits;
using Pilot.Engine.Trust;
using Pilot.Engine.Tunnels;
using Pilot.Protocol;

namespace Pilot.Engine;

/// <summary>Datagrams of protocol 2 (spec 02 section 16).</summary>
public sealed partial class Node
{
    private const int MaxQueuedDatagrams = 4096;
    private readonly RateLimiter<uint> _datagramSources;

    /// <summary>
    /// Sends one datagram; false with the reason if it cannot even be queued. Nothing tells whether it arrives.
    /// </summary>
    /// <param name="now">The time.</param>
    /// <param name="nodeId">The destination.</param>
    /// <param name="sourcePort">0 for a fresh ephemeral one.</param>
    /// <param name="destinationPort">The destination port.</param>
    /// <param name="data">At most <see cref="MaxDatagram"/> bytes.</param>
    /// <param name="error">Why not.</param>
    public bool SendDatagram(Instant now, uint nodeId, ushort sourcePort, ushort destinationPort, ReadOnlySpan<byte> data, out string? error)
    {
        error = Unreachable(nodeId);
        if (error is null && data.Length > MaxDatagram)
        {
            error = $"datagram too large: {data.Length} bytes (max {MaxDatagram})";
        }

        if (error is not null)
        {
            return false;
        }

        var header = new PacketHeader
        {
            Protocol = PacketProtocol.Datagram,
            Source = Address,
            Destination = PilotAddress.OfNode(nodeId),
            SourcePort = sourcePort != 0 ? sourcePort : FreePort(static (_, _) => true)!.Value,
            DestinationPort = destinationPort,
        };
        if (nodeId == _context.NodeId)
        {
            Deliver(header, data);
            return true;
        }

        Peer peer = Wanted(now, nodeId);
        peer.LastUsed = now;
        if (!peer.Send(now, header, data))
        {
            error = "too many packets wait for a key exchange with the peer";
        }

        _deadlines.Update(peer);
        return error is null;
    }

    /// <summary>Whether what waits for a first tunnel to this node may still be refused by the registry: it was asked where the node is, and has not answered.</summary>
    public bool IsResolving(uint nodeId) =>
        _directory.Find(nodeId) is { Resolve.IsInFlight: true } && _peers.TryGetValue(nodeId, out Peer? peer) && !peer.IsReady;

    /// <summary>The largest datagram: what fits one relayed IPv4 UDP datagram (spec 02 section 16.1).</summary>
    public const int MaxDatagram = 65_428;

    private void OnDatagramPacket(Instant now, Peer peer, in PacketHeader header, ReadOnlySpan<byte> payload)
    {
        if (payload.IsEmpty)
        {
            return;
        }

        if (Admit(now, peer.NodeId, peer.IdentityKey, header.DestinationPort) != AdmissionDecision.Allowed)
        {
            _context.Events.Add(new NodeEvent { Kind = NodeEventKind.Refused, NodeId = peer.NodeId, Port = header.DestinationPort, Detail = "datagram.rejected" });
            return;
        }

        if (!_datagramSources.TryTake(now, peer.NodeId))
        {
            _context.Statistics.DatagramsDropped++;
            return;
        }

        peer.LastUsed = now;
        Deliver(header, payload);
    }

    private void Deliver(in PacketHeader header, ReadOnlySpan<byte> payload)
    {
        if (_context.Events.Count >= MaxQueuedDatagrams)
        {
            _context.Statistics.DatagramsDropped++;
            return;
        }

        _context.Events.Add(new NodeEvent
        {
            Kind = NodeEventKind.Datagram,
            NodeId = header.Source.Node,
            Port = header.DestinationPort,
            Datagram = new ReceivedDatagram(header.Source, header.SourcePort, header.DestinationPort, payload.ToArray()),
        });
    }
}
