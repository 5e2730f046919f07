namespace Pilot.Protocol;

/// <summary>Serial arithmetic on 32-bit sequence numbers (spec 02 section 5.1; RFC 1982).</summary>
public static class SequenceNumber
{
    /// <summary>True iff <paramref name="a"/> is after <paramref name="b"/>: (a - b) mod 2^32 as a signed number is above 0. At a distance of exactly 2^31 neither is after the other.</summary>
    public static bool IsAfter(uint a, uint b) => (int)(a - b) > 0;

    /// <summary>True iff a = b or a is after b.</summary>
    public static bool IsAtOrAfter(uint a, uint b) => a == b || IsAfter(a, b);

    /// <summary>True iff a is before b.</summary>
    public static bool IsBefore(uint a, uint b) => IsAfter(b, a);

    /// <summary>True iff a = b or a is before b.</summary>
    public static bool IsAtOrBefore(uint a, uint b) => a == b || IsAfter(b, a);

    /// <summary>Signed distance: how many bytes after <paramref name="from"/> <paramref name="to"/> stands.</summary>
    public static int Distance(uint from, uint to) => (int)(to - from);

    /// <summary>The later of two numbers.</summary>
    public static uint Max(uint a, uint b) => IsAfter(a, b) ? a : b;

    /// <summary>The earlier of two numbers.</summary>
    public static uint Min(uint a, uint b) => IsAfter(a, b) ? b : a;
}
