using Pilot.Protocol;

namespace Pilot.Engine.Streams;

/// <summary>Snapshot of a connection with the members of spec chapter 02 section 22.</summary>
public readonly record struct ConnectionStatus
{
    /// <summary>Local id.</summary>
    public uint Id { get; init; }
    /// <summary>Local port.</summary>
    public ushort LocalPort { get; init; }
    /// <summary>Remote address.</summary>
    public PilotAddress RemoteAddress { get; init; }
    /// <summary>Remote port.</summary>
    public ushort RemotePort { get; init; }
    /// <summary>State.</summary>
    public ConnectionState State { get; init; }
    /// <summary>Congestion window, bytes.</summary>
    public long CongestionWindow { get; init; }
    /// <summary>Slow start threshold, bytes; the largest int while unknown.</summary>
    public long SlowStartThreshold { get; init; }
    /// <summary>Sent and not yet acknowledged bytes.</summary>
    public long InFlight { get; init; }
    /// <summary>Smoothed round trip time; zero before the first sample.</summary>
    public TimeSpan SmoothedRtt { get; init; }
    /// <summary>Round trip time variation.</summary>
    public TimeSpan RttVariation { get; init; }
    /// <summary>Segments sent and not yet acknowledged.</summary>
    public int UnacknowledgedSegments { get; init; }
    /// <summary>Separate runs of bytes received out of order.</summary>
    public int OutOfOrderRuns { get; init; }
    /// <summary>The peer's receive window, bytes.</summary>
    public long PeerReceiveWindow { get; init; }
    /// <summary>Our receive window, bytes.</summary>
    public long ReceiveWindow { get; init; }
    /// <summary>Loss recovery is going on.</summary>
    public bool InRecovery { get; init; }
    /// <summary>Stream bytes sent for the first time.</summary>
    public long BytesSent { get; init; }
    /// <summary>Stream bytes received in order.</summary>
    public long BytesReceived { get; init; }
    /// <summary>Data segments sent, repetitions included.</summary>
    public long SegmentsSent { get; init; }
    /// <summary>Data segments received, duplicates included.</summary>
    public long SegmentsReceived { get; init; }
    /// <summary>Segments sent again for any reason.</summary>
    public long Retransmissions { get; init; }
    /// <summary>Segments sent again before a retransmission timeout.</summary>
    public long FastRetransmissions { get; init; }
    /// <summary>SACK blocks received.</summary>
    public long SackBlocksReceived { get; init; }
    /// <summary>SACK blocks sent (those that mark something).</summary>
    public long SackBlocksSent { get; init; }
    /// <summary>Acknowledgements that repeated the highest number while data were outstanding.</summary>
    public long DuplicateAcknowledgements { get; init; }
    /// <summary>The peer sent an option list: it is one of ours.</summary>
    public bool PeerIsExtended { get; init; }
    /// <summary>Bytes written by the application and not yet acknowledged.</summary>
    public long SendBuffered { get; init; }
    /// <summary>Bytes received in order and not yet read.</summary>
    public int ReceiveBuffered { get; init; }
    /// <summary>Largest payload of a new segment, bytes.</summary>
    public int MaxSegmentPayload { get; init; }
}
