namespace Pilot.Engine;

/// <summary>
/// Randomness injected into the engine. The daemon passes a cryptographic source, because keys, nonce prefixes,
/// initial sequence numbers and ports are drawn from it; the simulator passes a seeded one.
/// </summary>
public interface IRandomSource
{
    /// <summary>Fills the buffer with random bytes.</summary>
    void Fill(Span<byte> destination);

    /// <summary>A random 32-bit value.</summary>
    uint NextUInt32();
}

internal static class RandomSourceExtensions
{
    /// <summary>The span, changed by up to 10 % either way, so that timers of many nodes do not fall together.</summary>
    public static TimeSpan Jitter(this IRandomSource random, TimeSpan span)
    {
        long tenth = span.Ticks / 10;
        return tenth == 0 ? span : new TimeSpan(span.Ticks - tenth + (long)(random.NextUInt32() / (double)uint.MaxValue * (2 * tenth)));
    }
}
