namespace Pilot.Engine.Streams;

// Beside loss-based flows. A model of the path cannot tell what share of a deep buffer that others keep filled is fair: with the
// bound on the flight that it derives, it takes from a tenth to nine tenths, depending on depth and on who came first. So as long
// as others keep the queue, the window is CUBIC's; losses count when the queue is long, others are random.
internal sealed partial class Bbr
{
    private const int QueuedRoundTrips = 20;    // two probing cycles without an empty queue, in minimum round trips
    private const int ExcessRoundTrips = 10;    // with a queue longer than flows of this kind make
    private const int EmptyRoundTrips = 20;     // that long empty: nobody fills it
    private static readonly long QueuedAtLeast = 500 * TimeSpan.TicksPerMillisecond;

    private const int EntryGrowth = 2;           // the bound on the flight had squeezed it: it may double at once
    private const double CompetingBeta = 0.7;    // CUBIC's

    private Cubic? _competitor;
    private Instant _competingSince;

    private bool IsQueueStanding(Instant now) =>
        _isFull && _phase != Phase.ProbeRtt && Exceeds(now, _queue.EmptyAt, QueuedRoundTrips);

    private bool IsQueueExcessive(Instant now) =>
        _isFull && _phase != Phase.ProbeRtt && Exceeds(now, _queue.BoundedAt, ExcessRoundTrips);

    private bool Exceeds(Instant now, Instant since, int roundTrips) =>
        (now - since).Ticks > Math.Max(QueuedAtLeast, roundTrips * _minimum);

    private void OnLossWhileQueued(Instant now, long flight)
    {
        if (_phase == Phase.ProbeRtt || !_queue.IsLong(_minimum))
        {
            return;
        }
        if (_competitor is null && IsQueueStanding(now))
        {
            BeginCompeting(now, flight);
        }
        _competitor?.OnLoss(now, flight);
    }

    private void Compete(in AckSample sample)
    {
        if (_competitor is null)
        {
            if (!IsQueueExcessive(sample.Now))
            {
                return;
            }
            BeginCompeting(sample.Now, sample.InFlight);
        }
        // after a loss that all noticed the queue may be empty for a moment: only one that stays so is ours alone
        bool isEmpty = _queue.EmptyAt > _competingSince && (_phase == Phase.ProbeRtt || !_queue.IsDeep(_minimum) || Exceeds(sample.Now, _queue.FilledAt, EmptyRoundTrips));
        if (isEmpty)
        {
            _competitor = null;
            return;
        }
        if (_phase == Phase.ProbeRtt)
        {
            return;
        }
        _competitor!.OnAcknowledged(sample);
        Window = Math.Max(_competitor.Window, MinWindow);
        // no faster than the window: paced a quarter faster, and with 0.8 on loss, it took up to four fifths beside a kernel's CUBIC
        PacingRate = Window * TimeSpan.TicksPerSecond / Math.Max(1, _competitor.SmoothedRoundTrip);
    }

    private void BeginCompeting(Instant now, long flight)
    {
        long window = Math.Max(flight, MinWindow);
        _competitor = new Cubic(_segment, window, EntryGrowth * window, _queue.Latest, CompetingBeta);
        _competingSince = now;
    }
}
