using Microsoft.Extensions.Logging;
using Pilot.Daemon.Configuration;

namespace Pilot.Daemon.Tests;

/// <summary>A whole daemon in this process: own temporary home, own UDP port, no beacon.</summary>
internal sealed class TestDaemon : IAsyncDisposable
{
    private readonly DaemonService _service;
    private readonly ILoggerFactory _loggers;
    private bool _isStopped;

    private TestDaemon(DaemonSettings settings, DaemonService service, ILoggerFactory loggers)
    {
        Settings = settings;
        _service = service;
        _loggers = loggers;
    }

    public DaemonSettings Settings { get; }

    public Commands.DaemonContext Context => _service.Context!;

    public uint NodeId => Context.Session.NodeId;

    public string Address => Context.Session.Address;

    public static DaemonSettings SettingsFor(string home, string registry) => new()
    {
        Home = home,
        Registries = [registry],
        Beacons = [],
        Listen = "127.0.0.1:0",
        SocketPath = Path.Combine(home, "s"),
        IdentityPath = Path.Combine(home, "identity.json"),
        NoPortMapping = true,
    };

    public static async Task<TestDaemon> StartAsync(DaemonSettings settings, bool waitUntilReady = true)
    {
        var loggers = LoggerFactory.Create(static builder => builder.ClearProviders());
        var service = new DaemonService(settings, loggers, static () => { });
        await service.StartAsync(CancellationToken.None);
        var daemon = new TestDaemon(settings, service, loggers);
        if (waitUntilReady)
        {
            await daemon.Context.Session.Registered.WaitAsync(TimeSpan.FromSeconds(30));
        }

        return daemon;
    }

    public Task<TestClient> ConnectAsync() => TestClient.ConnectAsync(Settings.SocketPath);

    public async Task StopAsync()
    {
        if (!_isStopped)
        {
            _isStopped = true;
            await _service.StopAsync(CancellationToken.None);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _service.Dispose();
        _loggers.Dispose();
    }
}

/// <summary>A directory that is removed at the end. Short, because socket paths are limited.</summary>
internal sealed class TempDirectory : IDisposable
{
    public TempDirectory() => Location = Directory.CreateTempSubdirectory("pd").FullName;

    public string Location { get; }

    public string this[string name] => Path.Combine(Location, name);

    public void Dispose() => Directory.Delete(Location, recursive: true);
}
