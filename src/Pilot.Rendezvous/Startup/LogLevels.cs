using Serilog.Events;

namespace Pilot.Rendezvous.Startup;

/// <summary>The words of <c>-log-level</c>.</summary>
internal static class LogLevels
{
    /// <summary>The level of a word; anything unknown is info (spec 03 section 12).</summary>
    public static LogEventLevel Parse(string word) => word switch
    {
        "debug" => LogEventLevel.Debug,
        "warn" or "warning" => LogEventLevel.Warning,
        "error" => LogEventLevel.Error,
        _ => LogEventLevel.Information,
    };
}
