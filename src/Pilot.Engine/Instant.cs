namespace Pilot.Engine;

/// <summary>A point on the host's monotonic clock, in ticks of 100 ns. Only differences mean anything.</summary>
public readonly record struct Instant(long Ticks) : IComparable<Instant>
{
    /// <summary>A deadline that never comes.</summary>
    public static Instant Never => new(long.MaxValue);

    /// <summary>Before every other instant.</summary>
    public static Instant Origin => new(0);

    /// <summary>The time between two instants.</summary>
    public static TimeSpan operator -(Instant left, Instant right) => new(left.Ticks - right.Ticks);

    /// <summary>An earlier instant.</summary>
    public static Instant operator -(Instant left, TimeSpan right) => new(left.Ticks - right.Ticks);

    /// <summary>A later instant; <see cref="Never"/> stays never.</summary>
    public static Instant operator +(Instant left, TimeSpan right) =>
        left.Ticks == long.MaxValue || right.Ticks > long.MaxValue - left.Ticks ? Never : new(left.Ticks + right.Ticks);

    /// <summary>Order in time.</summary>
    public static bool operator <(Instant left, Instant right) => left.Ticks < right.Ticks;

    /// <summary>Order in time.</summary>
    public static bool operator >(Instant left, Instant right) => left.Ticks > right.Ticks;

    /// <summary>Order in time.</summary>
    public static bool operator <=(Instant left, Instant right) => left.Ticks <= right.Ticks;

    /// <summary>Order in time.</summary>
    public static bool operator >=(Instant left, Instant right) => left.Ticks >= right.Ticks;

    /// <summary>The earlier of two.</summary>
    public static Instant Min(Instant left, Instant right) => left.Ticks <= right.Ticks ? left : right;

    /// <summary>The later of two.</summary>
    public static Instant Max(Instant left, Instant right) => left.Ticks >= right.Ticks ? left : right;

    /// <inheritdoc/>
    public int CompareTo(Instant other) => Ticks.CompareTo(other.Ticks);

    /// <inheritdoc/>
    public override string ToString() => Ticks == long.MaxValue ? "never" : $"{Ticks / 10_000.0:F3}ms";
}
