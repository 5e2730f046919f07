namespace Pilot.Engine.Streams;

/// <summary>
/// A controller of the BBR family (draft-cardwell-iccrg-bbr-congestion-control): it models the path by the highest delivery rate
/// of the last one to two probing cycles and by the lowest round trip of the last ten seconds, paces at the one and keeps no more
/// in flight than a multiple of their product. Single losses do not slow it; a round in which much is lost does.
/// </summary>
/// <remarks>
/// Own choices beside the draft: the minimum round trip counts as confirmed by a sample close to it, so that a flow that keeps the
/// queue empty by itself never has to pause for it; every second probe drains a little below the product, so that a minimum which
/// was measured in a queue corrects itself; losses bound the model only when they are more than random loss would explain; beside
/// loss-based flows the window is CUBIC's (Bbr.Competition.cs).
/// </remarks>
internal sealed partial class Bbr : ICongestionController
{
    // Gains in units of 1/256.
    private const int Unit = 256;
    private const int StartupPacingGain = 709;   // 2.77 = 4 ln 2: doubles the rate per round
    private const int StartupWindowGain = 512;
    private const int DrainGain = 90;            // 0.35
    private const int DownGain = 192;            // 0.75
    private const int CruiseWindowGain = 448;    // 1.75
    private const int PacingMargin = 253;        // 0.99: keeps the queue from standing

    private const int GrowthPercent = 125;       // startup goes on while the rate grows by this much per round
    private const int FlatRounds = 3;            // rounds without growth that end it
    private const int StartupLossPercent = 20;   // a round with more loss ends it as well
    private const int ExcessLossPercent = 30;    // a round with more loss bounds the model
    private const int ExcessLossSegments = 8;
    private const int StartupLossSegments = 16;  // losses in a small flight may be chance: fewer end startup only when the rate does not grow any more
    private const int DeepDrainGain = 210;       // 0.82: below the product, so that a minimum measured in a queue betrays itself
    private const int DeepDrainCycles = 2;       // in every second cycle
    private const int CruiseRounds = 5;          // minimum round trips between two probes, and up to two more by chance
    private const int MinWindowSegments = 4;
    private const int AgreeingProbes = 2;        // further probes of the round trip that confirm a longer minimum
    private const int AggregationRounds = 5;     // half the lifetime of the aggregation estimate

    private static readonly long MinimumLifetime = 10 * TimeSpan.TicksPerSecond;
    private static readonly long CompetingProbeInterval = 30 * TimeSpan.TicksPerSecond;
    private static readonly long ProbeRttLength = 200 * TimeSpan.TicksPerMillisecond;
    private static readonly long MaxAggregation = 100 * TimeSpan.TicksPerMillisecond;

    private enum Phase
    {
        Startup, Drain, Up, Down, Cruise, ProbeRtt,
    }

    private Phase _phase;
    private int _segment;
    private uint _random;
    private RoundCounter _rounds;

    // the model
    private long _rateNow, _rateBefore;         // highest delivery rate of this cycle and of the one before, bytes per second
    private long _minimum = long.MaxValue;      // round trip, 100 ns
    private Instant _probedAt;                  // last time at which the minimum was confirmed or measured
    private QueueWatch _queue;
    private long _aggregationNow, _aggregationBefore; // bytes delivered ahead of the rate
    private long _aggregationRound;
    private Instant _aggregationSince;
    private long _aggregationBytes;

    // startup
    private bool _isFull;
    private long _fullRate;
    private int _flatRounds;

    // the current round
    private long _roundLost, _roundDelivered, _roundRate;
    private long _roundMinimum = long.MaxValue; // round trip
    private bool _lastRoundExceeded;

    // phases
    private Instant _phaseSince;
    private int _cycle;
    private long _cruiseLength;
    private Instant _probeRttEnd = Instant.Never;
    private long _probeRttMinimum, _lastProbe;
    private int _agreeingProbes;
    private bool _probeRttRoundDone;
    private bool _restartsFromIdle;
    private long _keptWindow;                   // before a probe of the round trip or a timeout
    private bool _afterTimeout;

    /// <param name="segmentSize">Largest segment payload, bytes.</param>
    /// <param name="seed">Spreads the probes of different connections.</param>
    public Bbr(int segmentSize, uint seed)
    {
        _segment = segmentSize;
        _random = seed | 1;
        Window = StreamConstants.InitialWindow(segmentSize);
    }

