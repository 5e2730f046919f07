using Pilot.Engine.Paths;
using Pilot.Engine.Tunnels;
using Pilot.Protocol;

namespace Pilot.Engine;

/// <summary>The node from inside, for the simulator's invariants. Read-only.</summary>
public sealed partial class Node
{
    /// <summary>The first table or queue that is over its cap, or null.</summary>
    internal string? FindCapViolation()
    {
        if (_context.Output.Count > TunnelConstants.MaxControlFrames)
        {
            return $"{_context.Output.Count} control frames wait";
        }

        if (_context.Events.Count > TunnelConstants.MaxEvents)
        {
            return $"{_context.Events.Count} events wait";
        }

        if (_directory.Count > TunnelConstants.MaxDirectoryEntries)
        {
            return $"{_directory.Count} directory entries";
        }

        if (_peers.Count > _options.MaxPeers)
        {
            return $"{_peers.Count} peers";
        }

        foreach (Peer peer in _peers.Values)
        {
            if (peer.PendingCount > TunnelConstants.MaxPendingPackets)
            {
                return $"{peer.PendingCount} packets wait for node {peer.NodeId}";
            }

            if (peer.Paths.All.Count > TunnelConstants.MaxPaths)
            {
                return $"{peer.Paths.All.Count} paths to node {peer.NodeId}";
            }

            // Candidates, the current one, and replaced ones that still open frames for their last seconds.
            if (peer.SessionCount > (2 * TunnelConstants.MaxCandidateSessions) + TunnelConstants.MaxOwnKeys)
            {
                return $"{peer.SessionCount} sessions with node {peer.NodeId}";
            }
        }

        return null;
    }

    /// <summary>The stream buffers.</summary>
    internal Streams.ChunkPool Chunks => _chunks;

    /// <summary>What must not change on unauthenticated input: the keys and paths in use with every peer.</summary>
    internal IReadOnlyList<PeerInspection> InspectPeers()
    {
        var result = new List<PeerInspection>();
        foreach (Peer peer in _peers.Values.OrderBy(peer => peer.NodeId))
        {
            result.Add(new PeerInspection(
                peer.NodeId,
                peer.Current is { } session ? Convert.ToHexStringLower(session.PeerKey) : "",
                peer.IsConfirmed,
                peer.Paths.Best?.Kind,
                peer.Paths.Best?.Endpoint));
        }

        return result;
    }
}

/// <summary>The part of a peer's state that only the peer itself may change.</summary>
internal readonly record struct PeerInspection(uint NodeId, string PeerKey, bool IsConfirmed, PathKind? Path, UdpEndpoint? Endpoint);
