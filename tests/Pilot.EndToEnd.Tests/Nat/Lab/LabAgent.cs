using System.Diagnostics;
using System.Net;
using System.Security.Cryptography;
using Pilot.Client;
using Pilot.EndToEnd.Tests.Lab;
using Pilot.Ipc;

namespace Pilot.EndToEnd.Tests.Nat.Lab;

/// <summary>A daemon on a machine of the lab, and its client (Unix sockets cross network namespaces).</summary>
internal sealed class LabAgent : IAsyncDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);
    private readonly string _directory = Directory.CreateTempSubdirectory("pilot-natnode").FullName;
    private readonly string[] _flags;
    private Process? _process;

    private LabAgent(Site site, string[] flags)
    {
        (Site, _flags) = (site, flags);
        SocketPath = Path.Combine(_directory, "pilot.sock");
        Client = new PilotClient(new PilotClientOptions { SocketPath = SocketPath });
    }

    public Site Site { get; }

    public string Name => Site.Name;

    public string SocketPath { get; }

    public PilotClient Client { get; }

    public uint NodeId { get; private set; }

    public string Address { get; private set; } = string.Empty;

    private string Home => Path.Combine(_directory, ".pilot");

    /// <summary>Starts a daemon that trusts whoever asks; others set more flags.</summary>
    public static async Task<LabAgent> StartAsync(NatLab lab, Site site, params string[] flags)
    {
        LabAgent agent = lab.Keep(new LabAgent(site, flags));
        await agent.StartAsync();
        return agent;
    }

    public async Task StartAsync()
    {
        string[] command =
        [
            .. Site.Machine.Enter, Programs.Daemon, "-home", Home, "-socket", SocketPath, "-registry", LabRendezvous.Registry, "-beacon", LabRendezvous.Beacon,
            "-listen", ":0", "-hostname", Name, "-trust-auto-approve", "all", "-log-console=false", .. _flags,
        ];
        _process = Programs.Start(command[0], command[1..], new Dictionary<string, string?> { ["HOME"] = _directory });
        Output output = new(_process);
        await Wait.UntilAsync($"{Name} registered", async () =>
        {
            Assert.False(_process.HasExited, $"{Name} ended: {output.Text}");
            try
            {
                InfoData info = await Client.GetInfoAsync();
                (NodeId, Address) = (info.NodeId, info.Address);
                return info.RegistryConnected && info.NodeId != 0;
            }
            catch (PilotException e) when (e.Code is PilotErrorCode.NotRunning or PilotErrorCode.ConnectionLost)
            {
                return false; // its socket is not there yet
            }
        });
    }

    public async Task KillAsync()
    {
        Programs.Kill(_process!.Id);
        await _process.WaitForExitAsync();
        _process.Dispose();
        _process = null;
    }

    /// <summary>Runs <c>pilotctl</c> for this daemon.</summary>
    public Task<Outcome> CtlAsync(params string[] arguments) => Programs.RunAsync(
        Programs.Pilotctl, arguments, new Dictionary<string, string?> { ["HOME"] = _directory, ["PILOT_SOCKET"] = SocketPath });

    /// <summary>Asks for trust, which the other side grants by itself, and waits until both have it.</summary>
    public async Task TrustAsync(LabAgent peer)
    {
        await Client.HandshakeAsync(peer.Name);
        await UntilTrustAsync(peer);
    }

    public async Task UntilTrustAsync(LabAgent peer)
    {
        await Wait.UntilAsync(
            $"{Name} and {peer.Name} trust each other", async () => await TrustsAsync(peer, this) & await TrustsAsync(this, peer)); // who is asked polls the registry
    }

    /// <summary>This node's view of a peer.</summary>
    public async Task<PeerData?> PeerAsync(LabAgent peer) => (await Client.GetPeersAsync()).Peers.FirstOrDefault(p => p.NodeId == peer.NodeId);

    public async Task<string> PathToAsync(LabAgent peer) => (await PeerAsync(peer))?.Path ?? PathName.None;

    /// <summary>One echo of <paramref name="bytes"/> bytes through the peer's port 7; how long it took, and by which path the stream was opened.</summary>
    public async Task<(TimeSpan Time, string Path)> EchoAsync(LabAgent peer, int bytes = 1000)
    {
        long started = Stopwatch.GetTimestamp();
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(Limit);
        await using PilotStream stream = await Client.DialAsync(peer.Address, 7, Limit, cancellationToken: limit.Token);
        byte[] sent = RandomNumberGenerator.GetBytes(bytes);
        await stream.WriteAsync(sent, limit.Token);
        byte[] received = new byte[bytes];
        await stream.ReadExactlyAsync(received, limit.Token);
        Assert.Equal(sent, received);
        return (Stopwatch.GetElapsedTime(started), stream.Path);
    }

    public async ValueTask DisposeAsync()
    {
        await Client.DisposeAsync();
        if (_process is not null)
        {
            await KillAsync();
        }

        if (TestContext.Current.TestState?.Result == TestResult.Failed && Directory.Exists(Home))
        {
            foreach (string file in Directory.GetFiles(Home, "*.log"))
            {
                string log = await File.ReadAllTextAsync(file);
                TestContext.Current.TestOutputHelper?.WriteLine($"--- {Name} {Path.GetFileName(file)}\n{log[Math.Max(0, log.Length - 4000)..]}");
            }
        }

        Directory.Delete(_directory, recursive: true);
    }

    private static async Task<bool> TrustsAsync(LabAgent one, LabAgent other) =>
        (await one.Client.GetTrustedAsync()).Trusted.Any(t => t.NodeId == other.NodeId);
}
