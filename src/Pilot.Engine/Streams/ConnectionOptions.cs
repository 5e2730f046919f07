namespace Pilot.Engine.Streams;

/// <summary>Tunable numbers of a connection. One immutable set is shared by all connections of a node.</summary>
public sealed class ConnectionOptions
{
    /// <summary>The defaults.</summary>
    public static ConnectionOptions Default { get; } = new();

    /// <summary>Bytes an application may have written and unacknowledged, at most: four times the path's product of 1 Gb/s and 100 ms, and a quarter more.</summary>
    public int SendBufferLimit { get; init; } = 64 << 20;

    /// <summary>The same while the congestion window does not ask for more (chapter 02 section 17.3).</summary>
    public int SendBufferStart { get; init; } = 4 << 20;

    /// <summary>The same on a path with a round trip below <see cref="FastPathRtt"/>: what keeps both ends busy while the other one works (own choice).</summary>
    public int SendBufferNear { get; init; } = 512 << 10;

    /// <summary>Bytes received and unread, or out of order, at most. Toward a reference <see cref="ReceiveBufferStart"/> stays.</summary>
    public int ReceiveBufferLimit { get; init; } = 64 << 20;

    /// <summary>The same at the start; grows with what the application reads per round trip (chapter 02 section 17.3).</summary>
    public int ReceiveBufferStart { get; init; } = 8 << 20;

    /// <summary>The same toward one of ours on a path with a round trip below <see cref="FastPathRtt"/>, and before the round trip is known (own choice).</summary>
    public int ReceiveBufferNear { get; init; } = 512 << 10;

    /// <summary>Bytes above the receive limit for the single segments a reference sends into a closed window; it knows no zero window and resets when it is not acknowledged (chapter 02 sections 7.1, 9.3).</summary>
    public int ReceiveReserve { get; init; } = 1 << 20;

    /// <summary>Longest delay of an acknowledgement (chapter 02 section 17.3).</summary>
    public TimeSpan DelayedAck { get; init; } = TimeSpan.FromMilliseconds(25);

    /// <summary>Shortest delay of an acknowledgement toward a reference on a fast path (chapter 02 section 6.5).</summary>
    public TimeSpan ReferenceAckFloor { get; init; } = TimeSpan.FromMilliseconds(1);

    /// <summary>Round trip below which a path counts as fast for <see cref="ReferenceAckFloor"/> (chapter 02 section 6.5).</summary>
    public TimeSpan FastPathRtt { get; init; } = TimeSpan.FromMilliseconds(2);

    /// <summary>Delay of the ACK of the one segment that a reference sends into a nearly closed window (chapter 02 section 7.1).</summary>
    public TimeSpan ClosedWindowAckDelay { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>A hole from a reference is reported again after this silence (chapter 02 section 18 rule 16).</summary>
    public TimeSpan HoleReminder { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Longest delay a peer is expected to put on an acknowledgement (chapter 02 section 6.1: 40 ms).</summary>
    public TimeSpan PeerAckDelay { get; init; } = TimeSpan.FromMilliseconds(40);

    /// <summary>Retransmission timeout before the first round trip sample (RFC 6298).</summary>
    public TimeSpan InitialRto { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Lower limit of the retransmission timeout (as the reference, chapter 02 section 9.1).</summary>
    public TimeSpan MinRto { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>Upper limit of the retransmission timeout, back-off included. Own choice: a path that comes back is used again soon, and TIME_WAIT still answers several repeats.</summary>
    public TimeSpan MaxRto { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>The same limit while closing: the peer answers repeats only as long as its TIME_WAIT lasts (own choice).</summary>
    public TimeSpan MaxClosingRto { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Outstanding data without any progress for this long end the connection (chapter 02 section 9.3).</summary>
    public TimeSpan UserTimeout { get; init; } = TimeSpan.FromSeconds(45);

    /// <summary>First and last interval of probes of a closed window (chapter 02 section 7.1).</summary>
    public TimeSpan WindowProbeMin { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>Longest interval of probes of a closed window (chapter 02 section 7.1).</summary>
    public TimeSpan WindowProbeMax { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Times of the first SYNs after the dial (chapter 02 section 4.5).</summary>
    public IReadOnlyList<TimeSpan> DialSchedule { get; init; } =
        [TimeSpan.Zero, TimeSpan.FromMilliseconds(250), TimeSpan.FromMilliseconds(750), TimeSpan.FromMilliseconds(1750)];

    /// <summary>Interval of the SYNs behind <see cref="DialSchedule"/>. Section 4.5 doubles on; at 30 % loss both ways its six SYNs fail in 2 of 100 dials, these in 1 of 100,000.</summary>
    public TimeSpan DialInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Limit of a dial whose caller gives none (chapter 02 section 4.5).</summary>
    public TimeSpan DialTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>A closed connection whose peer takes nothing for this long gives up what was written (chapter 02 section 12.2: 5-30 s).</summary>
    public TimeSpan Linger { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The same while the peer says that it has no room: its reader pauses (own choice).</summary>
    public TimeSpan LingerForReader { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>FINs sent to a reference before its silence is taken for an answer (chapter 02 section 12.2: 3-5).</summary>
    public int ReferenceFinAttempts { get; init; } = 5;

    /// <summary>A FIN held toward a reference is sent after this long without received data (chapter 02 section 12.2).</summary>
    public TimeSpan HeldFin { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Shortest wait for reordered data behind the FIN of a reference (chapter 02 section 12.2).</summary>
    public TimeSpan TruncationWaitMin { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>Longest wait for reordered data behind the FIN of a reference (chapter 02 section 12.2).</summary>
    public TimeSpan TruncationWaitMax { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>TIME_WAIT (chapter 02 section 12.2).</summary>
    public TimeSpan TimeWait { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Time after the last packet sent until a keepalive (chapter 02 section 11).</summary>
    public TimeSpan KeepAlive { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Silence of the peer after which it is asked for a sign of life (chapter 02 section 11).</summary>
    public TimeSpan LivenessProbe { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Interval of further probes for a sign of life (own choice).</summary>
    public TimeSpan LivenessProbeInterval { get; init; } = TimeSpan.FromSeconds(12);

    /// <summary>Silence of the peer after which it is gone (chapter 02 section 11).</summary>
    public TimeSpan PeerGone { get; init; } = TimeSpan.FromSeconds(120);

    /// <summary>Time without data in either direction after which a connection is closed; zero for never (chapter 02 section 11).</summary>
    public TimeSpan IdleTimeout { get; init; } = TimeSpan.Zero;

    /// <summary>Largest payload this node takes in one segment, bytes; offered to peers of ours (docs/wire.md).</summary>
    public int MaxReceiveSegment { get; init; } = 65000;

    /// <summary>Congestion controller; the default is the one that holds the rate on every rung of the ladder (docs/streams.md).</summary>
    public CongestionControl CongestionControl { get; init; } = CongestionControl.Bbr;

    /// <summary>Send an option list. Off only where a reference is to be imitated (tests).</summary>
    public bool OfferExtensions { get; init; } = true;
}
