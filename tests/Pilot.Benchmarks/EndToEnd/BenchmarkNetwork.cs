using System.Net;
using System.Net.Sockets;
using Pilot.Benchmarks.Processes;

namespace Pilot.Benchmarks.EndToEnd;

/// <summary>A rendezvous and two daemons that trust each other, all real processes, in a temporary directory; perhaps with a link between the daemons.</summary>
internal sealed class BenchmarkNetwork : IAsyncDisposable
{
    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(30);

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
            var registry = await BenchmarkRendezvous.StartAsync([], network._directory.FullName, "127.0.0.1").ConfigureAwait(false);
            network._processes.Add(registry);
            if (withLink)
            {
                await network.StartLinkedAsync(registry).ConfigureAwait(false);
            }
            else
            {
                network._a = await BenchmarkDaemon.StartAsync(network._directory.FullName, "bench-a", registry.Registry, "-beacon", registry.Beacon).ConfigureAwait(false);
                network._b = await BenchmarkDaemon.StartAsync(network._directory.FullName, "bench-b", registry.Registry, "-beacon", registry.Beacon).ConfigureAwait(false);
            }

            await BenchmarkTrust.EstablishAsync(network.A, network.B).ConfigureAwait(false);
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

    private async Task StartLinkedAsync(BenchmarkRendezvous registry)
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

    private static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }
}
