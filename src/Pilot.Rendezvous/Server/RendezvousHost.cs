using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Pilot.Rendezvous.Beacon;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Startup;
using Serilog;

namespace Pilot.Rendezvous.Server;

/// <summary>The running server: registry on TCP, beacon on UDP, health page on HTTP.</summary>
internal sealed class RendezvousHost : IAsyncDisposable
{
    private const int ReceiveBufferPerConnection = 128 * 1024; // more than one largest frame, so that a slow reader of ours cannot stall a frame
    private static readonly TimeSpan ShutdownTimeout = TimeSpan.FromSeconds(2);

    private readonly WebApplication _app;
    private readonly BeaconSocket _beacon;
    private readonly EventJournal? _journal;
    private readonly ListenOptions _registryListen;
    private readonly ListenOptions? _httpListen;

    private RendezvousHost(
        WebApplication app, BeaconSocket beacon, EventJournal? journal, ListenOptions registryListen, ListenOptions? httpListen, string? fingerprint)
    {
        _journal = journal;
        _app = app;
        _beacon = beacon;
        _registryListen = registryListen;
        _httpListen = httpListen;
        Fingerprint = fingerprint;
    }

    public IPEndPoint RegistryEndPoint => _registryListen.IPEndPoint!;

    public IPEndPoint BeaconEndPoint => _beacon.LocalEndPoint;

    public IPEndPoint? HttpEndPoint => _httpListen?.IPEndPoint;

    /// <summary>Pin of the TLS certificate, null without TLS.</summary>
    public string? Fingerprint { get; }

    public RegistryService Registry => _app.Services.GetRequiredService<RegistryService>();

    /// <summary>Binds everything and starts to serve.</summary>
    /// <exception cref="StartException">An address or the certificate cannot be used.</exception>
    public static async Task<RendezvousHost> StartAsync(Settings settings, Serilog.ILogger log)
    {
        IPEndPoint registryAddress = ListenAddress.Parse("registry-addr", settings.RegistryAddress);
        IPEndPoint beaconAddress = ListenAddress.Parse("beacon-addr", settings.BeaconAddress);
        IPEndPoint? httpAddress = settings.HttpAddress.Length > 0 ? ListenAddress.Parse("http", settings.HttpAddress) : null;
        X509Certificate2? certificate = settings.Tls ? LoadCertificate(settings) : null;

        var clock = new SteadyClock();
        var machine = new RegistryMachine(settings.ToRegistryOptions(), clock.Now);
        EventJournal? journal = settings.Store.Length > 0 ? OpenJournal(settings.Store, machine, clock, log) : null;
        try
        {
            return await StartAsync(settings, log, clock, machine, journal, registryAddress, beaconAddress, httpAddress, certificate);
        }
        catch
        {
            journal?.Dispose();
            throw;
        }
    }

