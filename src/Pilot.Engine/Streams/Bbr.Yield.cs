namespace Pilot.Engine.Streams;

// Equal flows among themselves. Each one's model is the highest rate that it ever got, so the models of several are more than the
// link, and who loses in a full queue is chance: with 25 packets one flow kept nine tenths for hundreds of round trips. That the
// queue stands while nobody should be filling it is what all of them see alike. All give way by the same part, and each probe adds
// the same amount: that makes shares equal (Chiu and Jain 1989).
internal sealed partial class Bbr
{
    private const int YieldFactor = 243;         // 0.95 per round
    private const int LeastYield = 218;          // 0.85 in a cycle, which the next probe finds again if it was there
    private const int YieldRoundTrips = 10;      // when the queue did not empty so long, others fill it and do not answer
    private const int StandingShift = 4;         // of the minimum round trip; less may be a stall between a host's clock and its socket
    private static readonly long StandingLeast = 300 * TimeSpan.TicksPerMicrosecond; // precision of hosts, thrice

    private int _yield = Unit;

    private bool QueueStands => _roundMinimum > _queue.Lowest + (_minimum >> StandingShift) + StandingLeast;

    // At the end of a round. What our own probe left behind is gone when cruising has lasted for two round trips.
    private void Yield(Instant now)
    {
        if (_competitor is not null || Exceeds(now, _queue.EmptyAt, YieldRoundTrips))
        {
            _yield = Unit;
        }
        else if (_phase == Phase.Cruise && HasLasted(now, 2 * _minimum) && QueueStands)
        {
            _yield = Math.Max(LeastYield, (_yield * YieldFactor) >> 8);
        }
    }
}
