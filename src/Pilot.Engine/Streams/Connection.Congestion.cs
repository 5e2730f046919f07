namespace Pilot.Engine.Streams;

// What the congestion controller is told, and how fast segments leave (docs/streams.md).
public sealed partial class Connection
{
    private readonly ICongestionController _congestion;
    private DeliveryRate _rate;
    private Pacer _pacer;
    private long _lostTold;          // bytes of SentSegments.LostBytes that the controller knows of
    private long _limitedUpTo;       // the congestion window kept data back when this was the next offset to be sent

    private void TellCongestionControl(Instant now, long delivered, long inFlightBefore, bool limited, in RttSample roundTrip)
    {
        long lost = _sent.LostBytes - _lostTold;
        _lostTold += lost;
        _congestion.OnAcknowledged(new AckSample(
            now, delivered, inFlightBefore, limited, _recovery == Recovery.Fast,
            roundTrip.IsValid ? roundTrip.RoundTrip : TimeSpan.Zero)
        {
            InFlight = _sent.BytesInFlight,
            Lost = lost,
            Rate = _rate.Take(now, _rtt.Minimum),
            Burst = BurstBytes,
        });
    }

    /// <summary>The controller, for diagnosis.</summary>
    internal ICongestionController Congestion => _congestion;

    private bool CongestionAllows(int bytes) =>
        _sent.BytesInFlight == 0 || _sent.BytesInFlight + bytes <= _congestion.Window;

    private bool PacingAllows(Instant now, int bytes)
    {
        long rate = PacingRate;
        if (_pacer.CanSend(now, rate, BurstBytes))
        {
            return true;
        }
        _timers[TimerKind.Pacing] = _pacer.NextRelease(now, rate, bytes);
        return false;
    }

    private long PacingRate
    {
        get
        {
            if (_congestion.PacingRate > 0)
            {
                return _congestion.PacingRate;
            }
            // before the first sample as if the round trip were 10 ms; later twice the window per round trip while it doubles
            long ticks = _rtt.HasSample ? Math.Max(1, _rtt.Smoothed.Ticks) : 10 * TimeSpan.TicksPerMillisecond;
            long window = _congestion.Window;
            long scaled = window < _congestion.SlowStartThreshold ? 2 * window : window + window / 4;
            return (long)Math.Min(Pacer.MaxRate, (double)scaled * TimeSpan.TicksPerSecond / ticks);
        }
    }

    /// <summary>
    /// Bytes that may leave back to back. On a path over some distance the shallowest queue of the way has to hold them, so it is
    /// what a host's timer needs to keep the rate; next door, where the receiver's socket is the only queue, batches are cheaper.
    /// </summary>
    private long BurstBytes
    {
        get
        {
            int segment = EffectiveSegment;
            long rate = PacingRate;
            long burst = IsNear
                ? Math.Max((long)StreamConstants.ExtendedBurstSegments * segment, Math.Min(rate / 1000, 1 << 20))
                : !_rtt.HasSample ? StreamConstants.InitialWindow(segment)
                : Math.Min(rate / Pacer.BurstsPerSecond, 256 << 10) + 2 * segment;
            return PeerIsExtended ? burst : Math.Min(burst, (long)StreamConstants.ReferenceBurstSegments * segment);
        }
    }

    // All that was written has left, or the peer's window holds it back, and the congestion window would take more: the path
    // is not filled, and what is delivered now says nothing about its rate.
    private void NoteNothingToSend()
    {
        if (_sent.BytesInFlight < _congestion.Window && _sent.LostCount == 0)
        {
            _rate.MarkAppLimited(_sent.BytesInFlight);
        }
    }
}
