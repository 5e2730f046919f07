using System.Collections;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Pilot.Daemon;
using Pilot.Daemon.Configuration;
using Pilot.Daemon.Logging;
using Pilot.Flags;
using Serilog.Extensions.Logging;

StandardDescriptors.Complete(args);
try
{
    var variables = Environment.GetEnvironmentVariables().Cast<DictionaryEntry>()
        .ToDictionary(entry => (string)entry.Key, entry => entry.Value as string ?? string.Empty, StringComparer.Ordinal);
    var loaded = SettingsLoader.Load(args, variables);
    if (loaded.UsageError is { } usageError)
    {
        Console.Error.WriteLine(usageError);
        Console.Error.Write(DaemonFlags.All.Usage);
        return 2;
    }

    if (loaded.ShowHelp)
    {
        Console.Write(DaemonFlags.All.Usage);
        return 0;
    }

    if (loaded.IsChecked)
    {
        return 0;
    }

    if (loaded.Settings is not { } settings)
    {
        Console.WriteLine($"pilot-daemon {DaemonVersion.Text}");
        return 0;
    }

    return await RunAsync(settings).ConfigureAwait(false);
}
catch (FatalException exception)
{
    try
    {
        Console.Error.WriteLine($"daemon start: {exception.Message}");
        if (exception.Hint is { } hint)
        {
            Console.Error.WriteLine($"hint: {hint}");
        }
    }
    catch (IOException)
    {
        // Standard error is a file on a full disk: the exit status has to do.
    }

    return 1;
}

// A host of its own, for one service: the framework's takes ten assemblies and 3 MB to do this.
static async Task<int> RunAsync(DaemonSettings settings)
{
    var shutdownLimit = TimeSpan.FromSeconds(10);
    await using var log = LogSetup.Create(settings);
    using var loggers = new SerilogLoggerFactory(log);
    var stop = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    using var service = new DaemonService(settings, loggers, () => stop.TrySetResult());
    using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
    using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
    using var quit = PosixSignalRegistration.Create(PosixSignal.SIGQUIT, OnSignal);
    try
    {
        await service.StartAsync(CancellationToken.None).ConfigureAwait(false);
        await stop.Task.ConfigureAwait(false);
        await service.StopAsync(CancellationToken.None).WaitAsync(shutdownLimit).ConfigureAwait(false);
    }
    catch (FatalException exception)
    {
        loggers.CreateLogger("daemon").LogError("daemon start: {Error}", exception.Message);
        throw;
    }
    catch (TimeoutException)
    {
        loggers.CreateLogger("daemon").LogWarning("not everything ended within {Limit} s", shutdownLimit.TotalSeconds);
    }

    return Environment.ExitCode;

    void OnSignal(PosixSignalContext context)
    {
        context.Cancel = true; // the clean stop ends the process
        stop.TrySetResult();
    }
}
