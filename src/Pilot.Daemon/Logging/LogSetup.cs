using Pilot.Daemon.Configuration;
using Serilog;
using Serilog.Core;
using Serilog.Events;
using Serilog.Formatting;

namespace Pilot.Daemon.Logging;

/// <summary>Builds the logger of a run: a size-capped file and stderr.</summary>
internal static class LogSetup
{
    /// <exception cref="FatalException">The log file cannot be opened.</exception>
    public static Logger Create(DaemonSettings settings)
    {
        ITextFormatter formatter = settings.LogJson ? new JsonLineFormatter() : new TextLineFormatter();
        var configuration = new LoggerConfiguration()
            .MinimumLevel.Is(Level(settings.LogLevel))
            .MinimumLevel.Override("Microsoft", LogEventLevel.Warning);
        if (settings.LogConsole)
        {
            configuration = configuration.WriteTo.Console(formatter, standardErrorFromLevel: LogEventLevel.Verbose);
        }

        if (settings.LogFile is { } path)
        {
            try
            {
                configuration = configuration.WriteTo.Sink(new SizeCappedFileSink(path, formatter));
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                throw new FatalException($"cannot write log file {path}: {exception.Message}", exception);
            }
        }

        return configuration.CreateLogger();
    }

    /// <summary>Unknown words mean info (07 §8).</summary>
    private static LogEventLevel Level(string text) => text switch
    {
        "debug" => LogEventLevel.Debug,
        "warn" or "warning" => LogEventLevel.Warning,
        "error" => LogEventLevel.Error,
        _ => LogEventLevel.Information,
    };
}
