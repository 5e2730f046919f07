namespace Pilot.Engine.Streams;

/// <summary>
/// When received data are acknowledged: after two segments or a delay, at once where it matters, and toward a reference on a
/// fast path never before a floor has passed since their arrival (chapter 02 sections 6.5 and 17.3). The floor is kept by two
/// held acknowledgement numbers: the older one always matures, however fast data go on arriving.
/// </summary>
internal sealed class AckSchedule
{
    private long _next;
    private long _heldOffset, _laterOffset;
    private Instant _heldReady = Instant.Never, _laterReady = Instant.Never;
    private Instant _delayed = Instant.Never;
    private int _segments;
    private int _quick = StreamConstants.QuickAckSegments;
    private bool _now;

    /// <summary>Last acknowledgement number sent, as stream offset.</summary>
    public long Sent { get; private set; }

    /// <summary>Acknowledgement number that may be sent now, as stream offset.</summary>
    public long Allowed { get; private set; }

    /// <summary>A held number will mature later.</summary>
    public bool IsHolding => _heldReady != Instant.Never;

    /// <summary>An acknowledgement is owed, now or later.</summary>
    public bool IsOwed => _now || _delayed != Instant.Never;

    /// <summary>In-order data arrived, up to <paramref name="next"/>.</summary>
    public void OnData(Instant now, long next, TimeSpan floor, TimeSpan delay)
    {
        Settle(now);
        _next = next;
        if (floor <= TimeSpan.Zero)
        {
            Allowed = next;
            _heldReady = _laterReady = Instant.Never;
        }
        else if (!IsHolding)
        {
            _heldOffset = next;
            _heldReady = now + floor;
        }
        else
        {
            _laterOffset = next;
            _laterReady = now + floor;
        }
        _segments++;
        if (_quick > 0)
        {
            _quick--;
            _now = true;
        }
        else if (_segments >= StreamConstants.AckEverySegments)
        {
            _now = true;
        }
        else if (_delayed == Instant.Never)
        {
            _delayed = now + delay;
        }
    }

    /// <summary>An acknowledgement is to leave as soon as it may.</summary>
    public void RequestNow() => _now = true;

    /// <summary>What is held for longer than <paramref name="floor"/> from now on is held no longer than that: the window opened.</summary>
    public void ShortenHold(Instant now, TimeSpan floor)
    {
        if (IsHolding)
        {
            _heldReady = Instant.Min(_heldReady, now + floor);
            _laterReady = _laterReady == Instant.Never ? Instant.Never : Instant.Min(_laterReady, now + floor);
            _now = true;
        }
    }

    /// <summary>An acknowledgement is to leave now.</summary>
    public bool IsDue(Instant now)
    {
        Settle(now);
        return (_now || _delayed <= now) && (Allowed > Sent || !IsHolding);
    }

    /// <summary>When <see cref="IsDue"/> becomes true by itself; Never if it is true or nothing is owed.</summary>
    public Instant NextCheck(Instant now)
    {
        Settle(now);
        if (!IsOwed)
        {
            return Instant.Never;
        }
        Instant due = _now ? new Instant(long.MinValue) : _delayed;
        if (IsHolding && Allowed <= Sent)
        {
            due = Instant.Max(due, _heldReady);
        }
        return due <= now ? Instant.Never : due;
    }

    /// <summary>A packet with <see cref="Allowed"/> as its acknowledgement number left.</summary>
    public void OnSent()
    {
        Sent = Allowed;
        _segments = 0;
        _delayed = Instant.Never;
        _now = _next > Allowed; // what is still held is acknowledged when it matures
    }

    private void Settle(Instant now)
    {
        if (_heldReady <= now)
        {
            Allowed = _heldOffset;
            _heldOffset = _laterOffset;
            _heldReady = _laterReady;
            _laterReady = Instant.Never;
            if (_heldReady <= now)
            {
                Allowed = _heldOffset;
                _heldReady = Instant.Never;
            }
        }
    }
}
