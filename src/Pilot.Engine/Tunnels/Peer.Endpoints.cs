using Pilot.Engine.Limits;
using Pilot.Engine.Nat;
using Pilot.Engine.Paths;
using Pilot.Protocol;

namespace Pilot.Engine.Tunnels;

/// <summary>
/// Endpoints told inside the tunnel (docs/wire.md): nodes of ours that met by relay learn where the other may be reached, and
/// both ping at the same time, which opens the NATs of both.
/// </summary>
internal sealed partial class Peer
{
    private TokenBucket _endpointsSent = new(TunnelConstants.EndpointRate, TunnelConstants.EndpointBurst);
    private TokenBucket _endpointsTaken = new(TunnelConstants.EndpointRate, TunnelConstants.EndpointBurst);

    /// <summary>What a peer of ours says of its NAT.</summary>
    public NatType PeerNat { get; private set; }

    /// <summary>Tells a peer of ours where we may be reached; by <paramref name="by"/>, or by the path in use.</summary>
    public void SendEndpoints(Instant now, bool wantsAnswer, PeerPath? by = null)
    {
        if (!IsOurs || _current is null || (by ?? SendPath(now)) is not { } path || !_endpointsSent.TryTake(now))
        {
            return;
        }

        var message = new EndpointsMessage(wantsAnswer, (byte)_context.Beacons.Nat.Type, _context.ReachableEndpoints());
        Span<byte> payload = stackalloc byte[EndpointsMessage.MaxSize];
        int length = message.Write(payload);
        var header = new PacketHeader
        {
            Protocol = PacketProtocol.Control,
            Source = PilotAddress.OfNode(_context.NodeId),
            Destination = PilotAddress.OfNode(NodeId),
            SourcePort = EndpointsMessage.Port,
            DestinationPort = EndpointsMessage.Port,
        };
        SendPacket(now, header, payload[..length], path, _current);
    }

    private void OnEndpoints(Instant now, ReadOnlySpan<byte> payload)
    {
        if (!_endpointsTaken.TryTake(now) || !EndpointsMessage.TryParse(payload, out EndpointsMessage message))
        {
            return;
        }

        PeerNat = message.NatType <= (byte)NatType.Blocked ? (NatType)message.NatType : NatType.Unknown;
        int punches = 0;
        foreach ((EndpointSource source, UdpEndpoint endpoint) in message.Endpoints)
        {
            if (!_context.IsWorthTrying(endpoint))
            {
                continue;
            }

            switch (source)
            {
                case EndpointSource.Predicted when punches < TunnelConstants.MaxPredictedPunches && IsTold(message, endpoint):
                    // Our filter opens for the port that its NAT will take next; its own ping then comes through and tells the rest.
                    punches++;
                    _context.Output.Enqueue(endpoint, "PILP"u8);
                    break;
                case EndpointSource.Lan when _context.MayShareNetwork(endpoint, message):
                    Try(now, PathKind.Lan, endpoint);
                    break;
                case EndpointSource.Mapped or EndpointSource.Other:
                    Try(now, PathKind.Direct, endpoint);
                    break;
            }
        }

        foreach (PeerPath path in Paths.All)
        {
            path.IsPunched = path.State == PathState.Confirmed && NeededPunch(path);
        }

        ChoosePath(now); // a path may turn out to be of a better kind
        if (message.WantsAnswer)
        {
            SendEndpoints(now, wantsAnswer: false);
        }
    }

    /// <summary>Predicted ports count only at an address that the message names otherwise.</summary>
    private static bool IsTold(EndpointsMessage message, UdpEndpoint predicted)
    {
        foreach ((EndpointSource source, UdpEndpoint endpoint) in message.Endpoints)
        {
            if (source == EndpointSource.Mapped && endpoint.Ip == predicted.Ip)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>A direct candidate that the peer told: pinged at once unless the path in use is of a better kind.</summary>
    private void Try(Instant now, PathKind kind, UdpEndpoint endpoint)
    {
        if (Paths.AddTold(kind, endpoint, now) is { State: not PathState.Confirmed } path && (Paths.Best is not { } best || kind <= best.Kind))
        {
            Probe(now, path);
        }
    }
}
