using System.Globalization;
using System.Net.Sockets;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Pilot.Daemon.Commands;
using Pilot.Daemon.Configuration;
using Pilot.Daemon.Host;
using Pilot.Daemon.Ipc;
using Pilot.Daemon.Loop;
using Pilot.Daemon.Net;
using Pilot.Daemon.PortMapping;
using Pilot.Net;
using Pilot.Daemon.Registry;
using Pilot.Daemon.Services;
using Pilot.Daemon.State;
using Pilot.Daemon.Streams;
using Pilot.Daemon.Trust;
using Pilot.Engine;
using Pilot.Engine.Streams;
using Pilot.Engine.Trust;
using Pilot.Protocol;
using Pilot.Flags;

namespace Pilot.Daemon;

/// <summary>Puts a daemon together, starts it, and stops it cleanly.</summary>
internal sealed class DaemonService(DaemonSettings settings, ILoggerFactory loggers, Action requestStop) : IHostedService, IDisposable
{
    private static readonly TimeSpan CloseWait = TimeSpan.FromSeconds(2); // for FINs and their answers at a clean stop

    private readonly ILogger _logger = loggers.CreateLogger("daemon");
    private readonly CancellationTokenSource _stop = new();
    private readonly List<Task> _tasks = [];
    private StateDirectory? _state;
    private IpcSocket? _socket;
    private IpcServer? _server;
    private EngineLoop? _loop;
    private RegistrySession? _session;
    private BeaconAddresses? _beacons;
    private PortMappingService? _portMapping;

    /// <summary>The running parts; set by <see cref="StartAsync"/>.</summary>
    public DaemonContext? Context { get; private set; }

    /// <exception cref="FatalException">Cannot start; everything taken is given back.</exception>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        try
        {
            Start();
            return Task.CompletedTask;
        }
        catch
        {
            Release();
            throw;
        }
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        if (Context is { } context && _loop is { } loop && !loop.Stopped.IsCompleted)
        {
            context.IsStopping = true;
            SystemdNotifier.Send("STOPPING=1");
            _logger.LogInformation("stopping");
            await loop.AskAsync(() =>
            {
                context.Host.CloseAll();
                return true;
            }).ConfigureAwait(false);
            for (var waited = TimeSpan.Zero; waited < CloseWait; waited += TimeSpan.FromMilliseconds(20))
            {
                if (await loop.AskAsync(() => context.Host.Counters().Connections == 0).ConfigureAwait(false))
                {
                    break;
                }

                await Task.Delay(20, CancellationToken.None).ConfigureAwait(false);
            }

            await loop.AskAsync(() => context.Trust.FlushAsync()).Unwrap().ConfigureAwait(false);
        }

