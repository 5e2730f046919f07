namespace Pilot.Rendezvous.Server;

/// <summary>Limits of the registry's TCP side (spec 03 section 2.2).</summary>
internal sealed record ConnectionLimits
{
    /// <summary>Open connections in all; one more is closed at once.</summary>
    public int MaxConnections { get; init; } = 100_000;

    /// <summary>Open connections per source address, IPv6 by /64.</summary>
    public int MaxPerAddress { get; init; } = 10_000;

    /// <summary>Longest wait for the first byte of a frame; a reference daemon may be silent for its keepalive interval.</summary>
    public TimeSpan IdleTimeout { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Longest time from the first byte of a frame to its last.</summary>
    public TimeSpan FrameTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Longest time for a peer to take an answer.</summary>
    public TimeSpan WriteTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How often deadlines are looked at.</summary>
    public TimeSpan SweepInterval { get; init; } = TimeSpan.FromSeconds(1);
}
