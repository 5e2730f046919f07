namespace Pilot.Engine.Streams;

/// <summary>One acknowledgement that delivered something, as a congestion controller sees it. The losses it revealed are already marked.</summary>
/// <param name="Now">Arrival.</param>
/// <param name="Bytes">Newly delivered bytes, by cumulative or selective report.</param>
/// <param name="InFlightBefore">Bytes in flight before this acknowledgement.</param>
/// <param name="WindowLimited">The window, not the application or the peer, bounded the flight.</param>
/// <param name="InRecovery">Loss recovery is going on.</param>
/// <param name="RoundTrip">Round trip sample of this acknowledgement; zero if it gave none.</param>
internal readonly record struct AckSample(
    Instant Now, long Bytes, long InFlightBefore, bool WindowLimited, bool InRecovery, TimeSpan RoundTrip)
{
    /// <summary>Bytes in flight now.</summary>
    public long InFlight { get; init; }

    /// <summary>Bytes deemed lost since the last sample.</summary>
    public long Lost { get; init; }

    /// <summary>Delivery rate.</summary>
    public RateSample Rate { get; init; }

    /// <summary>Bytes that may leave back to back; windows leave room for some of them.</summary>
    public long Burst { get; init; }
}

/// <summary>Decides how many bytes may be in flight, and optionally how fast they leave. All windows in bytes.</summary>
internal interface ICongestionController
{
    /// <summary>Bytes that may be in flight.</summary>
    long Window { get; }

    /// <summary>Slow start threshold; int.MaxValue while unknown.</summary>
    long SlowStartThreshold { get; }

    /// <summary>Bytes per second to pace at, or zero to derive it from window and round trip.</summary>
    long PacingRate { get; }

    /// <summary>The largest segment payload changed.</summary>
    void SetSegmentSize(int bytes);

    /// <summary>A segment left.</summary>
    void OnSent(Instant now, int bytes, long inFlight);

    /// <summary>Something was delivered.</summary>
    void OnAcknowledged(in AckSample sample);

    /// <summary>First loss of a new recovery. <paramref name="flight"/>: bytes sent and not cumulatively acknowledged.</summary>
    void OnLoss(Instant now, long flight);

    /// <summary>Retransmission timeout. <paramref name="repeated"/>: the same data timed out before.</summary>
    void OnTimeout(Instant now, long flight, bool repeated);

    /// <summary>The last <see cref="OnLoss"/> or <see cref="OnTimeout"/> was a mistake: nothing had been lost.</summary>
    void OnSpurious(Instant now);

    /// <summary>Start again on another path.</summary>
    void Reset();
}
