namespace Pilot.Engine.Streams;

/// <summary>
/// Slow start, congestion avoidance and halving (RFC 5681), counted in bytes; the window does not grow during recovery
/// (RFC 6582 with the pipe of RFC 6675, kept by <see cref="SentSegments"/>; the reduction is that of RFC 6937), nor while it is
/// not used (RFC 7661).
/// </summary>
internal sealed class NewReno : ICongestionController
{
    // Growth per window in congestion avoidance, and half the least threshold. As large as the reference's segment, whatever ours
    // is: with 1152-byte steps we would be slower than the reference on the same lossy path.
    private const int LeastStep = StreamConstants.ReferenceSegmentSize;

    private int _segment;
    private long _avoided; // acknowledged bytes not yet turned into growth
    private long _undoWindow, _undoThreshold;
    private RateReduction _reduction;

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

    private long InitialWindow => StreamConstants.InitialWindow(_segment);

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
        if (_reduction.IsActive)
        {
            _reduction.OnSent(bytes);
        }
    }

    /// <inheritdoc/>
    public void OnAcknowledged(in AckSample sample)
    {
        if (_reduction.IsActive)
        {
            if (sample.InRecovery)
            {
                Window = _reduction.OnAcknowledged(sample, _segment);
                return;
            }
            _reduction.End();
            Window = SlowStartThreshold;
        }
        if (!sample.WindowLimited)
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
    public void OnLoss(Instant now, long flight)
    {
        Halve();
        Window = SlowStartThreshold;
        _reduction.Begin(flight, SlowStartThreshold);
    }

    /// <inheritdoc/>
    public void OnTimeout(Instant now, long flight, bool repeated)
    {
        if (!repeated)
        {
            Halve();
        }
        _reduction.End();
        Window = _segment;
    }

    /// <inheritdoc/>
    public void OnSpurious(Instant now)
    {
        if (_undoWindow > 0)
        {
            _reduction.End();
            Window = Math.Max(Window, _undoWindow);
            SlowStartThreshold = _undoThreshold;
            _undoWindow = 0;
        }
    }

    /// <inheritdoc/>
    public void Reset()
    {
        SlowStartThreshold = int.MaxValue;
        Window = Math.Min(Window, InitialWindow);
        _avoided = 0;
        _undoWindow = 0;
        _reduction.End();
    }

    private void Halve()
    {
        long window = _reduction.IsActive ? SlowStartThreshold : Window;
        _undoWindow = window;
        _undoThreshold = SlowStartThreshold;
        SlowStartThreshold = Math.Max(window / 2, 2 * Step);
        _avoided = 0;
    }
}
