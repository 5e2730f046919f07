using Pilot.Protocol;

namespace Pilot.Rendezvous.Registry;

/// <summary>The rate limiters of the registry (spec 03 section 8). Keys are source addresses (IPv6 by /64 in the stricter policy) or node ids.</summary>
internal sealed class RequestLimits
{
    private static readonly TimeSpan Window = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan Day = TimeSpan.FromDays(1);
    private readonly bool _byPrefix;

    public RequestLimits(RegistryOptions options)
    {
        RegistryLimits limits = options.Limits;
        _byPrefix = options.Policy.HasFlag(RegistryPolicy.LimitPerNode);
        RateLimiter Create(int rate) => new(rate, Window, limits.MaxTrackedKeys);
        Registrations = Create(limits.RegistrationsPerMinute);
        Queries = Create(limits.QueriesPerMinute);
        Resolves = Create(limits.ResolvesPerMinute);
        Heartbeats = Create(limits.HeartbeatsPerMinute);
        Signed = Create(limits.SignedPerMinute);
        Unsigned = Create(limits.UnsignedPerMinute);
        Failures = Create(limits.FailuresPerMinute);
        NamedHandshakes = Create(limits.NamedHandshakesPerMinute);
        PoloChanges = new RateLimiter(limits.MaxPoloPerPairAndDay, Day, limits.MaxTrackedKeys);
    }

    public RateLimiter Registrations { get; }

    public RateLimiter Queries { get; }

    public RateLimiter Resolves { get; }

    public RateLimiter Heartbeats { get; }

    public RateLimiter Signed { get; }

    public RateLimiter Unsigned { get; }

    public RateLimiter Failures { get; }

    public RateLimiter NamedHandshakes { get; }

    /// <summary>One token per point of reputation that one node gives or takes another, per day.</summary>
    public RateLimiter PoloChanges { get; }

    public static UInt128 OfNode(uint node) => (UInt128.One << 127) | node;

    public static UInt128 OfPair(uint from, uint to) => ((UInt128)from << 32) | to;

    public UInt128 OfAddress(UdpEndpoint source) => _byPrefix && !source.IsIPv4 ? source.Ip >> 64 << 64 : source.Ip;

    public void Sweep(DateTimeOffset now)
    {
        foreach (RateLimiter limiter in (RateLimiter[])[Registrations, Queries, Resolves, Heartbeats, Signed, Unsigned, Failures, NamedHandshakes, PoloChanges])
        {
            limiter.Sweep(now);
        }
    }
}
