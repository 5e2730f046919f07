namespace Pilot.Engine.Streams;

/// <summary>One acknowledgement that delivered something, as a congestion controller sees it.</summary>
/// <param name="Now">Arrival.</param>
/// <param name="Bytes">Newly delivered bytes, by cumulative or selective report.</param>
/// <param name="InFlightBefore">Bytes in flight before this acknowledgement.</param>
/// <param name="WindowLimited">The window, not the application or the peer, bounded the flight.</param>
/// <param name="InRecovery">Loss recovery is going on.</param>
/// <param name="RoundTrip">Last round trip sample; zero if there is none yet.</param>
internal readonly record struct AckSample(
    Instant Now, long Bytes, long InFlightBefore, bool WindowLimited, bool InRecovery, TimeSpan RoundTrip);

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

    /// <summary>First loss of a new recovery.</summary>
    void OnLoss(Instant now, long inFlight);

    /// <summary>Retransmission timeout. <paramref name="repeated"/>: the same data timed out before.</summary>
    void OnTimeout(Instant now, long inFlight, bool repeated);

    /// <summary>Start again on another path.</summary>
    void Reset();
}
