using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Pilot.Benchmarks.Processes;
using Pilot.Client;

namespace Pilot.Benchmarks.EndToEnd;

/// <summary>A rendezvous and two daemons that trust each other, all real processes, in a temporary directory; perhaps with a link between the daemons.</summary>
internal sealed class BenchmarkNetwork : IAsyncDisposable
{
    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan TrustPatience = TimeSpan.FromSeconds(60);

    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("pilot-bench-");
    private readonly List<IDisposable> _processes = [];
    private BenchmarkDaemon? _a;
    private BenchmarkDaemon? _b;

    private BenchmarkNetwork()
    {
    }

    public BenchmarkDaemon A => _a!;

    public BenchmarkDaemon B => _b!;

    /// <summary>The link between the daemons; null when they talk directly.</summary>
    public RoleProcess? Link { get; private set; }

    /// <summary>Starts everything.</summary>
    /// <param name="withLink">Puts a user-space link between the daemons: they know each other only by its addresses.</param>
    public static async Task<BenchmarkNetwork> StartAsync(bool withLink = false)
    {
        var network = new BenchmarkNetwork();
        try
        {
            var registry = await network.StartRendezvousAsync().ConfigureAwait(false);
            if (withLink)
            {
                await network.StartLinkedAsync(registry).ConfigureAwait(false);
            }
            else
            {
                network._a = await BenchmarkDaemon.StartAsync(network._directory.FullName, "bench-a", registry.Registry, "-beacon", registry.Beacon).ConfigureAwait(false);
                network._b = await BenchmarkDaemon.StartAsync(network._directory.FullName, "bench-b", registry.Registry, "-beacon", registry.Beacon).ConfigureAwait(false);
            }

            await network.EstablishTrustAsync().ConfigureAwait(false);
            return network;
        }
        catch
        {
            await network.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Starts an application process at a daemon.</summary>
    public static AppProcess StartApp(BenchmarkDaemon daemon) => AppProcess.Start(daemon.SocketPath);

    public async ValueTask DisposeAsync()
    {
        foreach (var daemon in new[] { _a, _b })
        {
            if (daemon is not null)
            {
                await daemon.DisposeAsync().ConfigureAwait(false);
            }
        }

        _processes.Reverse();
        _processes.ForEach(p => p.Dispose());
        _directory.Delete(recursive: true);
    }

    private async Task<(string Registry, string Beacon)> StartRendezvousAsync()
    {
        var ready = Path.Combine(_directory.FullName, "ready.json");
        var process = ServerProcess.Start(
            ServerProcess.Find("Pilot.Rendezvous", "rendezvous"),
            Path.Combine(_directory.FullName, "rendezvous.log"),
            new Dictionary<string, string> { ["HOME"] = _directory.FullName },
            "-registry-addr", "127.0.0.1:0", "-beacon-addr", "127.0.0.1:0", "-data", _directory.FullName, "-ready-file", ready);
        _processes.Add(process);
        await process.WaitAsync("rendezvous does not start", StartPatience, () => Task.FromResult(File.Exists(ready))).ConfigureAwait(false);
        using var document = JsonDocument.Parse(await File.ReadAllBytesAsync(ready).ConfigureAwait(false));
        return (document.RootElement.GetProperty("registry").GetString()!, document.RootElement.GetProperty("beacon").GetString()!);
    }

    private async Task StartLinkedAsync((string Registry, string Beacon) registry)
    {
        // Each daemon registers the address of the link that leads to it; without a beacon nobody learns another way.
        var (a, b) = (FreePort(), FreePort());
        Link = RoleProcess.Start("udp-link", $"127.0.0.1:{a}", $"127.0.0.1:{b}");
        _processes.Add(Link);
        var words = (await Link.ReadLineAsync(StartPatience).ConfigureAwait(false)).Split(' ');
        _a = await BenchmarkDaemon.StartAsync(
            _directory.FullName, "bench-a", registry.Registry, "-beacon", "", "-listen", $"127.0.0.1:{a}", "-endpoint", $"127.0.0.1:{words[3]}").ConfigureAwait(false);
        _b = await BenchmarkDaemon.StartAsync(
            _directory.FullName, "bench-b", registry.Registry, "-beacon", "", "-listen", $"127.0.0.1:{b}", "-endpoint", $"127.0.0.1:{words[1]}").ConfigureAwait(false);
    }

    private async Task EstablishTrustAsync()
    {
        await A.Client.HandshakeAsync(B.Address, "benchmark").ConfigureAwait(false);
        var deadline = DateTime.UtcNow + TrustPatience;
        var isApproved = false;
        while (true)
        {
            if (!isApproved && (await B.Client.GetPendingAsync().ConfigureAwait(false)).Pending.Any(p => p.NodeId == A.NodeId))
            {
                await B.Client.ApproveAsync(A.Address).ConfigureAwait(false);
                isApproved = true;
            }

            if (await TrustsAsync(A, B).ConfigureAwait(false) && await TrustsAsync(B, A).ConfigureAwait(false))
            {
                return;
            }

            if (DateTime.UtcNow > deadline)
            {
                throw new BenchmarkException("the two daemons did not come to trust each other");
            }

            await Task.Delay(100).ConfigureAwait(false);
        }
    }

    private static async Task<bool> TrustsAsync(BenchmarkDaemon daemon, BenchmarkDaemon other) =>
        (await daemon.Client.GetTrustedAsync().ConfigureAwait(false)).Trusted.Any(t => t.NodeId == other.NodeId);

    private static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }
}
