using System.Diagnostics;
using Pilot.Benchmarks.Processes;

namespace Pilot.Benchmarks.EndToEnd;

/// <summary>Memory of an idle daemon and the start-up of the command line tool.</summary>
internal static class FootprintScenario
{
    private static readonly TimeSpan Settle = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Rest = TimeSpan.FromSeconds(20);

    /// <summary>To be called before any traffic but the trust handshake.</summary>
    public static async Task MeasureMemoryAsync(BenchmarkNetwork network, BenchmarkReport report)
    {
        await Task.Delay(Settle).ConfigureAwait(false);
        foreach (var daemon in new[] { network.A, network.B })
        {
            var (resident, own) = ProcessUsage.Memory(daemon.Pid);
            report.Add("idle_rss_mib", "idle daemon, resident", "MiB", resident);
            report.Add("idle_private_mib", "idle daemon, resident and not shared", "MiB", own);
        }
    }

    /// <summary>The same when all transfers have been over for a while.</summary>
    public static async Task MeasureMemoryAfterAsync(BenchmarkNetwork network, BenchmarkReport report)
    {
        await Task.Delay(Rest).ConfigureAwait(false);
        foreach (var daemon in new[] { network.A, network.B })
        {
            var (resident, own) = ProcessUsage.Memory(daemon.Pid);
            report.Add("after_rss_mib", "daemon 20 s after the transfers, resident", "MiB", resident);
            report.Add("after_private_mib", "daemon 20 s after the transfers, not shared", "MiB", own);
        }
    }

    /// <summary>Wall time of <c>pilotctl --json info</c>.</summary>
    public static async Task MeasureStartUpAsync(BenchmarkNetwork network, BenchmarkReport report, int count)
    {
        var executable = ServerProcess.Find("Pilot.Cli", "pilotctl");
        for (var i = 0; i <= count; i++)
        {
            var information = new ProcessStartInfo(executable, "--json info") { RedirectStandardOutput = true, UseShellExecute = false };
            information.Environment["PILOT_SOCKET"] = network.A.SocketPath;
            var start = Stopwatch.GetTimestamp();
            using var process = Process.Start(information)!;
            var output = await process.StandardOutput.ReadToEndAsync().ConfigureAwait(false);
            await process.WaitForExitAsync().ConfigureAwait(false);
            var elapsed = Stopwatch.GetElapsedTime(start);
            if (process.ExitCode != 0)
            {
                throw new BenchmarkException($"pilotctl --json info: exit code {process.ExitCode}\n{output}");
            }

            if (i > 0)
            {
                report.Add("cli_start_ms", "pilotctl --json info", "ms", elapsed.TotalMilliseconds);
            }
        }
    }
}
