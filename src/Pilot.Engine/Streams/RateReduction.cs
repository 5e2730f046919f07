namespace Pilot.Engine.Streams;

/// <summary>
/// Proportional rate reduction (RFC 6937): during a recovery the flight falls to the new threshold in step with what is
/// delivered, instead of pausing first and bursting then; when more was lost than that, it grows again as in slow start.
/// </summary>
internal struct RateReduction
{
    private long _threshold, _flight, _delivered, _sent;

    /// <summary>A reduction is going on.</summary>
    public bool IsActive { get; private set; }

    /// <summary>Begins: from <paramref name="flight"/> outstanding bytes to <paramref name="threshold"/>.</summary>
    public void Begin(long flight, long threshold)
    {
        IsActive = true;
        _threshold = threshold;
        _flight = Math.Max(1, flight);
        _delivered = _sent = 0;
    }

    /// <summary>Ends.</summary>
    public void End() => IsActive = false;

    /// <summary>Bytes left.</summary>
    public void OnSent(int bytes) => _sent += bytes;

    /// <summary>The window after an acknowledgement.</summary>
    public long OnAcknowledged(in AckSample sample, int segment)
    {
        _delivered += sample.Bytes;
        long room;
        if (sample.InFlight > _threshold)
        {
            room = (long)Math.Ceiling((double)_delivered * _threshold / _flight) - _sent;
        }
        else
        {
            long limit = Math.Max(_delivered - _sent, sample.Bytes) + segment; // slow start reduction bound
            room = Math.Min(_threshold - sample.InFlight, limit);
        }
        return sample.InFlight + Math.Max(0, room);
    }
}
