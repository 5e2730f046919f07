using System.Diagnostics;
using Pilot.EndToEnd.Tests.Lab;

namespace Pilot.EndToEnd.Tests.Nat.Lab;

/// <summary>The rendezvous program on the lab's server; again on the same addresses after <see cref="KillAsync"/>.</summary>
internal sealed class LabRendezvous : IAsyncDisposable
{
    public const string Registry = "203.0.113.1:9000";
    public const string Beacon = "203.0.113.1:9001";
    private readonly string _directory = Directory.CreateTempSubdirectory("pilot-natrdv").FullName;
    private readonly NatLab _lab;
    private readonly string[] _flags;
    private Process? _process;

    private LabRendezvous(NatLab lab, string[] flags) => (_lab, _flags) = (lab, flags);

    public static async Task<LabRendezvous> StartAsync(NatLab lab, params string[] flags)
    {
        LabRendezvous rendezvous = lab.Keep(new LabRendezvous(lab, flags));
        await rendezvous.StartAsync();
        return rendezvous;
    }

    public async Task StartAsync()
    {
        string ready = Path.Combine(_directory, "ready.json");
        File.Delete(ready);
        string[] command =
        [
            .. _lab.Server.Machine.Enter, Programs.Rendezvous, "-registry-addr", "0.0.0.0:9000", "-beacon-addr", Beacon, "-beacon-second-addr", "203.0.113.2", "-ready-file", ready,
            "-data", _directory, "-log-level", "warn", "-limit-registrations", "0", "-limit-queries", "0", "-limit-resolves", "0", .. _flags,
        ];
        _process = Programs.Start(command[0], command[1..], new Dictionary<string, string?> { ["HOME"] = _directory });
        Output errors = new(_process);
        await Wait.UntilAsync("rendezvous ready", () => File.Exists(ready) || _process.HasExited);
        Assert.False(_process.HasExited, "the rendezvous ended at once: " + errors.Text);
    }

    public async Task KillAsync()
    {
        Programs.Kill(_process!.Id);
        await _process.WaitForExitAsync();
        _process.Dispose();
        _process = null;
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is not null)
        {
            await KillAsync();
        }

        Directory.Delete(_directory, recursive: true);
    }
}
