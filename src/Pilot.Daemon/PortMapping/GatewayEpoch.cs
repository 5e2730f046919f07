using Pilot.Engine;

namespace Pilot.Daemon.PortMapping;

/// <summary>
/// Notices from the seconds counter in every answer that the gateway lost its tables: it was restarted, or is another one
/// (RFC 6886 section 3.6, RFC 6887 section 8.5).
/// </summary>
internal sealed class GatewayEpoch
{
    private Instant _seenAt;
    private uint _seen;
    private bool _hasSeen;

    /// <summary>Takes the counter of an answer; true if it does not continue the one before.</summary>
    public bool IsBroken(Instant now, uint epoch)
    {
        var broken = _hasSeen && !Continues((now - _seenAt).TotalSeconds, (double)epoch - _seen);
        (_seenAt, _seen, _hasSeen) = (now, epoch, true);
        return broken;
    }

    /// <summary>The rule of RFC 6887 section 8.5: one second back is reordering; otherwise both clocks agree within 1/16 and 2 s.</summary>
    private static bool Continues(double ours, double theirs) =>
        theirs >= -1 && ours + 2 >= theirs - theirs / 16 && theirs + 2 >= ours - ours / 16;
}
