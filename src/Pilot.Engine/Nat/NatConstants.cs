namespace Pilot.Engine.Nat;

/// <summary>Times and sizes of the measurement (own choices unless a source is named).</summary>
internal static class NatConstants
{
    /// <summary>When a question is repeated after it was first asked.</summary>
    public static readonly TimeSpan[] Steps = [TimeSpan.Zero, Ms(200), Ms(500)];

    /// <summary>Wait for the answer to the last of them; twice the beacon's round trip is added.</summary>
    public static readonly TimeSpan Verdict = Ms(700);

    /// <summary>No answer of any beacon for this long: blocked.</summary>
    public static readonly TimeSpan BlockedAfter = Ms(15_000);

    /// <summary>The mapping is measured again after this time without a change.</summary>
    public static readonly TimeSpan Again = TimeSpan.FromMinutes(10);

    /// <summary>A measurement without verdict is repeated after this time.</summary>
    public static readonly TimeSpan Retry = TimeSpan.FromMinutes(1);

    /// <summary>Mappings seen longer ago than this are not compared with each other.</summary>
    public static readonly TimeSpan Comparable = TimeSpan.FromMinutes(2);

    /// <summary>Silences that are tried in turn; the longest stays below the life of a beacon's cookie.</summary>
    public static readonly TimeSpan[] Silences = [Ms(32_000), Ms(64_000), Ms(120_000), Ms(240_000)];

    /// <summary>Tried when the first of <see cref="Silences"/> is too long.</summary>
    public static readonly TimeSpan ShortSilence = Ms(20_000);

    /// <summary>Largest step between two ports that still counts as a rule: random ports come so near one time in 2,000.</summary>
    public const int MaxPortStep = 16;

    /// <summary>Ports that follow each other by the same step before the next ones are predicted: what one beacon with two ports shows.</summary>
    public const int MinPortsInRow = 2;

    /// <summary>Mappings remembered.</summary>
    public const int MaxObservations = 16;

    /// <summary>Endpoints that <see cref="Node.Predicted"/> names at most.</summary>
    public const int MaxPredicted = 64;

    private static TimeSpan Ms(int milliseconds) => TimeSpan.FromMilliseconds(milliseconds);
}
