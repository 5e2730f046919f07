namespace Pilot.Engine.Streams;

/// <summary>
/// CUBIC (RFC 9438) in bytes: HyStart++ in slow start, fast convergence, Reno-friendly region, proportional rate reduction.
/// The window does not grow while it is not used (RFC 7661).
/// </summary>
internal sealed class Cubic : ICongestionController
{
    private const double StandardBeta = 0.7; // RFC 9438 section 4.6
    private const double Scale = 0.4;  // RFC 9438 section 4.1, segments per cubic second

    private readonly double _beta;
    private readonly double _renoIncrease;
    private int _segment;
    private HyStart _hyStart;
    private RateReduction _reduction;
    private double _window, _threshold = double.MaxValue; // bytes
    private double _maximum;       // W_max
    private double _renoWindow;    // W_est
    private double _plateauAt;     // K, seconds after the epoch
    private Instant _epoch = Instant.Never;
    private long _smoothedRoundTrip;
    private Undo _undo;

    /// <summary>Begins with a window and a round trip found otherwise, in slow start up to a threshold.</summary>
    public Cubic(int segmentSize, long window, long threshold, long roundTrip, double beta)
        : this(segmentSize, beta)
    {
        _window = Window = window;
        _threshold = threshold;
        _smoothedRoundTrip = roundTrip;
    }

    public Cubic(int segmentSize, double beta = StandardBeta)
    {
        _beta = beta;
        _renoIncrease = 3 * (1 - beta) / (1 + beta); // RFC 9438 section 4.3
        _segment = segmentSize;
        _window = Window = InitialWindow;
        _hyStart.Reset();
    }

    /// <inheritdoc/>
    public long Window { get; private set; }

    /// <inheritdoc/>
    public long SlowStartThreshold => _threshold > int.MaxValue ? int.MaxValue : (long)_threshold;

    /// <inheritdoc/>
    public long PacingRate => 0;

    /// <summary>Smoothed round trip, 100 ns; zero before the first sample.</summary>
    public long SmoothedRoundTrip => _smoothedRoundTrip;

    private long InitialWindow => StreamConstants.InitialWindow(_segment);

    private double Least => 2.0 * _segment;

    /// <inheritdoc/>
    public void SetSegmentSize(int bytes)
    {
        bool untouched = Window == InitialWindow;
        _segment = bytes;
        if (untouched || Window < bytes)
        {
            _window = Window = Math.Max(Window, InitialWindow);
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
        if (sample.RoundTrip > TimeSpan.Zero)
        {
            _smoothedRoundTrip = _smoothedRoundTrip == 0
                ? sample.RoundTrip.Ticks : _smoothedRoundTrip + (sample.RoundTrip.Ticks - _smoothedRoundTrip) / 8;
        }
        if (_reduction.IsActive)
        {
            if (sample.InRecovery)
            {
                Window = _reduction.OnAcknowledged(sample, _segment);
                return;
            }
            _reduction.End();
        }
        if (sample.WindowLimited)
        {
            if (_window < _threshold)
            {
                GrowInSlowStart(sample);
            }
            else
            {
                GrowInAvoidance(sample);
            }
        }
        else
        {
            _epoch = Instant.Never; // time in which the window was not used is no time of growth
        }
        Window = (long)_window;
    }

    /// <inheritdoc/>
    public void OnLoss(Instant now, long flight)
    {
        Reduce();
        Window = (long)_window; // until the next acknowledgement tells how much has been delivered
        _reduction.Begin(flight, Window);
    }

    /// <inheritdoc/>
    public void OnTimeout(Instant now, long flight, bool repeated)
    {
        if (!repeated)
        {
            Reduce();
        }
        _reduction.End();
        _window = Window = _segment;
        _hyStart.Reset();
    }

    /// <inheritdoc/>
    public void OnSpurious(Instant now)
    {
        if (_undo.Window > 0)
        {
            _reduction.End();
            _window = Math.Max(_window, _undo.Window);
            Window = (long)_window;
            _threshold = _undo.Threshold;
            _maximum = _undo.Maximum;
            _epoch = Instant.Never;
            _undo = default;
        }
    }

    /// <inheritdoc/>
    public void Reset()
    {
        _threshold = double.MaxValue;
        _window = Window = Math.Min(Window, InitialWindow);
        _maximum = 0;
        _epoch = Instant.Never;
        _smoothedRoundTrip = 0;
        _undo = default;
        _reduction.End();
        _hyStart.Reset();
    }

    private void Reduce()
    {
        _undo = new Undo(_window, _threshold, _maximum);
        _maximum = _window < _maximum ? _window * (1 + _beta) / 2 : _window; // fast convergence, RFC 9438 section 4.7
        _window = _threshold = Math.Max(Least, _window * _beta);
        _epoch = Instant.Never;
    }

    private void GrowInSlowStart(in AckSample sample)
    {
        _window = Math.Min(_window + _hyStart.Growth(sample, out bool ends), _threshold);
        if (ends)
        {
            _threshold = _window;
        }
    }

    private void GrowInAvoidance(in AckSample sample)
    {
        if (_epoch == Instant.Never)
        {
            _epoch = sample.Now;
            _renoWindow = _window;
            _maximum = Math.Max(_maximum, _window);
            _plateauAt = Math.Cbrt((_maximum - _window) / _segment / Scale);
        }
        double t = (sample.Now - _epoch).TotalSeconds + (_smoothedRoundTrip / (double)TimeSpan.TicksPerSecond) - _plateauAt;
        double target = _maximum + (Scale * t * t * t * _segment);
        // once the Reno-friendly window is above the last maximum it grows as Reno does (section 4.3)
        _renoWindow += (_renoWindow < _maximum ? _renoIncrease : 1) * _segment * sample.Bytes / _window;
        target = Math.Min(Math.Max(target, _renoWindow), 1.5 * _window);
        if (target > _window)
        {
            _window += (target - _window) * sample.Bytes / _window;
        }
    }

    private readonly record struct Undo(double Window, double Threshold, double Maximum);
}