        await _stop.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(_tasks).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Release();
        _logger.LogInformation("stopped");
    }

    public void Dispose()
    {
        Release();
        _stop.Dispose();
    }

    private void Start()
    {
        foreach (var warning in settings.Warnings)
        {
            _logger.LogWarning("{Warning}", warning);
        }

        _state = StateDirectory.Open(settings.IdentityPath, settings.SocketPath);
        _socket = IpcSocket.Open(settings.SocketPath);
        var identity = IdentityFile.LoadOrCreate(_state.IdentityPath, out var created, out var repaired);
        if (created)
        {
            _logger.LogInformation("new identity {PublicKey} in {Path}", identity.PublicKeyText, _state.IdentityPath);
        }

        if (repaired)
        {
            _logger.LogWarning("identity file {Path} was readable by others; its mode is 0600 now", _state.IdentityPath);
        }

        var email = Email();
        var store = new TrustStore(_state);
        var book = store.Load(identity);
        book.AutoApprove = (AutoApprove)settings.AutoApprove;
        WriteInformation();

        var socket = OpenSocket();
        var node = new Node(NodeOptions(), identity, new SecureRandom(), MonotonicClock.Now, DateTimeOffset.UtcNow);
        _loop = new EngineLoop(node, socket, loggers.CreateLogger("engine"));
        var host = new NodeHost(_loop, loggers.CreateLogger("node"));
        var requests = new RegistryRequests(identity);
        var registry = new RegistryClient(
            new RegistryClientOptions { Addresses = settings.Registries, Fingerprint = settings.RegistryTls ? settings.RegistryFingerprint : null }, loggers.CreateLogger("registry"));
        var trust = new TrustHost(host, book, store, registry, requests, loggers.CreateLogger("trust"));
        var own = new OwnAddresses();
        var keeper = new SocketKeeper(settings, _state, _loop, own, loggers.CreateLogger("net"));
        var fingerprint = InterfaceFingerprint.Read();
        var addresses = keeper.Collect();
        keeper.Take(addresses);
        _session = new RegistrySession(settings, registry, requests, host, trust, own, () => host.Loop.LocalEndpoint.Port, email, loggers.CreateLogger("registry"));
        _portMapping = PortMapping(socket.LocalEndpoint, own);
        TellNode(own, host);
        var events = new EventHub();
        Connect(host, trust, events);
        Context = new DaemonContext
        {
            Settings = settings,
            Identity = identity,
            Host = host,
            Trust = trust,
            Registry = registry,
            Requests = requests,
            Session = _session,
            Events = events,
            Own = own,
            PortMapping = _portMapping,
            RequestStop = requestStop,
        };
        trust.Start();
        if (!settings.NoEcho)
        {
            new EchoService(host).Start();
        }

        host.CountSoon();
        _server = new IpcServer(_loop, _socket, new CommandHandler(Context), loggers.CreateLogger("ipc"));
        _loop.Start();
        _beacons = new BeaconAddresses(settings.Beacons, socket.LocalEndpoint, host, registry, loggers.CreateLogger("beacon"));
        host.BeaconUnreachable = _beacons.Doubt;
        _tasks.Add(Task.Run(() => _beacons.RunAsync(_stop.Token)));
        keeper.PortMapping = _portMapping;
        keeper.StartWatchdog(() => registry.IsConnected, () =>
        {
            Environment.ExitCode = SocketKeeper.ExitCode;
            requestStop();
        });
        void OnAddresses(HostAddresses now)
        {
            keeper.Changed(now);
            registry.AddressesChanged(now.All);
        }

        _tasks.Add(Task.Run(() => new NetworkWatch(keeper.Collect, OnAddresses, loggers.CreateLogger("net")).RunAsync(addresses, fingerprint, _stop.Token)));
        _tasks.Add(Task.Run(() => registry.RunAsync(_stop.Token)));
        if (_portMapping is { } portMapping)
        {
            _tasks.Add(Task.Run(() => portMapping.RunAsync(_stop.Token)));
        }

        _tasks.Add(Task.Run(() => _session.RunAsync(_stop.Token)));
        _tasks.Add(Task.Run(() => ReportReadyAsync(_session)));
        _ = WatchLoopAsync(_loop);
        _logger.LogInformation(
            "daemon {Version} started: pid {Pid}, socket {Socket}, udp {Udp}, registry {Registry}",
            DaemonVersion.Text, Environment.ProcessId, settings.SocketPath, socket.LocalEndpoint, string.Join(",", settings.Registries));
        SystemdNotifier.Send("READY=1\nSTATUS=registering");
    }

    private static void Connect(NodeHost host, TrustHost trust, EventHub events)
    {
        host.DatagramArrived = events.Datagram;
        host.PathChanged = (nodeId, path) => events.Peer(new Pilot.Ipc.PeerEvent
        {
            NodeId = nodeId,
            Path = NodeHost.PathText(path),
            Endpoint = path.Endpoint.ToString(),
            Via = host.ViaOf(path),
            RttMs = path.Rtt?.TotalMilliseconds,
        });
        host.Punching = (nodeId, step, endpoint) => events.Punch(new Pilot.Ipc.PunchEvent { NodeId = nodeId, Step = step, Endpoint = endpoint.ToString() });
        host.NatChanged = () => events.Nat(new Pilot.Ipc.NatEvent { NatType = NatWords.Type(host.Node.Nat.Type), Endpoint = host.Node.Mapping?.ToString() ?? string.Empty });
        trust.Raised = trustEvent =>
        {
            var change = trustEvent.Name switch
            {
                TrustEventNames.Pending => "pending",
                TrustEventNames.Established => "established",
                TrustEventNames.Rejected => "rejected",
                TrustEventNames.Revoked => "revoked",
                TrustEventNames.RevokedByPeer => "revoked_by_peer",
                TrustEventNames.KeyChanged => "key_changed",
                _ => null, // steps on the way to one of the above
            };
            if (change is not null)
            {
                events.Trust(new Pilot.Ipc.TrustEvent
                {
                    Change = change,
                    NodeId = trustEvent.PeerNodeId,
                    Hostname = trust.HostnameOf(trustEvent.PeerNodeId),
                    Text = trustEvent.Justification ?? trustEvent.Reason,
                });
            }
        };
    }

    /// <summary>The service that has the gateway map our port; null where the user decided the endpoint, or the socket is not on the way out.</summary>
    private PortMappingService? PortMapping(UdpEndpoint local, OwnAddresses own) =>
        settings.NoPortMapping || settings.Endpoint is not null || !(local.IsUnspecified || DefaultGateway.NeedsMapping(local))
            ? null
            : new PortMappingService(local.Port, new PortMappingOptions(), loggers.CreateLogger("nat")) { Changed = status => own.SetMapped(status.PublicEndpoint) };

    /// <summary>Peers of ours are told inside the tunnel where else they can try.</summary>
    private static void TellNode(OwnAddresses own, NodeHost host)
    {
        own.Changed += now => host.Loop.Post(() => host.Node.SetOwnEndpoints([.. now.Others, .. now.Lan]));
        var first = own.Current;
        host.Node.SetOwnEndpoints([.. first.Others, .. first.Lan]);
    }

    private string? Email()
    {
        var email = settings.Email ?? AccountFile.Load(_state!.AccountPath);
        if (settings.Email is { } given)
        {
            AccountFile.Save(_state!.AccountPath, given);
        }
        else if (email is null)
        {
            _logger.LogInformation("no e-mail set: the registry cannot give this node id back if the identity file is lost");
        }

        return email;
    }

    private void WriteInformation()
    {
        try
        {
            _state!.WriteInformation();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new FatalException($"state directory {_state!.Location} is not writable: {exception.Message}", exception);
        }
    }

    private IDatagramSocket OpenSocket()
    {
        var colon = settings.Listen.LastIndexOf(':');
        if (colon < 0 || !ushort.TryParse(settings.Listen.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var port))
        {
            throw new FatalException($"tunnel listen: invalid address \"{settings.Listen}\": host:port is needed");
        }

        var address = settings.Listen[..colon].Trim('[', ']');
        var last = port == 0 ? _state!.ReadLastPort() : 0;
        if (last != 0)
        {
            try
            {
                return DatagramSocket.Open(address, last);
            }
            catch (Exception exception) when (exception is SocketException or FormatException)
            {
                _logger.LogInformation("udp port {Port} of the last run is not free, another is taken", last);
            }
        }

        try
        {
            var socket = DatagramSocket.Open(address, port);
            if (port == 0)
            {
                _state!.WriteLastPort(socket.LocalEndpoint.Port);
            }

            return socket;
        }
        catch (Exception exception) when (exception is SocketException or FormatException)
        {
            throw new FatalException($"tunnel listen: cannot open UDP {settings.Listen}: {exception.Message}", exception);
        }
    }

    private const int BufferPartOfMemory = 4; // of the machine's or the container's memory, at most

    private NodeOptions NodeOptions()
    {
        return new NodeOptions
        {
            IsPublic = settings.Public,
            AcceptRegistryTrust = settings.AcceptRegistryTrust,
            BufferLimit = Math.Min(ChunkPool.DefaultLimit, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / BufferPartOfMemory),
            BufferMemory = MappedMemory.ForThisSystem(),
            Streams = new ConnectionOptions { TimeWait = settings.TimeWait, IdleTimeout = settings.IdleTimeout },
            SynRatePerSecond = settings.SynRateLimit,
            MaxConnectionsPerPort = settings.MaxConnectionsPerPort,
            MaxConnections = settings.MaxConnections,
        };
    }

    private async Task ReportReadyAsync(RegistrySession session)
    {
        await session.Registered.WaitAsync(_stop.Token).ConfigureAwait(false);
        _logger.LogInformation("ready: node {NodeId} address {Address} hostname {Hostname}", session.NodeId, session.Address, session.Attributes.Hostname);
        SystemdNotifier.Send($"STATUS=node {session.Address}");
    }

    private async Task WatchLoopAsync(EngineLoop loop)
    {
        await loop.Stopped.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (loop.Stopped.IsFaulted)
        {
            // Without its engine the daemon is of no use: the service manager starts a fresh one.
            Environment.ExitCode = 1;
            requestStop();
        }
    }

    private void Release()
    {
        _loop?.Stop();
        _beacons?.Dispose();
        _beacons = null;
        _server?.Close();
        _server = null;
        _socket?.Dispose();
        _socket = null;
        _loop?.Dispose();
        _loop = null;
        _session?.Dispose();
        _session = null;
        _portMapping?.Dispose();
        _portMapping = null;
        _state?.Dispose();
        _state = null;
    }
}
