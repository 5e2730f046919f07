using Pilot.Engine.Nat;
using Pilot.Engine.Tunnels;
using Pilot.Protocol;

namespace Pilot.Engine;

/// <summary>Beacons and the NAT: what they say (spec 04, docs/wire.md), and what the host may ask and tell about them.</summary>
public sealed partial class Node
{
    /// <summary>The beacons to use, the preferred one first. Unchanged ones keep their state.</summary>
    public void SetBeacons(Instant now, ReadOnlySpan<UdpEndpoint> beacons) => _context.Beacons.SetBeacons(now, beacons, []);

    /// <summary>The beacons that the user named, and further ones that the registry lists. Unchanged ones keep their state.</summary>
    public void SetBeacons(Instant now, ReadOnlySpan<UdpEndpoint> configured, ReadOnlySpan<UdpEndpoint> listed) =>
        _context.Beacons.SetBeacons(now, configured, listed);

    /// <summary>
    /// The addresses of this host's interfaces with the tunnel socket's port: a mapping that equals one of them was not translated. The port of the first
    /// one is the socket's.
    /// </summary>
    public void SetLocalEndpoints(IReadOnlyList<UdpEndpoint> endpoints) => _context.Beacons.SetLocalEndpoints(endpoints);

    /// <summary>
    /// Outside endpoints that the NAT will likely give to the next destinations, nearest first: when it is symmetric and the ports seen so far follow a
    /// constant step. Empty otherwise.
    /// </summary>
    public IReadOnlyList<UdpEndpoint> Predicted(int count) => _context.Beacons.Predicted(count);

    /// <summary>Traffic through this beacon goes unanswered. It is asked at once, and given up unless it answers within a second.</summary>
    public void Suspect(Instant now, UdpEndpoint beacon) => _context.Beacons.Suspect(now, beacon);

    private void OnBeaconMessage(Instant now, UdpEndpoint source, Span<byte> datagram)
    {
        BeaconClient beacons = _context.Beacons;
        if (beacons.OnNatDatagram(now, source, datagram, _context.Events))
        {
            return;
        }

        if (!beacons.IsBeacon(source))
        {
            _context.Statistics.Refused++;
        }
        else if (BeaconMessage.TryGetType(datagram, out BeaconMessageType type))
        {
            OnBeaconMessage(now, source, type, datagram);
        }
        else if (BeaconPunchRefused.TryParse(datagram, out BeaconPunchRefused refused))
        {
            beacons.OnPunchRefused(now, source, refused, _context.NodeId, _context.Output);
        }
        else if (BeaconRelayStatus.TryParse(datagram, out BeaconRelayStatus status))
        {
            beacons.OnRelayStatus(source, status);
        }
        else
        {
            _context.Statistics.Refused++;
        }
    }

    private void OnBeaconMessage(Instant now, UdpEndpoint source, BeaconMessageType type, Span<byte> datagram)
    {
        switch (type)
        {
            case BeaconMessageType.DiscoverReply when _context.Beacons.OnReply(now, source, datagram, _context.Events, out bool isMoved, out bool isReachable):
                if (isMoved)
                {
                    _context.Events.Add(new NodeEvent { Kind = NodeEventKind.MappingChanged, Endpoint = _context.Beacons.Mapping!.Value });
                }

                if (isMoved || isReachable)
                {
                    foreach (Peer peer in _peers.Values)
                    {
                        peer.OnOwnAddressChanged(now);
                    }
                }

                CheckBeacon(now);
                break;
            case BeaconMessageType.PunchCommand when BeaconPunchCommand.TryParse(datagram, out BeaconPunchCommand command):
                BeaconPunchCommandExtension? extension = BeaconPunchCommandExtension.TryParse(datagram, out BeaconPunchCommandExtension given) ? given : null;
                if (_context.Beacons.IsGenuine(source, extension?.Token))
                {
                    OnPunchCommand(now, command.Target, extension?.NodeId);
                }
                else
                {
                    _context.Statistics.Refused++;
                }

                break;
            case BeaconMessageType.RelayDeliver when BeaconRelayDeliver.TryParse(datagram, out BeaconRelayDeliver relayed):
                OnRelayed(now, source, relayed.Sender, datagram[BeaconRelayDeliver.HeaderSize..]);
                break;
            default:
                _context.Statistics.Refused++;
                break;
        }
    }

    private void OnPunchCommand(Instant now, UdpEndpoint endpoint, uint? nodeId)
    {
        if (!_context.Beacons.OnPunchCommand(now, endpoint))
        {
            return;
        }

        if (nodeId is { } named)
        {
            if (_peers.TryGetValue(named, out Peer? other))
            {
                other.OnPunch(now, endpoint);
                _deadlines.Update(other);
            }

            return;
        }

        // The command of a reference names no node: it belongs to the request whose target lives at that IP, else to the oldest one.
        Peer? match = null;
        foreach (uint target in _context.Beacons.RequestedTargets(now, TunnelConstants.PunchCommandWindow))
        {
            if (_peers.TryGetValue(target, out Peer? peer))
            {
                if (peer.Paths.Best is null or { Kind: PathKind.Relay })
                {
                    match ??= peer;
                }

                foreach (Paths.PeerPath path in peer.Paths.All)
                {
                    if (path.Kind != PathKind.Relay && path.Endpoint.Ip == endpoint.Ip)
                    {
                        peer.OnPunch(now, endpoint);
                        return;
                    }
                }
            }
        }

        match?.OnPunch(now, endpoint);
    }
}
