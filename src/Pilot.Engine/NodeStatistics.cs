namespace Pilot.Engine;

/// <summary>Counters of a node (spec 01 section 13).</summary>
public sealed class NodeStatistics
{
    /// <summary>Tunnel frames written, key exchange included.</summary>
    public ulong PacketsSent { get; internal set; }

    /// <summary>Bytes of UDP payload written, relay header included.</summary>
    public ulong BytesSent { get; internal set; }

    /// <summary>Packets that were authenticated and decoded.</summary>
    public ulong PacketsReceived { get; internal set; }

    /// <summary>Bytes of those, tunnel framing included.</summary>
    public ulong BytesReceived { get; internal set; }

    /// <summary>Frames encrypted.</summary>
    public ulong Encrypted { get; internal set; }

    /// <summary>Frames whose tag did not verify.</summary>
    public ulong DecryptionFailures { get; internal set; }

    /// <summary>Frames with a counter that was seen before, or is too old.</summary>
    public ulong Replays { get; internal set; }

    /// <summary>Frames refused before any state was touched: unknown, malformed, plaintext, not from the beacon, not admitted.</summary>
    public ulong Refused { get; internal set; }

    /// <summary>Received datagrams for the application that were dropped because nobody took them.</summary>
    public ulong DatagramsDropped { get; internal set; }
}
