using Serilog;
using Serilog.Core;
using Serilog.Events;

namespace Pilot.Rendezvous.Startup;

/// <summary>The log of the servers: lines on standard error.</summary>
internal static class ServerLog
{
    public static Logger Create(LoggingLevelSwitch level, string format) => new LoggerConfiguration()
        .MinimumLevel.ControlledBy(level)
        .MinimumLevel.Override("Microsoft", LogEventLevel.Warning)
        // Says what the start-up error says, with a stack trace.
        .MinimumLevel.Override("Microsoft.Extensions.Hosting.Internal.Host", LogEventLevel.Fatal)
        .WriteTo.Console(new LogLineFormatter(format == "json"), standardErrorFromLevel: LogEventLevel.Verbose)
        .CreateLogger();
}
