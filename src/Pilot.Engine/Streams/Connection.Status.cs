namespace Pilot.Engine.Streams;

public sealed partial class Connection
{
    private long _bytesSent, _bytesReceived;
    private long _segmentsSent, _segmentsReceived;
    private long _retransmissions, _fastRetransmissions;
    private long _sackBlocksReceived, _sackBlocksSent;
    private long _duplicateAcks;

    /// <summary>Numbers for status output (chapter 02 section 22).</summary>
    public ConnectionStatus GetStatus() => new()
    {
        Id = Id,
        LocalPort = LocalPort,
        RemoteAddress = RemoteAddress,
        RemotePort = RemotePort,
        State = State,
        CongestionWindow = _congestion.Window,
        SlowStartThreshold = _congestion.SlowStartThreshold,
        InFlight = _sendNext - _send.Start,
        SmoothedRtt = _rtt.Smoothed,
        RttVariation = _rtt.Variation,
        UnacknowledgedSegments = _sent.Count,
        OutOfOrderRuns = _receive.RunCount,
        PeerReceiveWindow = HasByteWindow
            ? Math.Max(0, _peerEdge - _send.Start)
            : (long)_peerSegments * StreamConstants.ReferenceSegmentSize,
        ReceiveWindow = Math.Max(0, FreeReceive),
        InRecovery = _recovery != Recovery.None,
        BytesSent = _bytesSent,
        BytesReceived = _bytesReceived,
        SegmentsSent = _segmentsSent,
        SegmentsReceived = _segmentsReceived,
        Retransmissions = _retransmissions,
        FastRetransmissions = _fastRetransmissions,
        SackBlocksReceived = _sackBlocksReceived,
        SackBlocksSent = _sackBlocksSent,
        DuplicateAcknowledgements = _duplicateAcks,
        PeerIsExtended = PeerIsExtended,
        SendBuffered = UnacknowledgedBytes,
        ReceiveBuffered = _receive.Readable,
        MaxSegmentPayload = EffectiveSegment,
    };
}
