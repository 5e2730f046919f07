namespace Pilot.Engine.Paths;

/// <summary>
/// Finds the largest packet payload that a path carries, by padded control pings (spec 01 section 10.3, after
/// RFC 8899): a size counts only when it was answered, a larger one is tried again later, and a size that stopped
/// being answered while small pings are is given up at once.
/// </summary>
internal sealed class SegmentSizeSearch
{
    /// <summary>
    /// Sizes in bytes of packet payload: the base; what fits 1,500 bytes by family and path kind (1373 relayed IPv6,
    /// 1393 relayed IPv4, 1402 direct IPv4); a reference's segment; jumbo frames; loopback and the like.
    /// </summary>
    private static readonly int[] Sizes = [TunnelConstants.BasePayload, 1373, 1393, 1402, 4096, 8900, 16_000, 32_000, 60_000];

    private static readonly TimeSpan RaiseInterval = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan MinAttemptInterval = TimeSpan.FromMilliseconds(200);
    private const int MaxAttempts = 3;
    private int _index;
    private int _attempts;
    private bool _isVerifying;
    private bool _isWaiting;

    /// <summary>The size that the path is known to carry.</summary>
    public int Size => Sizes[_index];

    /// <summary>When to send the next probe, or to give one up; never while not started.</summary>
    public Instant Deadline { get; private set; } = Instant.Never;

    public bool IsStarted { get; private set; }

    public void Start(Instant now)
    {
        if (!IsStarted)
        {
            IsStarted = true;
            Deadline = now;
        }
    }

    /// <summary>Large segments do not arrive: is the size still carried? False if that is being asked already, or is out of question.</summary>
    public bool Verify(Instant now)
    {
        if (_index == 0 || _isVerifying)
        {
            return false;
        }

        _isVerifying = true;
        _attempts = 0;
        _isWaiting = false;
        Deadline = now;
        return true;
    }

    /// <summary>The size to probe now, or 0. <paramref name="changed"/> is set when the known size fell.</summary>
    /// <param name="now">The time.</param>
    /// <param name="limit">The largest size that makes sense with this peer.</param>
    /// <param name="rtt">The path's round trip.</param>
    /// <param name="changed">The size shrank.</param>
    public int TakeProbe(Instant now, int limit, TimeSpan rtt, out bool changed)
    {
        changed = false;
        if (now < Deadline)
        {
            return 0;
        }

        if (_isWaiting && _attempts >= MaxAttempts)
        {
            _isWaiting = false;
            _attempts = 0;
            if (!_isVerifying)
            {
                Deadline = now + RaiseInterval;
                return 0;
            }

            _isVerifying = false; // the path is narrower than it was: what it carries now is searched from the base
            _index = 0;
            changed = true;
        }

        int target = _isVerifying ? _index : _index + 1;
        if (target >= Sizes.Length || Sizes[target] > limit)
        {
            _isWaiting = false;
            Deadline = now + RaiseInterval;
            return 0;
        }

        _isWaiting = true;
        _attempts++;
        TimeSpan interval = rtt * 3 > MinAttemptInterval ? rtt * 3 : MinAttemptInterval;
        Deadline = now + interval;
        return Sizes[target];
    }

    /// <summary>A probe of this size was answered; true if the known size grew.</summary>
    public bool OnAnswered(Instant now, int size)
    {
        int index = Array.IndexOf(Sizes, size);
        if (index < 0 || index < _index)
        {
            return false;
        }

        bool grew = index > _index;
        _index = index;
        _isVerifying = false;
        _isWaiting = false;
        _attempts = 0;
        Deadline = now;
        return grew;
    }
}
