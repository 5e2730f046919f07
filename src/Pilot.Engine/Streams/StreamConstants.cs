namespace Pilot.Engine.Streams;

/// <summary>Fixed numbers of the stream protocol and of its references. Tunable ones are in <see cref="ConnectionOptions"/>.</summary>
public static class StreamConstants
{
    /// <summary>Bytes that one place of a reference's window stands for (chapter 02 section 7.1).</summary>
    public const int ReferenceSegmentSize = 4096;

    /// <summary>Payload bytes of a segment on a path that has proven nothing (chapter 01 section 10.3).</summary>
    public const int InitialSegmentPayload = 1152;

    /// <summary>Largest segment payload toward a reference, bytes (chapter 00 section 10 rule 15).</summary>
    public const int MaxReferenceSegmentPayload = 4096;

    /// <summary>Places of a reference's out-of-order store, segments (chapter 02 section 13).</summary>
    public const int ReferenceReorderStore = 128;

    /// <summary>Segments without a loss after which more than <see cref="ReferenceReorderStore"/> are sent to a reference again: a loss then costs up to 384, so it must be rarer than that (own choice).</summary>
    public const int CarefulSegments = 1000;

    /// <summary>A reference's window at or below this is nearly full, segments (chapter 02 section 7.1).</summary>
    public const int NearlyFullWindow = 8;

    /// <summary>Segments that may leave back to back toward a reference (chapter 02 section 17.2).</summary>
    public const int ReferenceBurstSegments = 16;

    /// <summary>What a small segment counts for in a burst, bytes: a receiving socket spends more on a datagram than its payload (chapter 02 section 17.2: 256 small ones fill what 25 of 4 KiB do).</summary>
    public const int LeastPacedBytes = 400;

    /// <summary>Segments that may leave back to back toward one of ours, whose sockets hold 4 MiB (own choice).</summary>
    public const int ExtendedBurstSegments = 64;

    /// <summary>SACK blocks toward a reference (chapter 02 section 6.3).</summary>
    public const int ReferenceSackBlocks = 4;

    /// <summary>SACK blocks that we take and offer in typed acknowledgements (docs/wire.md).</summary>
    public const int ExtendedSackBlocks = 32;

    /// <summary>Of those, how many name the highest runs when not all fit (own choice).</summary>
    public const int HighestSackRuns = 12;

    /// <summary>Runs of out-of-order bytes kept per connection; a segment that would make one more is dropped (own choice).</summary>
    public const int MaxOutOfOrderRuns = 2048;

    /// <summary>Congestion window at the start, bytes (RFC 6928 section 2).</summary>
    internal static long InitialWindow(int segment) => Math.Min(10L * segment, Math.Max(2L * segment, 14600));

    /// <summary>Segments after which data are acknowledged at once (RFC 5681 section 4.2).</summary>
    public const int AckEverySegments = 2;

    /// <summary>First data segments of a connection that are acknowledged one by one, to open the sender's window quickly (own choice).</summary>
    public const int QuickAckSegments = 32;

    /// <summary>Segments above a hole that tell loss from reordering (RFC 5681, duplicate threshold).</summary>
    public const int DuplicateThreshold = 3;

    /// <summary>Pure ACKs behind the SACK that make a reference retransmit (chapter 02 section 9.4).</summary>
    public const int RecoveryDuplicates = 3;

    /// <summary>Quiet answers to empty ACKs, per second (chapter 02 section 7.3).</summary>
    public const int QuietAnswersPerSecond = 5;

    /// <summary>RST answers to stale SYN-ACKs within one dial (own choice).</summary>
    public const int MaxStaleAnswers = 8;
}
