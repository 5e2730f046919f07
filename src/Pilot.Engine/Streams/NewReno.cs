namespace Pilot.Engine.Streams;

/// <summary>
/// Slow start, congestion avoidance and halving (RFC 5681), counted in bytes; the window does not grow during recovery
/// (RFC 6582 with the pipe of RFC 6675, kept by <see cref="SentSegments"/>), nor while it is not used (RFC 7661).
/// </summary>
internal sealed class NewReno : ICongestionController
{
    // Growth per window in congestion avoidance, and half the least threshold. As large as the reference's segment, whatever ours
    // is: with 1152-byte steps we would be slower than the reference on the same lossy path.
    private const int LeastStep = StreamConstants.ReferenceSegmentSize;

    private int _segment;
    private long _avoided; // acknowledged bytes not yet turned into growth

    public NewReno(int segmentSize)
    {
        _segment = segmentSize;
        Window = InitialWindow;
    }

    /// <inheritdoc/>
    public long Window { get; private set; }

    /// <inheritdoc/>
    public long SlowStartThreshold { get; private set; } = int.MaxValue;

    /// <inheritdoc/>
    public long PacingRate => 0;

    private long Step => Math.Max(_segment, LeastStep);

    private long InitialWindow => Math.Min(10L * _segment, Math.Max(2L * _segment, 14600)); // RFC 6928 section 2

    /// <inheritdoc/>
    public void SetSegmentSize(int bytes)
    {
        bool untouched = Window == InitialWindow;
        _segment = bytes;
        if (untouched || Window < bytes)
        {
            Window = Math.Max(Window, InitialWindow);
        }
    }

    /// <inheritdoc/>
    public void OnSent(Instant now, int bytes, long inFlight)
    {
    }

    /// <inheritdoc/>
    public void OnAcknowledged(in AckSample sample)
    {
        if (sample.InRecovery || !sample.WindowLimited)
        {
            return;
        }
        if (Window < SlowStartThreshold)
        {
            long growth = Math.Min(sample.Bytes, SlowStartThreshold - Window);
            Window += growth;
            return;
        }
        _avoided += sample.Bytes;
        if (_avoided >= Window)
        {
            _avoided -= Window;
            Window += Step;
        }
    }

    /// <inheritdoc/>
    public void OnLoss(Instant now, long inFlight)
    {
        SlowStartThreshold = Math.Max(Window / 2, 2 * Step);
        Window = SlowStartThreshold;
        _avoided = 0;
    }

    /// <inheritdoc/>
    public void OnTimeout(Instant now, long inFlight, bool repeated)
    {
        if (!repeated)
        {
            SlowStartThreshold = Math.Max(Window / 2, 2 * Step);
        }
        Window = _segment;
        _avoided = 0;
    }

    /// <inheritdoc/>
    public void Reset()
    {
        SlowStartThreshold = int.MaxValue;
        Window = Math.Min(Window, InitialWindow);
        _avoided = 0;
    }
}