    /// <inheritdoc/>
    public long Window { get; private set; }

    /// <inheritdoc/>
    public long SlowStartThreshold => _isFull ? Product(Unit) : int.MaxValue;

    /// <inheritdoc/>
    public long PacingRate { get; private set; }

    private long Rate => Math.Max(_rateNow, _rateBefore);

    private long MinWindow => (long)MinWindowSegments * _segment;

    /// <inheritdoc/>
    public void SetSegmentSize(int bytes)
    {
        bool untouched = Window == StreamConstants.InitialWindow(_segment);
        _segment = bytes;
        if (untouched || Window < MinWindow)
        {
            Window = Math.Max(Window, StreamConstants.InitialWindow(bytes));
        }
    }

    /// <inheritdoc/>
    public void OnSent(Instant now, int bytes, long inFlight)
    {
        _competitor?.OnSent(now, bytes, inFlight);
        if (inFlight <= bytes)
        {
            _restartsFromIdle = true;
            _aggregationBytes = 0;
            _aggregationSince = now;
        }
    }

    /// <inheritdoc/>
    public void OnAcknowledged(in AckSample sample)
    {
        bool isRound = _rounds.Advance(sample.Rate);
        _roundLost += sample.Lost;
        _roundDelivered += sample.Bytes;
        UpdateRate(sample);
        if (isRound)
        {
            OnRound(sample);
        }
        UpdateAggregation(sample);
        UpdateMinimum(sample);
        UpdatePhase(sample, isRound);
        UpdatePacing(sample.Rate.IsAppLimited);
        UpdateWindow(sample, isRound);
        Compete(sample);
        _restartsFromIdle = false;
    }

    /// <inheritdoc/>
    public void OnLoss(Instant now, long flight)
    {
        OnLossWhileQueued(now, flight); // others are counted per round
    }

    /// <inheritdoc/>
    public void OnTimeout(Instant now, long flight, bool repeated)
    {
        if (!_afterTimeout)
        {
            _keptWindow = Math.Max(_keptWindow, Window);
            _afterTimeout = true;
        }
        Window = MinWindow;
    }

    /// <inheritdoc/>
    public void OnSpurious(Instant now)
    {
        if (_afterTimeout)
        {
            RestoreWindow();
        }
    }

    /// <inheritdoc/>
    public void Reset()
    {
        _phase = Phase.Startup;
        _rounds = default;
        _rateNow = _rateBefore = 0;
        _minimum = long.MaxValue;
        _aggregationNow = _aggregationBefore = _aggregationBytes = 0;
        _queue = default;
        _competitor = null;
        _isFull = false;
        _fullRate = 0;
        _flatRounds = 0;
        _yield = Unit;
        _roundLost = _roundDelivered = _roundRate = 0;
        _afterTimeout = false;
        _keptWindow = 0;
        PacingRate = 0;
        Window = Math.Min(Window, StreamConstants.InitialWindow(_segment));
    }

    /// <summary>The model in one line, for diagnosis.</summary>
    public override string ToString() =>
        $"{_phase}{(_competitor is null ? "" : " beside others")} {Rate} B/s, {_minimum / 10} us, paced {PacingRate} B/s";

    private void UpdateRate(in AckSample sample)
    {
        long rate = sample.Rate.BytesPerSecond;
        _roundRate = Math.Max(_roundRate, rate);
        if (rate > 0 && (!sample.Rate.IsAppLimited || rate >= Rate))
        {
            _rateNow = Math.Max(_rateNow, rate);
        }
    }

    private void OnRound(in AckSample sample)
    {
        long total = _roundLost + _roundDelivered;
        bool isMuch = _roundLost >= (long)ExcessLossSegments * _segment;
        if (!_isFull)
        {
            if (!sample.Rate.IsAppLimited)
            {
                if (Rate * 100 >= _fullRate * GrowthPercent)
                {
                    _fullRate = Rate;
                    _flatRounds = 0;
                }
                else
                {
                    _flatRounds++;
                }
            }
            bool overruns = isMuch && _roundLost * 100 > total * StartupLossPercent
                && (_flatRounds > 0 || _roundLost >= (long)StartupLossSegments * _segment);
            _isFull = _flatRounds >= FlatRounds || overruns;
        }
        bool exceeds = _isFull && isMuch && _roundLost * 100 > total * ExcessLossPercent;
        if (exceeds && _lastRoundExceeded)
        {
            // the path has become narrower than the model: believe what it delivers now, or nearly so
            _rateNow = Math.Max(_roundRate, Rate * 7 / 10);
            _rateBefore = 0;
        }
        if (_roundMinimum != long.MaxValue)
        {
            _queue.AddRound(sample.Now, _roundMinimum);
            Yield(sample.Now);
            _roundMinimum = long.MaxValue;
        }
        _lastRoundExceeded = exceeds; // one such round may be another flow's probe
        _roundLost = _roundDelivered = _roundRate = 0;
    }

