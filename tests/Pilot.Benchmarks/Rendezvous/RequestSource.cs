namespace Pilot.Benchmarks.Rendezvous;

/// <summary>What one connection of the generator sends: a frame at a time. Owned by one thread.</summary>
internal abstract class RequestSource
{
    /// <summary>The next frame; valid until the next call.</summary>
    public abstract ReadOnlySpan<byte> Next();

    public static List<RequestSource> Fixed(IEnumerable<byte[]> frames) => [.. frames.Select(f => new FixedRequest(f))];

    private sealed class FixedRequest(byte[] frame) : RequestSource
    {
        public override ReadOnlySpan<byte> Next() => frame;
    }
}

/// <summary>Several nodes behind one connection, in turn.</summary>
internal sealed class RequestsInTurn(IReadOnlyList<RequestSource> sources) : RequestSource
{
    private int _next;

    public override ReadOnlySpan<byte> Next() => sources[_next++ % sources.Count].Next();
}
