using System.Text.Json;
using Pilot.Benchmarks.Processes;

namespace Pilot.Benchmarks.EndToEnd;

/// <summary>A real rendezvous.</summary>
internal sealed class BenchmarkRendezvous : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly ServerProcess _process;

    private BenchmarkRendezvous(ServerProcess process) => _process = process;

    /// <summary>Where the registry listens, IP:PORT.</summary>
    public string Registry { get; private set; } = string.Empty;

    /// <summary>Where the beacon listens.</summary>
    public string Beacon { get; private set; } = string.Empty;

    /// <summary>Starts it and waits until it listens.</summary>
    /// <param name="launcher">A command that becomes it (<c>ip netns exec NAME</c>), or nothing.</param>
    /// <param name="directory">For its files.</param>
    /// <param name="address">IP to listen on.</param>
    public static async Task<BenchmarkRendezvous> StartAsync(string[] launcher, string directory, string address)
    {
        var ready = Path.Combine(directory, "ready.json");
        string[] command =
        [
            .. launcher, ServerProcess.Find("Pilot.Rendezvous", "rendezvous"),
            "-registry-addr", $"{address}:0", "-beacon-addr", $"{address}:0", "-data", directory, "-ready-file", ready,
        ];
        var process = ServerProcess.Start(command[0], Path.Combine(directory, "rendezvous.log"), new Dictionary<string, string> { ["HOME"] = directory }, command[1..]);
        var rendezvous = new BenchmarkRendezvous(process);
        try
        {
            await process.WaitAsync("rendezvous does not start", Patience, () => Task.FromResult(File.Exists(ready))).ConfigureAwait(false);
            using var document = JsonDocument.Parse(await File.ReadAllBytesAsync(ready).ConfigureAwait(false));
            rendezvous.Registry = document.RootElement.GetProperty("registry").GetString()!;
            rendezvous.Beacon = document.RootElement.GetProperty("beacon").GetString()!;
            return rendezvous;
        }
        catch
        {
            rendezvous.Dispose();
            throw;
        }
    }

    public void Dispose() => _process.Dispose();
}
