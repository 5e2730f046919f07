using Pilot.Benchmarks.Processes;
using Pilot.Client;
using Pilot.Ipc;
using Pilot.Protocol;

namespace Pilot.Benchmarks.EndToEnd;

/// <summary>A real daemon with a state directory and socket of its own.</summary>
internal sealed class BenchmarkDaemon : IAsyncDisposable
{
    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(30);

    private readonly ServerProcess _process;

    private BenchmarkDaemon(ServerProcess process, string name, string socketPath)
    {
        _process = process;
        Name = name;
        SocketPath = socketPath;
        Client = new PilotClient(new PilotClientOptions { SocketPath = socketPath });
    }

    /// <summary>Its hostname.</summary>
    public string Name { get; }

    /// <summary>Its address as text. Dials and pings go by it: a name is asked for at the registry each time.</summary>
    public string Address => PilotAddress.OfNode(NodeId).ToString();

    public string SocketPath { get; }

    public PilotClient Client { get; }

    public int Pid => _process.Id;

    public uint NodeId { get; private set; }

    /// <summary>Starts it and waits until it is registered.</summary>
    public static Task<BenchmarkDaemon> StartAsync(string directory, string name, string registry, params string[] more) =>
        StartByAsync([], directory, name, registry, more);

    /// <summary>Starts it by a command that becomes it (<c>ip netns exec NAME</c>).</summary>
    public static async Task<BenchmarkDaemon> StartByAsync(string[] launcher, string directory, string name, string registry, params string[] more)
    {
        var home = Path.Combine(directory, name);
        Directory.CreateDirectory(home);
        var socketPath = Path.Combine(home, "s");
        string[] arguments = ["-home", home, "-socket", socketPath, "-registry", registry, "-hostname", name, "-log-file", Path.Combine(home, "pilot.log"), .. more];
        string[] command = [.. launcher, ServerProcess.Find("Pilot.Daemon", "pilot-daemon"), .. arguments];
        var process = ServerProcess.Start(command[0], Path.Combine(home, "output"), new Dictionary<string, string> { ["PILOT_HOME"] = home }, command[1..]);
        var daemon = new BenchmarkDaemon(process, name, socketPath);
        try
        {
            await process.WaitAsync($"{name} does not register", StartPatience, daemon.IsReadyAsync).ConfigureAwait(false);
        }
        catch
        {
            await daemon.DisposeAsync().ConfigureAwait(false);
            throw;
        }

        return daemon;
    }

    public async ValueTask DisposeAsync()
    {
        await Client.DisposeAsync().ConfigureAwait(false);
        _process.Dispose();
    }

    private async Task<bool> IsReadyAsync()
    {
        if (!File.Exists(SocketPath))
        {
            return false;
        }

        try
        {
            var status = await Client.GetStatusAsync().ConfigureAwait(false);
            NodeId = status.NodeId;
            return status.State == DaemonState.Ready;
        }
        catch (PilotException exception) when (exception is PilotNotRunningException || exception.IsTransient)
        {
            return false; // the socket file is there a moment before it listens
        }
    }
}
