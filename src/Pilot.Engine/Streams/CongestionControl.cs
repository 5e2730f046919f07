namespace Pilot.Engine.Streams;

/// <summary>The congestion controllers to choose from (docs/streams.md).</summary>
public enum CongestionControl
{
    /// <summary>Model of the path: delivery rate and minimum round trip. Holds its rate under random loss.</summary>
    Bbr,

    /// <summary>CUBIC (RFC 9438) with HyStart++ (RFC 9406).</summary>
    Cubic,

    /// <summary>NewReno (RFC 5681, RFC 6582).</summary>
    NewReno,
}

/// <summary>Creates controllers.</summary>
internal static class CongestionControllers
{
    /// <param name="kind">Which one.</param>
    /// <param name="segmentSize">Largest segment payload, bytes.</param>
    /// <param name="seed">Spreads what should not happen at the same time in all connections.</param>
    public static ICongestionController Create(CongestionControl kind, int segmentSize, uint seed) => kind switch
    {
        CongestionControl.Cubic => new Cubic(segmentSize),
        CongestionControl.NewReno => new NewReno(segmentSize),
        CongestionControl.Bbr or _ => new Bbr(segmentSize, seed),
    };
}