    // Bytes that arrive ahead of the rate: acknowledgements in lumps need a larger window to keep the rate (draft section 4.5.9).
    private void UpdateAggregation(in AckSample sample)
    {
        long expected = Scale(Rate, (sample.Now - _aggregationSince).Ticks);
        if (_aggregationBytes <= expected)
        {
            _aggregationBytes = 0;
            _aggregationSince = sample.Now;
            expected = 0;
        }
        _aggregationBytes += sample.Bytes;
        if (_rounds.Count - _aggregationRound >= AggregationRounds)
        {
            _aggregationRound = _rounds.Count;
            _aggregationBefore = _aggregationNow;
            _aggregationNow = 0;
        }
        long extra = Math.Min(_aggregationBytes - expected, Window);
        _aggregationNow = Math.Max(_aggregationNow, extra);
    }

    private void UpdateMinimum(in AckSample sample)
    {
        long ticks = sample.RoundTrip.Ticks;
        if (ticks <= 0)
        {
            return;
        }
        bool isExpired = _minimum != long.MaxValue && (sample.Now - _probedAt).Ticks > (_competitor is null ? MinimumLifetime : CompetingProbeInterval);
        _minimum = isExpired && _restartsFromIdle ? ticks : Math.Min(_minimum, ticks);
        _roundMinimum = Math.Min(_roundMinimum, ticks);
        _queue.Add(sample.Now, ticks, _minimum);
        if (_queue.EmptyAt == sample.Now || (isExpired && _restartsFromIdle))
        {
            _probedAt = sample.Now;
        }
        else if (isExpired && _phase != Phase.ProbeRtt && _isFull)
        {
            _phase = Phase.ProbeRtt;
            _keptWindow = Math.Max(_keptWindow, Window);
            _probeRttEnd = Instant.Never;
            _probeRttMinimum = long.MaxValue;
        }
        if (_phase == Phase.ProbeRtt)
        {
            _probeRttMinimum = Math.Min(_probeRttMinimum, ticks);
        }
    }

    private void UpdatePhase(in AckSample sample, bool isRound)
    {
        Instant now = sample.Now;
        switch (_phase)
        {
            case Phase.Startup when _isFull:
                Enter(Phase.Drain, now);
                break;
            case Phase.Drain when sample.InFlight <= Product(Unit):
                EnterCruise(now);
                break;
            case Phase.Up when HasLasted(now, _minimum) && (sample.Lost > 0 || sample.InFlight >= Product(ProbeGain)):
                Enter(Phase.Down, now);
                break;
            case Phase.Down when sample.InFlight <= Product(_cycle % DeepDrainCycles == 0 ? DeepDrainGain : Unit) || HasLasted(now, 3 * _minimum):
                EnterCruise(now);
                break;
            case Phase.Cruise when HasLasted(now, _cruiseLength) || (HasLasted(now, _minimum) && HasFoundMore):
                _probesInRow = HasFoundMore ? _probesInRow + 1 : 0;
                if (_rateNow > 0)
                {
                    _rateBefore = _yield < Unit ? Rate * _yield >> 8 : _rateNow;
                    _rateNow = 0;
                }
                _yield = Unit;
                _cycle++;
                Enter(Phase.Up, now);
                break;
            case Phase.ProbeRtt:
                ProbeRtt(sample, isRound);
                break;
            default:
                break;
        }
    }

