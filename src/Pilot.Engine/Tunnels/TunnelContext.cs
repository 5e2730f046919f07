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
        path.LastSent = now;
        Statistics.PacketsSent++;
        if (path.Kind == PathKind.Relay)
        {
            Span<byte> relayed = Output.Reserve(path.Endpoint, BeaconRelay.HeaderSize + frame.Length);
            if (!relayed.IsEmpty)
            {
                BeaconRelay.WriteHeader(relayed, NodeId, peerId);
                frame.CopyTo(relayed[BeaconRelay.HeaderSize..]);
                Statistics.BytesSent += (ulong)relayed.Length;
            }
        }
        else
        {
            Output.Enqueue(path.Endpoint, frame);
            Statistics.BytesSent += (ulong)frame.Length;
        }
    }
}
