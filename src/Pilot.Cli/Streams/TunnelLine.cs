using System.Globalization;
using Pilot.Ipc;

namespace Pilot.Cli.Streams;

/// <summary>The line about the path that the product pages show: <c>✓ direct tunnel · 1ms · no relay</c>.</summary>
internal static class TunnelLine
{
    public static string Format(string path, TimeSpan? roundTrip)
    {
        string rtt = roundTrip is { } known ? $" · {Milliseconds(known)}" : string.Empty;
        return path switch
        {
            PathName.Relay => $"✓ relay tunnel{rtt} · via beacon",
            PathName.Loopback => $"✓ own node{rtt} · no tunnel",
            PathName.None => $"✓ tunnel{rtt}",
            _ => $"✓ direct tunnel{rtt} · no relay",
        };
    }

    /// <summary>Whole milliseconds, at least 1.</summary>
    public static string Milliseconds(TimeSpan roundTrip) =>
        string.Create(CultureInfo.InvariantCulture, $"{Math.Max(1, Math.Round(roundTrip.TotalMilliseconds)):0}ms");
}