    // Once the flight is small, it stays so for 200 ms and at least a round.
    private void ProbeRtt(in AckSample sample, bool isRound)
    {
        if (_probeRttEnd == Instant.Never)
        {
            if (sample.InFlight <= MinWindow)
            {
                _probeRttEnd = sample.Now + new TimeSpan(ProbeRttLength);
                _probeRttRoundDone = false;
                _rounds.BeginAt(sample.Rate.Delivered);
            }
            return;
        }
        _probeRttRoundDone |= isRound;
        if (_probeRttRoundDone && sample.Now >= _probeRttEnd)
        {
            TakeProbedMinimum();
            _probedAt = sample.Now;
            RestoreWindow();
            EnterCruise(sample.Now);
        }
    }

    // Other flows' queues vary; several probes with the same result mean that the path itself is longer now.
    private void TakeProbedMinimum()
    {
        if (_probeRttMinimum == long.MaxValue)
        {
            return;
        }
        bool agrees = Math.Abs(_probeRttMinimum - _lastProbe) <= _lastProbe >> 4;
        _agreeingProbes = agrees ? _agreeingProbes + 1 : 0;
        _lastProbe = _probeRttMinimum;
        if (_agreeingProbes >= AgreeingProbes)
        {
            _agreeingProbes = 0;
            _minimum = _probeRttMinimum;
        }
    }

    private void EnterCruise(Instant now)
    {
        _random ^= _random << 13;
        _random ^= _random >> 17;
        _random ^= _random << 5;
        // the end of startup is followed by a probe at once
        _cruiseLength = _phase == Phase.Drain ? _minimum : (_minimum * CruiseRounds) + (long)((ulong)(2 * _minimum) * (_random >> 8) >> 24);
        Enter(Phase.Cruise, now);
    }

    private void Enter(Phase phase, Instant now)
    {
        _phase = phase;
        _phaseSince = now;
    }

    private bool HasLasted(Instant now, long ticks) => (now - _phaseSince).Ticks > ticks;

    private void UpdatePacing(bool isAppLimited)
    {
        long rate = Rate;
        if (rate == 0)
        {
            return;
        }
        int gain = _phase switch
        {
            Phase.Startup => StartupPacingGain,
            Phase.Drain => DrainGain,
            Phase.Up => ProbeGain,
            Phase.Down => DownGain,
            Phase.Cruise => _yield,
            _ => Unit,
        };
        long paced = ((rate * gain) >> 8) * PacingMargin >> 8;
        if (_phase == Phase.Up)
        {
            paced += Math.Min(rate, ProbeSegments * _segment * TimeSpan.TicksPerSecond / Math.Max(1, _minimum));
        }
        if (!_isFull)
        {
            paced = Math.Max(paced, PacingRate);
            if (isAppLimited)
            {
                // the little that an application says is no measure of the path: at least the first window per round trip (draft section 5.6.2)
                long first = StreamConstants.InitialWindow(_segment) * TimeSpan.TicksPerSecond / Math.Clamp(_minimum, 1, TimeSpan.TicksPerSecond);
                paced = Math.Max(paced, (first * StartupPacingGain) >> 8);
            }
        }
        PacingRate = paced;
    }

    private void UpdateWindow(in AckSample sample, bool isRound)
    {
        if (_afterTimeout && isRound)
        {
            RestoreWindow(); // something sent after the timeout has arrived
        }
        if (Rate == 0 || _minimum == long.MaxValue)
        {
            Window += sample.Bytes;
            return;
        }
        long target = Product(_isFull ? CruiseWindowGain : StartupWindowGain) + (2 * sample.Burst);
        if (_isFull)
        {
            target += Math.Min(Math.Max(_aggregationNow, _aggregationBefore), Scale(Rate, MaxAggregation));
            Window = Math.Min(Window + sample.Bytes, target);
        }
        else if (Window < target)
        {
            Window += sample.Bytes;
        }
        Window = Math.Max(Window, MinWindow);
        if (_phase == Phase.ProbeRtt)
        {
            Window = Math.Min(Window, MinWindow);
        }
    }

    private void RestoreWindow()
    {
        Window = Math.Max(Window, _keptWindow);
        _keptWindow = 0;
        _afterTimeout = false;
    }

    // gain x rate x minimum round trip, bytes
    private long Product(int gain) => (Scale(Rate, _minimum) * gain) >> 8;

    private static long Scale(long bytesPerSecond, long ticks) =>
        (long)((double)bytesPerSecond * Math.Min(ticks, 60 * TimeSpan.TicksPerSecond) / TimeSpan.TicksPerSecond);
}
