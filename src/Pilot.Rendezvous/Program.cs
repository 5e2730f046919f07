using Pilot.Rendezvous.Commands;
using Pilot.Flags;
using Pilot.Rendezvous.Server;
using Pilot.Rendezvous.Startup;
using Pilot.Rendezvous.Storage;
using Serilog;
using Serilog.Core;
using Serilog.Events;

StandardDescriptors.Complete(args);
Settings settings;
StoreCommand? command;
try
{
    command = StoreCommand.Find(args);
    settings = RendezvousFlags.Parse(command?.Flags ?? args, Environment.GetEnvironmentVariable);
}
catch (HelpRequestedException)
{
    await Console.Error.WriteAsync(RendezvousFlags.Usage + StoreCommand.Usage);
    return 0;
}
catch (UsageException e)
{
    await Console.Error.WriteAsync($"{e.Message}\n{RendezvousFlags.Usage}");
    return 2;
}
catch (StartException e)
{
    await Console.Error.WriteLineAsync($"rendezvous: {e.Message}");
    return 1;
}

if (command is not null)
{
    return command.Run(settings);
}

await using Logger log = CreateLogger(settings);
try
{
    log.ForContext("Version", typeof(RendezvousFlags).Assembly.GetName().Version?.ToString(3)).Information("starting rendezvous server");
    await using RendezvousHost host = await RendezvousHost.StartAsync(settings, log);
    Announce(host, settings, log);
    if (settings.ReadyFile.Length > 0)
    {
        ReadyFile.Write(settings.ReadyFile, host.RegistryEndPoint, host.BeaconEndPoint, host.HttpEndPoint, host.Fingerprint);
    }

    await host.WaitForShutdownAsync();
    log.Information("rendezvous stopped");
    return 0;
}
catch (Exception e) when (e is StartException or IOException or UnauthorizedAccessException)
{
    log.Error("cannot start: {Reason}", e.Message);
    return 1;
}

static Logger CreateLogger(Settings settings)
{
    LogEventLevel level = settings.LogLevel switch
    {
        "debug" => LogEventLevel.Debug,
        "warn" or "warning" => LogEventLevel.Warning,
        "error" => LogEventLevel.Error,
        _ => LogEventLevel.Information,
    };
    return new LoggerConfiguration()
        .MinimumLevel.Is(level)
        .MinimumLevel.Override("Microsoft", LogEventLevel.Warning)
        // Says what the start-up error says, with a stack trace.
        .MinimumLevel.Override("Microsoft.Extensions.Hosting.Internal.Host", LogEventLevel.Fatal)
        .WriteTo.Console(new LogLineFormatter(settings.LogFormat == "json"), standardErrorFromLevel: LogEventLevel.Verbose)
        .CreateLogger();
}

static void Announce(RendezvousHost host, Settings settings, Logger log)
{
    log.ForContext("Addr", host.RegistryEndPoint).ForContext("Transport", host.Fingerprint is null ? "plaintext" : "TLS").Information("registry listening");
    log.ForContext("Addr", host.BeaconEndPoint).Information("beacon listening");
    if (host.HttpEndPoint is not null)
    {
        log.ForContext("Addr", host.HttpEndPoint).Information("dashboard listening");
    }

    if (host.Fingerprint is null)
    {
        log.Warning("registry traffic is not encrypted: signatures can be read and repeated on the way; -tls turns encryption on");
    }
    else
    {
        log.ForContext("Fingerprint", host.Fingerprint).Information("TLS certificate to pin");
    }

    if (settings.Store == StoreChoice.Memory)
    {
        log.Warning("state is kept in memory only and lost when this process ends");
    }

    log.ForContext("Registry", host.RegistryEndPoint).ForContext("Beacon", host.BeaconEndPoint).ForContext("Mode", "primary")
        .ForContext("Policy", settings.ReferencePolicy ? "reference" : "strict").Information("rendezvous running");
}
