namespace Pilot.Engine.Trust;

/// <summary>
/// When to poll the registry for relayed handshakes (spec 05 section 9): at once after registration, every 2 s for 60 s
/// after a trust action, else every 15 s. Independent of the heartbeat.
/// </summary>
public sealed class PollSchedule
{
    private Instant _fastUntil;
    private Instant _last;
    private bool _isRegistered;
    private bool _isInFlight;
    private bool _isWanted;

    /// <summary>When the next poll is due; <see cref="Instant.Never"/> while one is in flight or the node is not registered.</summary>
    public Instant NextPoll
    {
        get
        {
            if (!_isRegistered || _isInFlight)
            {
                return Instant.Never;
            }

            if (_isWanted)
            {
                return _last;
            }

            Instant fast = _last + TrustLimits.FastPollInterval;
            return fast <= _fastUntil ? fast : _last + TrustLimits.PollInterval;
        }
    }

    /// <summary>The node is registered (again): poll at once.</summary>
    public void Registered(Instant now)
    {
        _isRegistered = true;
        _isWanted = true;
        _last = now;
    }

    /// <summary>The registry cannot be asked until <see cref="Registered"/>.</summary>
    public void Unregistered()
    {
        _isRegistered = false;
        _isInFlight = false;
    }

    /// <summary>A request was sent, or a trust command was used.</summary>
    public void TrustAction(Instant now)
    {
        Instant until = now + TrustLimits.FastPollPeriod;
        if (until > _fastUntil)
        {
            _fastUntil = until;
        }
    }

    /// <summary>Somebody looks at the lists: poll now, unless the last poll is younger than the fast interval.</summary>
    public void Look(Instant now)
    {
        if (now >= _last + TrustLimits.FastPollInterval)
        {
            _isWanted = true;
        }
    }

    /// <summary>A poll was sent.</summary>
    public void Sent()
    {
        _isInFlight = true;
        _isWanted = false;
    }

    /// <summary>The poll was answered or failed.</summary>
    public void Finished(Instant now)
    {
        _isInFlight = false;
        _last = now;
    }
}
