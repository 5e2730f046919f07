using System.Diagnostics;
using Pilot.EndToEnd.Tests.Lab;

namespace Pilot.EndToEnd.Tests;

/// <summary>Servers that are started with standard descriptors closed: they work, and what they open does not get those numbers.</summary>
public sealed class ClosedDescriptorTests
{
    [Theory]
    [InlineData("2>&-", new[] { 2 })]
    [InlineData("<&- >&- 2>&-", new[] { 0, 1, 2 })]
    [InlineData("<&- 2>/dev/null", new[] { 0 })]
    [InlineData(">&-", new[] { 1 })]
    public async Task Both_servers_start_work_and_stop(string redirection, int[] closed)
    {
        Assert.SkipUnless(Directory.Exists("/proc/self/fd"), "this system does not list the descriptors of a process");
        string directory = Directory.CreateTempSubdirectory("pilot-fd").FullName;
        string ready = Path.Combine(directory, "ready.json");
        Dictionary<string, string?> environment = new() { ["HOME"] = directory, ["PILOT_SOCKET"] = Path.Combine(directory, "s") };
        Process? rendezvous = null;
        Process? daemon = null;
        try
        {
            rendezvous = Shell($"{Programs.Rendezvous} -registry-addr 127.0.0.1:0 -beacon-addr 127.0.0.1:0 -http '' -store '' -ready-file '{ready}'", redirection, environment);
            await Wait.UntilAsync("rendezvous ready", () => File.Exists(ready) || rendezvous.HasExited);
            Assert.False(rendezvous.HasExited, "the rendezvous ended at once");
            using var addresses = System.Text.Json.JsonDocument.Parse(await File.ReadAllTextAsync(ready, TestContext.Current.CancellationToken));
            string registry = addresses.RootElement.GetProperty("registry").GetString()!;
            daemon = Shell($"{Programs.Daemon} -registry {registry} -beacon '' -listen 127.0.0.1:0 -hostname 'agent-fd'", redirection, environment);
            await Wait.UntilAsync(
                "daemon ready",
                async () => daemon.HasExited
                    || (await Programs.RunAsync(Programs.Pilotctl, ["--json", "daemon", "status"], environment)).Stdout.Contains("\"state\":\"ready\"", StringComparison.Ordinal));
            Assert.False(daemon.HasExited, "the daemon ended at once");
            Outcome status = await Programs.RunAsync(Programs.Pilotctl, ["--json", "daemon", "status"], environment);
            Assert.Equal(("agent-fd", daemon.Id), (status.Data.GetProperty("hostname").GetString(), status.Data.GetProperty("pid").GetInt32()));
            foreach (Process server in new[] { rendezvous, daemon })
            {
                Assert.All(closed, descriptor => Assert.Equal("/dev/null", File.ResolveLinkTarget($"/proc/{server.Id}/fd/{descriptor}", returnFinalTarget: false)!.FullName));
                Outcome signal = await Programs.RunAsync("/bin/kill", ["-TERM", $"{server.Id}"], environment);
                Assert.Equal(0, signal.Exit);
                await server.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
                Assert.Equal(0, server.ExitCode);
            }
        }
        finally
        {
            foreach (Process? server in new[] { rendezvous, daemon })
            {
                if (server is { HasExited: false })
                {
                    server.Kill();
                }

                server?.Dispose();
            }

            Directory.Delete(directory, recursive: true);
        }
    }

    private static Process Shell(string command, string redirection, Dictionary<string, string?> environment)
    {
        Process process = Programs.Start("/bin/sh", ["-c", $"exec {command} {redirection}"], environment);
        process.OutputDataReceived += static (_, _) => { };
        process.ErrorDataReceived += static (_, _) => { };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return process;
    }
}
