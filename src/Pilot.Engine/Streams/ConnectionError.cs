namespace Pilot.Engine.Streams;

/// <summary>Why a connection ended other than by a clean end in both directions.</summary>
public enum ConnectionError
{
    /// <summary>No error.</summary>
    None,
    /// <summary>The peer answered the dial with RST: no listener, or a limit of the peer.</summary>
    Refused,
    /// <summary>No answer to the dial, or no progress on outstanding data within the user timeout.</summary>
    Timeout,
    /// <summary>The peer sent RST on an open connection.</summary>
    Reset,
    /// <summary>The peer's FIN came before data that a reference will never send again (chapter 02 section 12.2).</summary>
    Truncated,
    /// <summary>No sign of life from the peer in spite of probes.</summary>
    PeerGone,
    /// <summary>Aborted by the local owner.</summary>
    Aborted,
    /// <summary>The peer closed while data written here were not yet delivered.</summary>
    BrokenPipe,
    /// <summary>The peer acknowledged what was never sent: it holds an older connection with the same ports.</summary>
    Stale,
    /// <summary>Idle longer than the configured limit (off by default).</summary>
    IdleTimeout,
    /// <summary>The registry does not know the node, or does not tell us (set by the node).</summary>
    NotFound,
    /// <summary>No way to the node is known (set by the node).</summary>
    Unreachable,
}
