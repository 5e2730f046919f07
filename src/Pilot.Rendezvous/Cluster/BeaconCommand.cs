using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Pilot.Flags;
using Pilot.Protocol;
using Pilot.Rendezvous.Beacon;
using Pilot.Rendezvous.Server;
using Pilot.Rendezvous.Startup;
using Serilog.Extensions.Logging;

namespace Pilot.Rendezvous.Cluster;

/// <summary><c>rendezvous beacon</c>: a beacon that runs apart from the registry (spec 04 sections 1.1 and 4.3).</summary>
internal sealed class BeaconCommand
{
    private static readonly FlagSet All = new("rendezvous-beacon", emptyCounts: true);
    private static readonly Flag<string> Address = All.Text("addr", "ADDR", "UDP address; port 0 = any", ":9001");
    private static readonly Flag<int> Id = All.Number("beacon-id", "number in a cluster; 0 = stand-alone, never registered", 0);
    private static readonly Flag<string> Peers = All.Text("peers", "ADDRS", "other beacons, host:port, comma-separated; the registry's list replaces them");
    private static readonly Flag<string> Registry = All.Text("registry", "ADDR", "registry, host:port: keys of nodes, and with -beacon-id the other beacons");
    private static readonly Flag<string> Health = All.Text("health", "ADDR", "HTTP address of /healthz and /metrics; empty = off");
    private static readonly Flag<string> SecondAddress = All.Text("second-addr", "ADDR", "another address of this host, IP or IP:PORT: with it nodes can tell all kinds of NAT apart");
    private static readonly Flag<string> Advertise = All.Text("advertise", "ADDR", "IP:PORT at which others reach this beacon (default: the bound one)");
    private static readonly Flag<string> KeyFile = All.Text("key-file", "FILE", "shared secret of all beacons of the cluster; without it they know each other by address");
    private static readonly Flag<int> RelayBytes = All.Number("limit-relay-bytes", "relayed bytes per second and sender", new BeaconOptions().RelayBytesPerSecond);
    private static readonly Flag<int> Requests = All.Number("limit-requests", "DISCOVER and PUNCH_REQUEST per second and address", new BeaconOptions().RequestsPerSecond);
    private static readonly Flag<string> Ready = All.Text("ready-file", "FILE", "written as JSON with the bound addresses when all sockets are open");
    private static readonly Flag<string> Config = All.Text("config", "FILE", "JSON file with the same names; flags win");
    private static readonly Flag<string> LogLevel = All.Text("log-level", "LEVEL", "debug, info, warn or error", "info");
    private static readonly Flag<string> LogFormat = All.Text("log-format", "FORMAT", "text or json", "text");
    private static readonly TimeSpan Drain = TimeSpan.FromSeconds(2);

    public static string Usage => All.Usage;

    /// <summary>Whether the command line asks for a beacon.</summary>
    public static bool IsAsked(string[] args) => args.Length > 0 && args[0] == "beacon";

    /// <summary>Runs until SIGTERM or SIGINT; returns the exit code.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        FlagValues line = All.Read(args);
        if (line.IsHelpWanted)
        {
            await Console.Error.WriteAsync(Usage);
            return 0;
        }

        if (line.Error is { } error)
        {
            await Console.Error.WriteAsync($"{error}\n{Usage}");
            return 2;
        }

        try
        {
            FlagValues file = line.Get(Config).Length > 0 ? All.Read(FlagFile.Read(line.Get(Config)), line.Get(Config)) : All.Read([]);
            return await RunAsync(new Values(line, file));
        }
        catch (Exception e) when (e is StartException or FlagException or IOException or UnauthorizedAccessException or SocketException)
        {
            await Console.Error.WriteLineAsync($"rendezvous beacon: cannot start: {e.Message}");
            return 1;
        }
    }

    private static async Task<int> RunAsync(Values values)
    {
        using Serilog.Core.Logger log = ServerLog.Create(new Serilog.Core.LoggingLevelSwitch(LogLevels.Parse(values.Get(LogLevel))), values.Get(LogFormat));
        using var loggers = new SerilogLoggerFactory(log);
        ILogger logger = loggers.CreateLogger("beacon");
        int id = values.Get(Id);
        if (id < 0)
        {
            throw new StartException($"-beacon-id {id}: must not be negative");
        }

        (string Host, int Port)? registry = values.Get(Registry) is { Length: > 0 } text ? HostAndPort(text) : null;
        UdpEndpoint? advertised = values.Get(Advertise) is { Length: > 0 } own
            ? UdpEndpoint.TryParse(own, out UdpEndpoint parsed) ? parsed : throw new StartException($"-advertise {own}: must be IP:PORT")
            : null;
        var clock = new SteadyClock();
        KeyDirectory? directory = registry is { } known ? new KeyDirectory(known.Host, known.Port, logger) : null;
        var options = new BeaconOptions
        {
            BeaconId = (uint)id,
            Key = BeaconStart.ReadKey(values.Get(KeyFile)),
            RelayBytesPerSecond = values.Get(RelayBytes),
            RequestsPerSecond = values.Get(Requests),
        };
        var machine = new BeaconMachine(options, directory, clock.Now);
        using var socket = new BeaconSocket(ListenAddress.Parse("addr", values.Get(Address)), BeaconStart.SecondAddress(values.Get(SecondAddress)), machine, clock, logger);
        socket.SetPeers(await BeaconStart.ResolveAsync(values.Get(Peers), logger));
        await using BeaconHealth? health = values.Get(Health) is { Length: > 0 } web ? await BeaconHealth.StartAsync(ListenAddress.Parse("health", web), socket, machine) : null;
        using var stop = new CancellationTokenSource();
        using var stopped = new SemaphoreSlim(0);
        void OnSignal(PosixSignalContext context)
        {
            context.Cancel = true;
            stopped.Release();
        }

        using PosixSignalRegistration term = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
        socket.Start();
        var tasks = new List<Task>();
        if (directory is not null)
        {
            tasks.Add(directory.RunAsync(stop.Token));
        }

        if (registry is { } at && id != 0)
        {
            tasks.Add(new ClusterMembership((uint)id, at.Host, at.Port, socket.LocalEndPoint, advertised, socket.SetPeers, logger).RunAsync(stop.Token));
        }

        if (values.Get(Ready) is { Length: > 0 } ready)
        {
            ReadyFile.Write(ready, null, socket.LocalEndPoint, health?.EndPoint, null);
        }

        log.ForContext("Addr", socket.LocalEndPoint).ForContext("Id", id).Information("beacon running");
        await stopped.WaitAsync();
        // Balancers and peers are told first; what is under way is relayed for a moment longer.
        health?.IsServing = false;
        socket.Leave();
        log.Information("beacon stops");
        await Task.Delay(Drain);
        await stop.CancelAsync();
        await Task.WhenAll(tasks);
        return 0;
    }

    private static (string Host, int Port) HostAndPort(string text)
    {
        int colon = text.LastIndexOf(':');
        return colon > 0 && ushort.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out ushort port)
            ? (text[..colon].Trim('[', ']'), port)
            : throw new StartException($"-registry {text}: must be host:port");
    }

    private sealed class Values(FlagValues line, FlagValues file)
    {
        public T Get<T>(Flag<T> flag) => line.Has(flag) || !file.Has(flag) ? line.Get(flag) : file.Get(flag);
    }
}
