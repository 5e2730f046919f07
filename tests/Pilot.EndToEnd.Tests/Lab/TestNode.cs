using System.Text;
using Pilot.Client;

namespace Pilot.EndToEnd.Tests.Lab;

/// <summary>One machine of the lab: a home directory, a socket and, while started, a daemon, all driven through pilotctl.</summary>
internal sealed class TestNode : IAsyncDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("pilot-node").FullName;
    private readonly Dictionary<string, string?> _environment;
    private int _ownPorts;

    public TestNode(string registry, string beacon, string? hostname = null)
    {
        Hostname = hostname ?? string.Empty;
        Home = Path.Combine(_directory, ".pilot");
        SocketPath = Path.Combine(_directory, "pilot.sock");
        _environment = new()
        {
            ["HOME"] = _directory,
            ["PILOT_SOCKET"] = SocketPath,
            ["PILOT_REGISTRY"] = registry,
            ["PILOT_BEACON"] = beacon,
        };
    }

    public string Hostname { get; }

    public string Home { get; }

    public string SocketPath { get; }

    public string Address { get; private set; } = string.Empty;

    public uint NodeId { get; private set; }

    public int Pid { get; private set; }

    public IReadOnlyDictionary<string, string?> Variables => _environment;

    /// <summary><c>pilotctl daemon start</c>, as a person would type it.</summary>
    public async Task<Outcome> StartAsync(params string[] more)
    {
        string[] name = Hostname.Length > 0 ? ["--hostname", Hostname] : [];
        Outcome human = await CtlAsync(["daemon", "start", "--listen", "127.0.0.1:0", .. name, .. more]);
        Assert.True(human.Exit == 0, human.Everything);
        Outcome status = await JsonAsync("daemon", "status");
        Address = status.Data.GetProperty("address").GetString()!;
        NodeId = status.Data.GetProperty("node_id").GetUInt32();
        Pid = status.Data.GetProperty("pid").GetInt32();
        _ownPorts = (await JsonAsync("info")).Data.GetProperty("ports").GetInt32();
        return human;
    }

    public Task<Outcome> CtlAsync(params string[] arguments) => Programs.RunAsync(Programs.Pilotctl, arguments, _environment);

    public Task<Outcome> CtlAsync(Stream input, params string[] arguments) => Programs.RunAsync(Programs.Pilotctl, arguments, _environment, input);

    public Task<Outcome> JsonAsync(params string[] arguments) => CtlAsync(["--json", .. arguments]);

    public PilotClient NewClient() => new(new PilotClientOptions { SocketPath = SocketPath });

    /// <summary>Runs <c>recv</c> or <c>listen</c> in the background; returns once its port is bound.</summary>
    public async Task<Task<Outcome>> BackgroundAsync(params string[] arguments)
    {
        await using PilotClient client = NewClient();
        await Wait.UntilAsync("ports of earlier commands free", async () => (await client.GetInfoAsync()).Ports == _ownPorts);
        Task<Outcome> running = CtlAsync(arguments);
        await Wait.UntilAsync(
            "port bound by " + string.Join(' ', arguments),
            async () => (await client.GetInfoAsync()).Ports > _ownPorts
                || (running.IsCompleted ? throw new InvalidOperationException((await running).Everything) : false));
        return running;
    }

    public async Task KillAsync()
    {
        Programs.Kill(Pid);
        await Wait.UntilAsync("daemon dead", () => !Programs.IsAlive(Pid));
    }

    public async Task WaitForTrustAsync(TestNode peer) => await Wait.UntilAsync(
        $"{Hostname} trusts {peer.Hostname}",
        async () => (await JsonAsync("trust")).Data.GetProperty("trusted").EnumerateArray().Any(t => t.GetProperty("node_id").GetUInt32() == peer.NodeId));

    public async ValueTask DisposeAsync()
    {
        Outcome stopped = await CtlAsync("daemon", "stop");
        if (stopped.Exit != 0 && Pid != 0 && Programs.IsAlive(Pid))
        {
            Programs.Kill(Pid);
        }

        if (TestContext.Current.TestState?.Result == TestResult.Failed && Directory.Exists(Home))
        {
            foreach (string file in Directory.GetFiles(Home, "*.log"))
            {
                string log = await File.ReadAllTextAsync(file);
                TestContext.Current.TestOutputHelper?.WriteLine($"--- {Hostname} {Path.GetFileName(file)}\n{log[Math.Max(0, log.Length - 6000)..]}");
            }
        }

        Directory.Delete(_directory, recursive: true);
    }

    public static Stream Text(string text) => new MemoryStream(Encoding.UTF8.GetBytes(text));
}
