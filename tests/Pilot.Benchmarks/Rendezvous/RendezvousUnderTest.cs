using System.Diagnostics;
using System.Net;
using System.Text.Json;
using Pilot.Benchmarks.Processes;

namespace Pilot.Benchmarks.Rendezvous;

/// <summary>The rendezvous executable with its files in one directory.</summary>
internal sealed class RendezvousUnderTest : IDisposable
{
    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(60);

    /// <summary>Variables for every server of this run besides its home, for example <c>DOTNET_gcServer</c>.</summary>
    public static Dictionary<string, string> Environment { get; } = [];

    /// <summary>Another build than this one's, for example as <c>install.sh</c> publishes it; null = this one's.</summary>
    public static string? Executable { get; set; }

    private readonly ServerProcess _process;

    private RendezvousUnderTest(ServerProcess process, IPEndPoint registry, double startSeconds)
    {
        _process = process;
        Registry = registry;
        StartSeconds = startSeconds;
    }

    public int Id => _process.Id;

    public IPEndPoint Registry { get; }

    /// <summary>From the start of the process to its ready file.</summary>
    public double StartSeconds { get; }

    public string Output => _process.Output;

    public static async Task<RendezvousUnderTest> StartAsync(string directory, string store, params string[] more)
    {
        var ready = Path.Combine(directory, "ready.json");
        File.Delete(ready);
        var start = Stopwatch.GetTimestamp();
        var process = ServerProcess.Start(
            Executable ?? ServerProcess.Find("Pilot.Rendezvous", "rendezvous"),
            Path.Combine(directory, "rendezvous.log"),
            new Dictionary<string, string>(Environment) { ["HOME"] = directory },
            ["-registry-addr", "127.0.0.1:0", "-beacon-addr", "127.0.0.1:0", "-data", directory, "-ready-file", ready, "-store", store, .. more]);
        await process.WaitAsync("rendezvous does not start", StartPatience, () => Task.FromResult(File.Exists(ready))).ConfigureAwait(false);
        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        using var document = JsonDocument.Parse(await File.ReadAllBytesAsync(ready).ConfigureAwait(false));
        return new RendezvousUnderTest(process, IPEndPoint.Parse(document.RootElement.GetProperty("registry").GetString()!), seconds);
    }

    /// <summary>Ends it as a power switch would, as far as the process goes.</summary>
    public void Kill() => _process.Kill();

    public void Dispose() => _process.Dispose();
}
