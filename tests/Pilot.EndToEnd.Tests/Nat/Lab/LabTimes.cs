using System.Globalization;

namespace Pilot.EndToEnd.Tests.Nat.Lab;

/// <summary>How long the lab lets things last: moments in the suite, minutes in <c>tests/nat-lab</c>.</summary>
internal static class LabTimes
{
    /// <summary>Silence between two agents.</summary>
    public static TimeSpan Idle { get; } = Read("PILOT_LAB_IDLE_SECONDS", 2);

    /// <summary>Outage of the registry.</summary>
    public static TimeSpan Outage { get; } = Read("PILOT_LAB_OUTAGE_SECONDS", 5);

    /// <summary>How often a matter of luck is tried.</summary>
    public static int Tries { get; } = (int)Read("PILOT_LAB_TRIES", 1).TotalSeconds;

    private static TimeSpan Read(string variable, double otherwise) => TimeSpan.FromSeconds(
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text ? double.Parse(text, CultureInfo.InvariantCulture) : otherwise);
}
