namespace Pilot.Engine.Streams;

/// <summary>
/// Finds out by the timing of acknowledgements (as Eifel, RFC 3522, does by timestamps) that what was deemed lost had arrived:
/// a segment deemed lost is reported before it was repeated, or so soon after its repetition that the report must be about the
/// original. A recovery was needless when that holds for all its segments, a timeout when it holds for the segment that timed out.
/// </summary>
internal struct NeedlessRecovery
{
    private long _lostBefore;
    private long _arrived;
    private long _timedOut;
    private bool _isRunning, _isTimeout, _timedOutArrived;

    /// <summary>A recovery begins; <paramref name="lostBefore"/>: segments deemed lost before it.</summary>
    public void Begin(long lostBefore)
    {
        this = default;
        _isRunning = true;
        _lostBefore = lostBefore;
    }

    /// <summary>The segment at a stream offset timed out. A second time in a row is no delay any more.</summary>
    public void BeginTimeout(long offset)
    {
        bool isRepeated = _isRunning && _isTimeout && _timedOut == offset;
        this = default;
        _isRunning = !isRepeated;
        _isTimeout = true;
        _timedOut = offset;
    }

    /// <summary>A segment arrived although it was deemed lost, or by an earlier transmission than the last one.</summary>
    public void OnDelivered(in SegmentRecord segment)
    {
        _arrived++;
        _timedOutArrived |= segment.Start == _timedOut;
    }

    /// <summary>All that this recovery is about had arrived.</summary>
    public readonly bool IsProven(long lostNow) =>
        _isRunning && (_isTimeout ? _timedOutArrived : _arrived > 0 && _arrived >= lostNow - _lostBefore);

    /// <summary>The recovery is over, or not judged any more.</summary>
    public void End() => this = default;
}
