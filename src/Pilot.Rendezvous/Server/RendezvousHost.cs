using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Pilot.Protocol;
using Pilot.Rendezvous.Beacon;
using Pilot.Rendezvous.Http;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Startup;
using Pilot.Rendezvous.Storage;
using Serilog;

namespace Pilot.Rendezvous.Server;

/// <summary>The running server: registry on TCP, beacon on UDP, health page on HTTP.</summary>
internal sealed class RendezvousHost : IAsyncDisposable
{
    private static readonly TimeSpan ShutdownTimeout = TimeSpan.FromSeconds(2);

    private readonly WebApplication _app;
    private readonly BeaconSocket _beacon;
    private readonly SqlEventStore? _store;
    private readonly SharedExchange? _exchange;
    private readonly AuditLog? _audit;
    private readonly TcpPorts _ports;
    private readonly ServingCertificate? _certificate;
    private readonly StandbyFollower? _follower;
    private readonly Settings _settings;
    private readonly DescriptorBudget _budget;

    private RendezvousHost(
        Settings settings,
        ServingCertificate? certificate,
        StandbyFollower? follower,
        WebApplication app,
        BeaconSocket beacon,
        SqlEventStore? store,
        SharedExchange? exchange,
        AuditLog? audit,
        TcpPorts ports,
        DescriptorBudget budget)
    {
        _settings = settings;
        _budget = budget;
        _certificate = certificate;
        _follower = follower;
        _store = store;
        _exchange = exchange;
        _audit = audit;
        _app = app;
        _beacon = beacon;
        _ports = ports;
    }

    public IPEndPoint RegistryEndPoint => _ports.Registry;

    public IPEndPoint BeaconEndPoint => _beacon.LocalEndPoint;

    public IPEndPoint? HttpEndPoint => _ports.Http;

    /// <summary>Pin of the TLS certificate, null without TLS.</summary>
    public string? Fingerprint => _certificate?.Fingerprint;

    /// <summary>Where the state is kept; null in memory.</summary>
    public SqlEventStore? Store => _store;

    /// <summary>The server stopped by itself: its store is damaged, or a background task failed.</summary>
    public bool Failed => Registry.Lane?.IsBroken == true || Timers.ExecuteTask?.IsFaulted == true || _follower?.Failed == true;

    public RegistryTimers Timers => _app.Services.GetRequiredService<RegistryTimers>();

    public RegistryService Registry => _app.Services.GetRequiredService<RegistryService>();

    /// <summary>Binds everything and starts to serve.</summary>
    /// <exception cref="StartException">An address or the certificate cannot be used.</exception>
    public static async Task<RendezvousHost> StartAsync(Settings settings, Serilog.ILogger log)
    {
        IPEndPoint registryAddress = ListenAddress.Parse("registry-addr", settings.RegistryAddress);
        IPEndPoint beaconAddress = ListenAddress.Parse("beacon-addr", settings.BeaconAddress);
        IPEndPoint? httpAddress = settings.HttpAddress.Length > 0 ? ListenAddress.Parse("http", settings.HttpAddress) : null;
        ServingCertificate? certificate = settings.Tls ? new ServingCertificate(LoadCertificate(settings)) : null;
        if (settings.Standby.Length > 0)
        {
            ListenAddress.Parse("standby", settings.Standby);
            if (StoreChoice.IsPostgres(settings.Store))
            {
                throw new StartException("-standby: a standby keeps a store of its own; servers on one PostgreSQL share their state without it");
            }
        }

        DescriptorBudget budget = DescriptorBudget.Take(settings.Connections.MaxConnections, log);
        var clock = new SteadyClock();
        var machine = new RegistryMachine(settings.ToRegistryOptions() with { ServerFingerprint = certificate?.Fingerprint ?? "" }, clock.Now);
        SqlEventStore? store = OpenStore(settings, machine, clock, log, out long position);
        try
        {
            return await StartAsync(settings, log, clock, machine, store, position, registryAddress, beaconAddress, httpAddress, certificate, budget);
        }
        catch
        {
            store?.Dispose();
            throw;
        }
    }

