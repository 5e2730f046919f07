namespace Pilot.Engine.Streams;

/// <summary>State of a connection, in the numeric order of spec chapter 02 section 3.1.</summary>
public enum ConnectionState
{
    /// <summary>No connection any more.</summary>
    Closed,
    /// <summary>Never entered by a connection object; kept for the numeric order.</summary>
    Listen,
    /// <summary>Dialling: SYN sent, no valid SYN-ACK yet.</summary>
    SynSent,
    /// <summary>Only while an incoming SYN is processed.</summary>
    SynReceived,
    /// <summary>Open in both directions.</summary>
    Established,
    /// <summary>Our FIN was sent, the peer's direction is still open.</summary>
    FinWait,
    /// <summary>The peer ended its direction, ours is still open.</summary>
    CloseWait,
    /// <summary>Both directions are over; the entry answers repeated FINs until it may be removed.</summary>
    TimeWait,
}

/// <summary>Texts of <see cref="ConnectionState"/> in status output.</summary>
public static class ConnectionStateText
{
    /// <summary>The name shown in status output (chapter 02 section 3.1), for instance <c>ESTABLISHED</c>.</summary>
    public static string ToStatusName(this ConnectionState state) => state switch
    {
        ConnectionState.Closed => "CLOSED",
        ConnectionState.Listen => "LISTEN",
        ConnectionState.SynSent => "SYN_SENT",
        ConnectionState.SynReceived => "SYN_RECV",
        ConnectionState.Established => "ESTABLISHED",
        ConnectionState.FinWait => "FIN_WAIT",
        ConnectionState.CloseWait => "CLOSE_WAIT",
        ConnectionState.TimeWait => "TIME_WAIT",
        _ => "unknown",
    };
}
