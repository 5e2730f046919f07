namespace Pilot.Engine.Streams;

/// <summary>
/// HyStart++ (RFC 9406): slow start slows down when round trips grow, and ends when they stay so for some rounds. The pacer
/// spreads segments, so the limit L of the increase per acknowledgement is infinite (section 4.2).
/// </summary>
internal struct HyStart
{
    private const long MinThreshold = 4 * TimeSpan.TicksPerMillisecond;   // RFC 9406 section 4.3
    private const long MaxThreshold = 16 * TimeSpan.TicksPerMillisecond;
    private const int MinSamples = 8;
    private const int GrowthDivisor = 4;
    private const int ConservativeRounds = 5;

    private RoundCounter _rounds;
    private long _lastMinimum, _currentMinimum, _baseline;
    private int _samples;
    private int _conservativeRounds; // 0: standard slow start

    /// <summary>Begins anew.</summary>
    public void Reset()
    {
        this = default;
        _lastMinimum = _currentMinimum = long.MaxValue;
    }

    /// <summary>Growth of the window by an acknowledgement in slow start. <paramref name="ends"/>: slow start is over.</summary>
    public long Growth(in AckSample sample, out bool ends)
    {
        ends = false;
        if (_rounds.Advance(sample.Rate))
        {
            _lastMinimum = _currentMinimum;
            _currentMinimum = long.MaxValue;
            _samples = 0;
            if (_conservativeRounds > 0 && ++_conservativeRounds > ConservativeRounds)
            {
                ends = true;
            }
        }
        if (sample.RoundTrip > TimeSpan.Zero)
        {
            _currentMinimum = Math.Min(_currentMinimum, sample.RoundTrip.Ticks);
            _samples++;
        }
        if (_samples >= MinSamples && _currentMinimum != long.MaxValue)
        {
            if (_conservativeRounds > 0)
            {
                if (_currentMinimum < _baseline)
                {
                    _conservativeRounds = 0; // it was only a fluctuation
                }
            }
            else if (_lastMinimum != long.MaxValue
                && _currentMinimum >= _lastMinimum + Math.Clamp(_lastMinimum / 8, MinThreshold, MaxThreshold))
            {
                _baseline = _currentMinimum;
                _conservativeRounds = 1;
            }
        }
        return _conservativeRounds > 0 ? sample.Bytes / GrowthDivisor : sample.Bytes;
    }
}