    private static async Task<RendezvousHost> StartAsync(
        Settings settings,
        Serilog.ILogger log,
        SteadyClock clock,
        RegistryMachine registryMachine,
        SqlEventStore? store,
        long position,
        IPEndPoint registryAddress,
        IPEndPoint beaconAddress,
        IPEndPoint? httpAddress,
        ServingCertificate? certificate,
        DescriptorBudget budget)
    {
        var lanes = new VerificationLanes();
        var registry = new RegistryService(registryMachine, clock, lanes);
        SharedExchange? exchange = store is PostgresEventStore shared ? new SharedExchange(shared, registry, clock) : null;
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Logging.ClearProviders().AddSerilog(log).AddFilter("Microsoft", LogLevel.Warning);
        builder.Services.AddSingleton(clock);
        builder.Services.AddSingleton(registry);
        builder.Services.AddSingleton(_ => lanes); // by a factory, so that it is disposed of with the rest
        ConnectionLimits limits = budget.Within(settings.Connections);
        builder.Services.AddSingleton(limits);
        builder.Services.AddSingleton<ReplicationFeed>();
        builder.Services.AddSingleton<OpenConnections>();
        builder.Services.AddSingleton<ConnectionAdmission>();
        builder.Services.AddSingleton<RegistryTimers>();
        builder.Services.AddHostedService(services => services.GetRequiredService<RegistryTimers>());
        builder.Services.Configure<Microsoft.Extensions.Hosting.HostOptions>(o => o.ShutdownTimeout = ShutdownTimeout);
        var ports = new TcpPorts(registryAddress, httpAddress, certificate, limits.MaxConnections, budget.Http);
        ports.AddTo(builder);
        WebApplication app = builder.Build();
        StandbyFollower? follower = null;
        var metrics = new RequestMetrics(registryMachine.Core.Types);
        registry.Answered = metrics.Count;
        var endpoints = new HttpEndpoints(
            registry,
            new NetworkStatistics(registry, clock, settings.ToRegistryOptions().StaleAfter),
            metrics,
            new HistoryRing(),
            app.Services.GetRequiredService<OpenConnections>(),
            clock,
            new HttpOptions(store, () => certificate?.Fingerprint, settings.ReferencePolicy, () => follower, app.Lifetime.ApplicationStopping));
        app.Run(endpoints.ServeAsync);
        app.Lifetime.ApplicationStopped.Register(endpoints.Dispose);
        app.Services.GetRequiredService<RegistryTimers>().Tick = httpAddress is null ? null : endpoints.Tick;
        registryMachine.Core.Refused = (connection, type, refusal) =>
            log.Debug("refused {Type} of {Address}: {Reason}", type.Length > 0 ? type : "unknown message", connection.SourceText, refusal.Text);
        app.Lifetime.ApplicationStopping.Register(app.Services.GetRequiredService<OpenConnections>().Drain);
        Microsoft.Extensions.Logging.ILogger logger = app.Services.GetRequiredService<ILogger<RendezvousHost>>();
        BeaconOptions beaconOptions = exchange is null ? settings.ToBeaconOptions() : settings.ToBeaconOptions() with { BeaconId = exchange.BeaconId };
        var machine = new BeaconMachine(beaconOptions, registry, clock.Now);
        BeaconSocket beacon = await BindAsync("beacon", settings.BeaconAddress, app, () =>
            Task.FromResult(new BeaconSocket(beaconAddress, BeaconStart.SecondAddress(settings.BeaconSecondAddress), machine, clock, logger)));
        UdpEndpoint[] peers = await BeaconStart.ResolveAsync(settings.BeaconPeers, logger);
        beacon.SetPeers(peers);
        if (exchange is not null)
        {
            exchange.BeaconAddress = AdvertisedBeacon(settings, beacon, log);
            exchange.PeersKnown = known => beacon.SetPeers([.. peers, .. known]);
        }

        AuditLog? audit = OpenAudit(settings, clock, log);
        Keep(settings, registry, registryMachine.Core, store, position, exchange, app, audit, log);
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
                registry.Lane?.Dispose();
                throw;
            }
        });
        beacon.Start();
        if (settings.Standby.Length > 0)
        {
            follower = new StandbyFollower(new StandbyOptions(settings.Standby, settings.ReplicationToken, settings.StandbyFingerprint), registry, store, position, app.Lifetime.StopApplication, log);
        }

        return new RendezvousHost(settings, certificate, follower, app, beacon, store, exchange, audit, ports, budget);
    }

    /// <summary>Takes over what a running server can change; the rest stays until a restart. Returns the flags that wait for one.</summary>
    /// <exception cref="StartException">The certificate or the audit log cannot be used; nothing was changed.</exception>
    public IReadOnlyList<string> Reload(Settings fresh)
    {
        X509Certificate2? certificate = _certificate is not null ? LoadCertificate(fresh) : null;
        try
        {
            _audit?.Reopen();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StartException($"audit log: {e.Message}");
        }

        if (certificate is not null)
        {
            _certificate!.Current = certificate;
        }

        Registry.Reconfigure(fresh.ToRegistryOptions() with { ServerFingerprint = Fingerprint ?? "" });
        _app.Services.GetRequiredService<OpenConnections>().Limits = _budget.Within(fresh.Connections);
        string[] waiting = FixedSettings.Changed(_settings, fresh);
        if (fresh.Connections.MaxConnections > _settings.Connections.MaxConnections)
        {
            waiting = [.. waiting, "max-connections (above its value at the start)"];
        }

        return waiting;
    }

    public Task WaitForShutdownAsync(CancellationToken stop = default) => Microsoft.Extensions.Hosting.HostingAbstractionsHostExtensions.WaitForShutdownAsync(_app, stop);

    public async ValueTask DisposeAsync()
    {
        RegistryService registry = Registry;
        if (_follower is not null)
        {
            await _follower.DisposeAsync();
        }

        _beacon.Dispose();
        await _app.StopAsync();
        await _app.DisposeAsync();
        registry.CountRequests();
        registry.Lane?.Dispose();
        _exchange?.Dispose();
        _store?.Dispose();
        _audit?.Dispose();
    }

    private static SqlEventStore? OpenStore(Settings settings, RegistryMachine machine, SteadyClock clock, Serilog.ILogger log, out long position)
    {
        position = 0;
        SqlEventStore? store = null;
        try
        {
            store = StoreChoice.Create(settings.Store, settings.DataDirectory, settings.StoreSync);
            if (store is null)
            {
                return null;
            }

            store.Open();
            var state = new RegistryState(DateTimeOffset.UnixEpoch);
            position = store.Load(state.Apply);
            machine.Core.Replace(state);
            machine.Core.Resume(clock.Now);
            log.ForContext(nameof(Store), store.Name).ForContext("Position", position).ForContext("Nodes", machine.LiveNodes).Information("state loaded");
            return store;
        }
        catch (Exception e) when (e is StoreException or StoreDamagedException)
        {
            store?.Dispose();
            throw new StartException($"store: {e.Message}");
        }
    }

    // From here on nothing durable happens except through the lane.
    private static void Keep(
        Settings settings, RegistryService registry, RegistryCore core, SqlEventStore? store, long position, SharedExchange? exchange, WebApplication app, AuditLog? audit, Serilog.ILogger log)
    {
        void Audit(RegistryEvent happened)
        {
            if (happened.AuditAction is { } action)
            {
                log.ForContext("AuditAction", action).ForContext("Event", happened.ToString()).Debug("audit");
                audit?.Write(happened);
            }
        }

        if (store is null)
        {
            core.Observer = Audit;
            return;
        }

        if (settings.Standby.Length > 0)
        {
            return; // the follower alone writes to the store
        }

        core.SharesSigns = exchange is not null;
        registry.Attach(store, position, new WriteLaneEvents(
            Audit,
            reason => log.Error("the store takes no writes, changes are refused: {Reason}", reason),
            () => log.Information("the store takes writes again"),
            reason =>
            {
                log.Fatal("stopping: {Reason}", reason);
                app.Lifetime.StopApplication();
            })
        {
            Faulted = e => log.Error(e, "a request could not be decided, this is a fault of the server"),
            Compacted = (text, done) => log.Write(done ? Serilog.Events.LogEventLevel.Information : Serilog.Events.LogEventLevel.Warning, "store compacted: {Result}", text),
            Idle = exchange is null ? null : (_, fails) =>
            {
                if (!fails)
                {
                    exchange.Run();
                }
            },
        });
        if (store is PostgresEventStore postgres)
        {
            postgres.Listen(registry.Lane!.Wake);
        }
    }

    private static AuditLog? OpenAudit(Settings settings, SteadyClock clock, Serilog.ILogger log)
    {
        try
        {
            return settings.AuditLog.Length > 0 ? new AuditLog(settings.AuditLog, clock, reason => log.Error("the audit log cannot be written: {Reason}", reason)) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StartException($"audit log: {e.Message}");
        }
    }

    private static Pilot.Protocol.UdpEndpoint? AdvertisedBeacon(Settings settings, BeaconSocket beacon, Serilog.ILogger log)
    {
        IPEndPoint local = settings.BeaconAdvertise.Length > 0 ? ListenAddress.Parse("beacon-advertise", settings.BeaconAdvertise) : beacon.LocalEndPoint;
        if (local.Address.Equals(IPAddress.Any) || local.Address.Equals(IPAddress.IPv6Any))
        {
            log.Warning("other rendezvous servers on this store cannot reach this beacon: name its address with -beacon-advertise");
            return null;
        }

        return Pilot.Protocol.UdpEndpoint.FromBytes(local.Address.GetAddressBytes(), (ushort)local.Port);
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
}
