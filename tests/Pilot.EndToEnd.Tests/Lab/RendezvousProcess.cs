using System.Diagnostics;
using System.Text.Json;

namespace Pilot.EndToEnd.Tests.Lab;

/// <summary>A rendezvous of our own on free ports.</summary>
/// <param name="flags">More flags.</param>
internal sealed class RendezvousProcess(params string[] flags) : IAsyncDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("pilot-rdv").FullName;
    private Process? _process;

    public string Registry { get; private set; } = "127.0.0.1:0";

    public string Beacon { get; private set; } = "127.0.0.1:0";

    public static async Task<RendezvousProcess> StartNewAsync(params string[] flags)
    {
        RendezvousProcess rendezvous = new(flags);
        await rendezvous.StartAsync();
        return rendezvous;
    }

    /// <summary>Starts, again on the same ports after <see cref="KillAsync"/>.</summary>
    public async Task StartAsync()
    {
        string ready = Path.Combine(_directory, "ready.json");
        File.Delete(ready);
        _process = Programs.Start(
            Programs.Rendezvous,
            [
                "-registry-addr", Registry, "-beacon-addr", Beacon, "-ready-file", ready, "-data", _directory, "-log-level", "warn",
                "-limit-registrations", "0", "-limit-queries", "0", "-limit-resolves", "0", .. flags,
            ],
            new Dictionary<string, string?> { ["HOME"] = _directory });
        _process.OutputDataReceived += static (_, _) => { };
        _process.ErrorDataReceived += static (_, _) => { };
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
        await Wait.UntilAsync("rendezvous ready", () => File.Exists(ready) || _process.HasExited);
        Assert.False(_process.HasExited, "the rendezvous ended at once");
        using JsonDocument addresses = JsonDocument.Parse(await File.ReadAllTextAsync(ready));
        Registry = addresses.RootElement.GetProperty("registry").GetString()!;
        Beacon = addresses.RootElement.GetProperty("beacon").GetString()!;
    }

    public async Task KillAsync()
    {
        Programs.Kill(_process!.Id);
        await _process.WaitForExitAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is { HasExited: false })
        {
            await KillAsync();
        }

        _process?.Dispose();
        Directory.Delete(_directory, recursive: true);
    }
}
