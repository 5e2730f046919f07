using Pilot.Engine.Streams;

namespace Pilot.Engine;

/// <summary>What the host may set on a node. Every default is the protocol's or the limit that our nodes adopt.</summary>
public sealed class NodeOptions
{
    /// <summary>Public nodes answer every registered node; private ones (default) only those of predicate P (spec 05 section 12).</summary>
    public bool IsPublic { get; set; }

    /// <summary>Whether a trust pair that stands only at the registry opens the gates (spec 05 section 12, case c). Off by default.</summary>
    public bool AcceptRegistryTrust { get; set; }

    /// <summary>Connections on one local port, not counting TIME_WAIT (spec 02 section 4.2).</summary>
    public int MaxConnectionsPerPort { get; set; } = 1024;

    /// <summary>Connections in total, not counting TIME_WAIT (spec 02 section 4.2).</summary>
    public int MaxConnections { get; set; } = 4096;

    /// <summary>SYN packets per second from all sources together (spec 02 section 4.2).</summary>
    public int SynRatePerSecond { get; set; } = 100;

    /// <summary>SYN packets per second from one source node (spec 02 section 4.2).</summary>
    public int SynRatePerSource { get; set; } = 10;

    /// <summary>Peers kept; the idle ones without trust go first.</summary>
    public int MaxPeers { get; set; } = 16_384;

    /// <summary>
    /// Bytes of all stream buffers together. Each connection is guaranteed 64 KiB of them; with less left, no further one is
    /// opened or admitted. Buffers take less the fuller it gets.
    /// </summary>
    public long BufferLimit { get; set; } = ChunkPool.DefaultLimit;

    /// <summary>Connections in TIME_WAIT that are remembered; the oldest gives way. As many as there are ephemeral ports (own choice).</summary>
    public int MaxTimeWaits { get; init; } = 65_536 - TunnelConstants.FirstEphemeralPort;

    /// <summary>Where the memory of stream buffers comes from.</summary>
    public BufferMemory BufferMemory { get; set; } = BufferMemory.Managed;

    /// <summary>Options of every stream connection.</summary>
    public ConnectionOptions Streams { get; set; } = new();
}
