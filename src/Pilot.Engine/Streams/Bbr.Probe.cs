namespace Pilot.Engine.Streams;

// Probing for more: how far.
internal sealed partial class Bbr
{
    private const int UpGain = 320;              // 1.25
    private const int LeapGain = 512;            // 2
    private const int FoundPercent = 121;        // a probe that raises the rate by this much has not reached the limit
    private const int ProbesBeforeLeap = 2;      // so many in a row
    private const int ProbeSegments = 12;        // a probe adds this many per round trip to its gain, which lets small flows catch up

    private int _probesInRow;                    // that found more

    // the last probe did not reach the limit of the path: the next one follows at once, and the third in a row goes further
    private bool HasFoundMore => _rateBefore > 0 && _rateNow * 100 > _rateBefore * FoundPercent;

    private int ProbeGain => _probesInRow >= ProbesBeforeLeap ? LeapGain : UpGain;
}
