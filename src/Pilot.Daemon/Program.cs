using System.Collections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
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

static async Task<int> RunAsync(DaemonSettings settings)
{
    await using var log = LogSetup.Create(settings);
    using var loggers = new SerilogLoggerFactory(log);
    try
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Services.AddSingleton<ILoggerFactory>(loggers);
        builder.Services.Configure<ConsoleLifetimeOptions>(options => options.SuppressStatusMessages = true);
        builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = TimeSpan.FromSeconds(10));
        builder.Services.AddHostedService(services => new DaemonService(settings, loggers, services.GetRequiredService<IHostApplicationLifetime>().StopApplication));
        using var host = builder.Build();
        await host.RunAsync().ConfigureAwait(false);
        return Environment.ExitCode;
    }
    catch (FatalException exception)
    {
        loggers.CreateLogger("daemon").LogError("daemon start: {Error}", exception.Message);
        throw;
    }
}