    private static async Task<RendezvousHost> StartAsync(
        Settings settings,
        Serilog.ILogger log,
        SteadyClock clock,
        RegistryMachine registryMachine,
        EventJournal? journal,
        IPEndPoint registryAddress,
        IPEndPoint beaconAddress,
        IPEndPoint? httpAddress,
        X509Certificate2? certificate)
    {
        var registry = new RegistryService(registryMachine, clock);
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Logging.ClearProviders().AddSerilog(log).AddFilter("Microsoft", LogLevel.Warning);
        builder.Services.AddSingleton(clock);
        builder.Services.AddSingleton(registry);
        builder.Services.AddSingleton(settings.Connections);
        builder.Services.AddSingleton<OpenConnections>();
        builder.Services.AddHostedService<RegistryTimers>();
        builder.Services.Configure<Microsoft.Extensions.Hosting.HostOptions>(o => o.ShutdownTimeout = ShutdownTimeout);
        ListenOptions? registryListen = null;
        ListenOptions? httpListen = null;
        builder.WebHost.UseKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            // Counts connections that are still in their TLS handshake, too.
            kestrel.Limits.MaxConcurrentConnections = settings.Connections.MaxConnections;
            kestrel.Limits.MaxRequestBufferSize = ReceiveBufferPerConnection;
            Listen(kestrel, registryAddress, listen =>
            {
                registryListen = listen;
                if (certificate is not null)
                {
                    listen.UseHttps(certificate);
                }

                listen.UseConnectionHandler<RegistryConnectionHandler>();
            });
            if (httpAddress is not null)
            {
                Listen(kestrel, httpAddress, listen => httpListen = listen);
            }
        });

        WebApplication app = builder.Build();
        app.Run(context => ServeHttpAsync(context, registry, clock));
        Observe(registryMachine.Core, journal, app, log);
        app.Lifetime.ApplicationStopping.Register(app.Services.GetRequiredService<OpenConnections>().Drain);
        Microsoft.Extensions.Logging.ILogger logger = app.Services.GetRequiredService<ILogger<RendezvousHost>>();
        var machine = new BeaconMachine(settings.ToBeaconOptions(), registry, clock.Now);
        BeaconSocket beacon = await BindAsync("beacon", settings.BeaconAddress, app, () =>
            Task.FromResult(new BeaconSocket(beaconAddress, machine, clock, logger)));
        await BindAsync("registry", settings.RegistryAddress, app, async () =>
        {
            try
            {
                await app.StartAsync();
                return true;
            }
            catch
            {
                beacon.Dispose();
                throw;
            }
        });
        beacon.Start();
        return new RendezvousHost(app, beacon, journal, registryListen!, httpListen, certificate is null ? null : TlsCertificate.Fingerprint(certificate));
    }

    public Task WaitForShutdownAsync(CancellationToken stop = default) => Microsoft.Extensions.Hosting.HostingAbstractionsHostExtensions.WaitForShutdownAsync(_app, stop);

    public async ValueTask DisposeAsync()
    {
        _beacon.Dispose();
        await _app.StopAsync();
        await _app.DisposeAsync();
        _journal?.Dispose();
    }

    private static EventJournal OpenJournal(string path, RegistryMachine machine, SteadyClock clock, Serilog.ILogger log)
    {
        try
        {
            EventJournal journal = EventJournal.Open(path, machine.Core.Apply, out int count);
            machine.Core.Resume(clock.Now);
            log.ForContext("Store", path).ForContext("Events", count).ForContext("Nodes", machine.LiveNodes).Information("state loaded");
            return journal;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            throw new StartException($"store {path}: {e.Message}");
        }
    }

    private static void Observe(RegistryCore core, EventJournal? journal, WebApplication app, Serilog.ILogger log)
    {
        core.Observer = happened =>
        {
            try
            {
                journal?.Append(happened);
            }
            catch (IOException e)
            {
                // What is in memory and what is on disk would part from here on.
                log.Fatal("stopping: the store cannot be written: {Reason}", e.Message);
                app.Lifetime.StopApplication();
                throw;
            }

            if (happened.AuditAction is { } action)
            {
                log.ForContext("AuditAction", action).ForContext("Event", happened.ToString()).Debug("audit");
            }
        };
        core.Refused = (connection, type, refusal) =>
            log.Debug("refused {Type} of {Address}: {Reason}", type.Length > 0 ? type : "unknown message", connection.SourceText, refusal.Text);
    }

    private static void Listen(KestrelServerOptions kestrel, IPEndPoint address, Action<ListenOptions> configure)
    {
        if (address.Address.Equals(IPAddress.IPv6Any))
        {
            kestrel.ListenAnyIP(address.Port, configure);
        }
        else
        {
            kestrel.Listen(address, configure);
        }
    }

    private static X509Certificate2 LoadCertificate(Settings settings)
    {
        try
        {
            return settings.TlsCertificate.Length > 0
                ? TlsCertificate.Load(settings.TlsCertificate, settings.TlsKey)
                : TlsCertificate.LoadOrCreate(settings.DataDirectory);
        }
        catch (Exception e) when (e is CryptographicException or IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new StartException($"TLS certificate: {e.Message}");
        }
    }

    private static async Task<T> BindAsync<T>(string what, string address, WebApplication app, Func<Task<T>> bind)
    {
        try
        {
            return await bind();
        }
        catch (Exception e) when (e is SocketException or IOException)
        {
            await app.DisposeAsync();
            throw new StartException($"cannot listen on {address} ({what}): {e.Message}");
        }
    }

    private static Task ServeHttpAsync(HttpContext context, RegistryService registry, SteadyClock clock)
    {
        if (context.Request.Path != "/healthz")
        {
            context.Response.StatusCode = StatusCodes.Status404NotFound;
            return context.Response.WriteAsync("404 page not found\n");
        }

        long uptime = (long)(clock.Now - registry.Started).TotalSeconds;
        context.Response.ContentType = "application/json";
        return context.Response.WriteAsync($"{{\"nodes_online\":{registry.LiveNodes},\"status\":\"ok\",\"uptime_seconds\":{uptime},\"version\":\"1.0\"}}\n");
    }
}
