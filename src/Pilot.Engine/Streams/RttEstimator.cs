namespace Pilot.Engine.Streams;

/// <summary>Round trip estimation and retransmission timeout (RFC 6298), and the recent minimum.</summary>
internal sealed class RttEstimator
{
    private const long MinimumLifetime = 60 * TimeSpan.TicksPerSecond; // own choice: long enough to be met by an idle queue

    private readonly ConnectionOptions _options;
    private long _smoothed, _variation, _latest; // 100 ns
    private long _minimum = long.MaxValue, _olderMinimum = long.MaxValue;
    private Instant _minimumSince;

    public RttEstimator(ConnectionOptions options) => _options = options;

    /// <summary>A sample exists.</summary>
    public bool HasSample { get; private set; }

    /// <summary>Smoothed round trip; zero before the first sample.</summary>
    public TimeSpan Smoothed => new(_smoothed);

    /// <summary>Variation.</summary>
    public TimeSpan Variation => new(_variation);

    /// <summary>Last sample.</summary>
    public TimeSpan Latest => new(_latest);

    /// <summary>Smallest sample of the last one to two minutes; zero before the first.</summary>
    public TimeSpan Minimum => HasSample ? new TimeSpan(Math.Min(_minimum, _olderMinimum)) : TimeSpan.Zero;

    /// <summary>Retransmission timeout without back-off.</summary>
    public TimeSpan Rto
    {
        get
        {
            if (!HasSample)
            {
                return _options.InitialRto;
            }
            long rto = _smoothed + Math.Max(4 * _variation, 10 * TimeSpan.TicksPerMillisecond);
            return new TimeSpan(Math.Clamp(rto, _options.MinRto.Ticks, _options.MaxRto.Ticks));
        }
    }

    /// <summary>Takes the round trip of a segment that was sent once.</summary>
    public void Add(Instant now, TimeSpan sample)
    {
        long ticks = Math.Max(1, sample.Ticks);
        _latest = ticks;
        if (!HasSample)
        {
            HasSample = true;
            _smoothed = ticks;
            _variation = ticks / 2;
            _minimum = ticks;
            _minimumSince = now;
            return;
        }
        _variation += (Math.Abs(_smoothed - ticks) - _variation) / 4;
        _smoothed += (ticks - _smoothed) / 8;
        if ((now - _minimumSince).Ticks > MinimumLifetime)
        {
            _olderMinimum = _minimum;
            _minimum = ticks;
            _minimumSince = now;
        }
        _minimum = Math.Min(_minimum, ticks);
    }

    /// <summary>Forgets all samples: the path is another one.</summary>
    public void Reset()
    {
        HasSample = false;
        _smoothed = _variation = _latest = 0;
        _minimum = _olderMinimum = long.MaxValue;
    }
}
