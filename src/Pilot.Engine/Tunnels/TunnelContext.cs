using Pilot.Engine.Paths;
using Pilot.Protocol;

namespace Pilot.Engine.Tunnels;

/// <summary>What peers share with their node: identity, randomness, the way out and the way to tell.</summary>
internal sealed class TunnelContext(Identity identity, IRandomSource random, Instant start, DateTimeOffset wallClock)
{
    private byte[] _scratch = [];

    public Identity Identity { get; set; } = identity;

    public IRandomSource Random { get; } = random;

    /// <summary>Own node id; 0 until registered.</summary>
    public uint NodeId { get; set; }

    public ControlQueue Output { get; } = new();

    public EventQueue Events { get; } = new();

    public BeaconClient Beacons { get; } = new(random);

    /// <summary>Where we can be reached besides the mapping that beacons see.</summary>
    public IReadOnlyList<UdpEndpoint> OwnEndpoints { get; set; } = [];

    /// <summary>Set by the node: questions for the host, one in flight per node and kind.</summary>
    public Action<Instant, uint> AskResolve { get; set; } = static (_, _) => { };

    /// <summary>Set by the node: the tunnel can carry packets now.</summary>
    public Action<Instant, Peer> PeerReady { get; set; } = static (_, _) => { };

    /// <summary>Set by the node: a peer's deadline moved.</summary>
    public Action<Peer> Rescheduled { get; set; } = static _ => { };

    /// <summary>Counts for the status (spec 01 section 13).</summary>
    public NodeStatistics Statistics { get; } = new();

    /// <summary>Working space for one call.</summary>
    public Span<byte> Scratch(int length)
    {
        if (_scratch.Length < length)
        {
            _scratch = new byte[Math.Max(length, 2048)];
        }

        return _scratch.AsSpan(0, length);
    }

    /// <summary>Unix time in microseconds: the start of a send counter (spec 01 section 15.3 item 1).</summary>
    public ulong UnixMicroseconds(Instant now) =>
        (ulong)((wallClock.UtcTicks - DateTimeOffset.UnixEpoch.UtcTicks + (now - start).Ticks) / 10);

    /// <summary>Sends one tunnel frame on a path, wrapped for the beacon if it is a relay path.</summary>
    public void SendFrame(Instant now, uint peerId, PeerPath path, ReadOnlySpan<byte> frame)
    {
        Statistics.PacketsSent++;
        if (path.Kind == PathKind.Relay)
        {
            Span<byte> relayed = Output.Reserve(path.Endpoint, BeaconRelay.HeaderSize + frame.Length);
            if (!relayed.IsEmpty)
            {
                BeaconRelay.WriteHeader(relayed, NodeId, peerId);
                frame.CopyTo(relayed[BeaconRelay.HeaderSize..]);
                path.OnSent(now, relayed.Length);
                Statistics.BytesSent += (ulong)relayed.Length;
            }
        }
        else
        {
            Output.Enqueue(path.Endpoint, frame);
            path.OnSent(now, frame.Length);
            Statistics.BytesSent += (ulong)frame.Length;
        }
    }

    /// <summary>Where a peer of ours may reach us: what beacons see, what the host knows, and what our NAT is likely to do next.</summary>
    public IReadOnlyList<(EndpointSource Source, UdpEndpoint Endpoint)> ReachableEndpoints()
    {
        var list = new List<(EndpointSource, UdpEndpoint)>();
        void Add(EndpointSource source, UdpEndpoint? endpoint)
        {
            if (endpoint is { Port: not 0 } known && list.Count < EndpointsMessage.MaxEndpoints && !list.Exists(entry => entry.Item2 == known))
            {
                list.Add((source, known));
            }
        }

        Add(EndpointSource.Mapped, Beacons.Mapping);
        Add(EndpointSource.Mapped, Beacons.Nat.EndpointV4);
        Add(EndpointSource.Mapped, Beacons.Nat.EndpointV6);
        foreach (UdpEndpoint endpoint in OwnEndpoints)
        {
            Add(endpoint.IsPrivate || endpoint.IsLinkLocal ? EndpointSource.Lan : EndpointSource.Other, endpoint);
        }

        foreach (UdpEndpoint endpoint in Beacons.Predicted(TunnelConstants.MaxPredictedPunches))
        {
            Add(EndpointSource.Predicted, endpoint);
        }

        return list;
    }

    /// <summary>Whether an endpoint that a peer names can be the peer's: never ourselves, nothing that is no unicast address, our own host only when the beacon is on it too.</summary>
    public bool IsWorthTrying(UdpEndpoint endpoint) =>
        endpoint.Port != 0 && !endpoint.IsUnspecified && !endpoint.IsMulticast
        && (!endpoint.IsLoopback || Beacons.Mapping is { IsLoopback: true })
        && endpoint != Beacons.Mapping && endpoint != Beacons.Nat.EndpointV4 && endpoint != Beacons.Nat.EndpointV6
        && !OwnEndpoints.Contains(endpoint);

    /// <summary>A private address is tried when we have one in the same /24 (spec 04 section 7), or both sides stand behind the same public address.</summary>
    public bool MayShareNetwork(UdpEndpoint lan, EndpointsMessage message)
    {
        foreach (UdpEndpoint own in OwnEndpoints)
        {
            if (own.IsIPv4 && lan.IsIPv4 && own.IPv4 >> 8 == lan.IPv4 >> 8)
            {
                return true;
            }
        }

        foreach ((EndpointSource source, UdpEndpoint endpoint) in message.Endpoints)
        {
            if (source == EndpointSource.Mapped && Beacons.Mapping is { } mapping && mapping.Ip == endpoint.Ip)
            {
                return true;
            }
        }

        return false;
    }
}
