using System.Runtime.InteropServices;
using Pilot.Rendezvous.Cluster;
using Pilot.Rendezvous.Commands;
using Pilot.Flags;
using Pilot.Rendezvous.Server;
using Pilot.Rendezvous.Startup;
using Pilot.Rendezvous.Storage;
using Serilog;
using Serilog.Core;

StandardDescriptors.Complete(args);
if (BeaconCommand.IsAsked(args))
{
    return await BeaconCommand.RunAsync(args[1..]);
}

Settings settings;
StoreCommand? command;
try
{
    command = StoreCommand.Find(args);
    settings = RendezvousFlags.Parse(command?.Flags ?? args, Environment.GetEnvironmentVariable);
}
catch (HelpRequestedException)
{
    await Console.Error.WriteAsync(RendezvousFlags.Usage + StoreCommand.Usage + BeaconCommand.Usage);
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

var level = new LoggingLevelSwitch(LogLevels.Parse(settings.LogLevel));
await using Logger log = ServerLog.Create(level, settings.LogFormat);
try
{
    log.ForContext("Version", typeof(RendezvousFlags).Assembly.GetName().Version?.ToString(3)).Information("starting rendezvous server");
    await using RendezvousHost host = await RendezvousHost.StartAsync(settings, log);
    Announce(host, settings, log);
    if (settings.ReadyFile.Length > 0)
    {
        ReadyFile.Write(settings.ReadyFile, host.RegistryEndPoint, host.BeaconEndPoint, host.HttpEndPoint, host.Fingerprint);
    }

    using PosixSignalRegistration? hangup = OperatingSystem.IsWindows() ? null : PosixSignalRegistration.Create(PosixSignal.SIGHUP, signal =>
    {
        signal.Cancel = true;
        Reload(host, args, level, log);
    });
    SystemdNotifier.Send($"READY=1\nSTATUS=registry {host.RegistryEndPoint}, beacon {host.BeaconEndPoint}");
    await host.WaitForShutdownAsync();
    SystemdNotifier.Send("STOPPING=1");
    log.Information("rendezvous stopped");
    return host.Failed ? 1 : 0;
}
catch (Exception e) when (e is StartException or IOException or UnauthorizedAccessException)
{
    log.Error("cannot start: {Reason}", e.Message);
    return 1;
}

// The command line and the environment are what they were; files may have changed.
static void Reload(RendezvousHost host, string[] args, LoggingLevelSwitch level, Logger log)
{
    SystemdNotifier.SendReloading();
    try
    {
        Settings fresh = RendezvousFlags.Parse(args, Environment.GetEnvironmentVariable);
        IReadOnlyList<string> waiting = host.Reload(fresh);
        level.MinimumLevel = LogLevels.Parse(fresh.LogLevel);
        log.Information("settings read again");
        if (waiting.Count > 0)
        {
            log.Warning("these changes wait for a restart: {Flags}", string.Join(", ", waiting));
        }
    }
    catch (Exception e) when (e is StartException or UsageException)
    {
        log.Error("settings stay as they were: {Reason}", e.Message);
    }

    SystemdNotifier.Send("READY=1");
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

    log.ForContext("Registry", host.RegistryEndPoint).ForContext("Beacon", host.BeaconEndPoint).ForContext("Mode", settings.Standby.Length > 0 ? "standby" : "primary")
        .ForContext("Policy", settings.ReferencePolicy ? "reference" : "strict").Information("rendezvous running");
}
