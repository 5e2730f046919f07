using System.Diagnostics;

namespace Pilot.Benchmarks.Processes;

/// <summary>One of the project's executables, its output in a file. Ended by SIGTERM.</summary>
internal sealed class ServerProcess : IDisposable
{
    private static readonly TimeSpan ExitPatience = TimeSpan.FromSeconds(10);

    private readonly Process _process;
    private readonly string _log;

    private ServerProcess(Process process, string log)
    {
        _process = process;
        _log = log;
    }

    public int Id => _process.Id;

    public bool HasExited => _process.HasExited;

    /// <summary>What it has said so far.</summary>
    public string Output => File.Exists(_log) ? File.ReadAllText(_log) : string.Empty;

    /// <summary>Path of an executable of this build, by project and file name.</summary>
    /// <exception cref="BenchmarkException">It was not built.</exception>
    public static string Find(string project, string name)
    {
        // artifacts/bin/Pilot.Benchmarks/release/ -> artifacts/bin/<project>/release/<name>
        var own = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd('/'));
        var path = Path.Combine(own.Parent!.Parent!.FullName, project, own.Name, name);
        return File.Exists(path) ? path : throw new BenchmarkException($"{path} is not there: build {project} in the same configuration first (tests/bench does)");
    }

    public static ServerProcess Start(string executable, string log, IReadOnlyDictionary<string, string> environment, params string[] arguments)
    {
        // The shell only redirects, then becomes the executable: same process id.
        var information = new ProcessStartInfo("/bin/sh") { UseShellExecute = false, RedirectStandardInput = true };
        information.ArgumentList.Add("-c");
        information.ArgumentList.Add("exec \"$0\" \"$@\" >>\"$PILOT_BENCH_LOG\" 2>&1 </dev/null");
        information.ArgumentList.Add(executable);
        foreach (var argument in arguments)
        {
            information.ArgumentList.Add(argument);
        }

        foreach (var name in information.Environment.Keys.Where(k => k.StartsWith("PILOT_", StringComparison.Ordinal)).ToArray())
        {
            information.Environment.Remove(name); // the user's own settings
        }

        information.Environment["PILOT_BENCH_LOG"] = log;
        foreach (var (name, value) in environment)
        {
            information.Environment[name] = value;
        }

        return new ServerProcess(Process.Start(information)!, log);
    }

    /// <summary>Waits until a condition holds.</summary>
    /// <exception cref="BenchmarkException">It does not hold in time, or the process ended; with its output.</exception>
    public async Task WaitAsync(string what, TimeSpan patience, Func<Task<bool>> condition)
    {
        var start = Stopwatch.GetTimestamp();
        while (!await condition().ConfigureAwait(false))
        {
            if (HasExited || Stopwatch.GetElapsedTime(start) > patience)
            {
                throw new BenchmarkException($"{what}: {(HasExited ? "the process ended" : "not in time")}\n{Output}");
            }

            await Task.Delay(20).ConfigureAwait(false);
        }
    }

    /// <summary>Ends it by force.</summary>
    public void Kill()
    {
        _process.Kill();
        _process.WaitForExit();
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            ProcessUsage.Terminate(_process.Id);
            if (!_process.WaitForExit(ExitPatience))
            {
                _process.Kill();
                _process.WaitForExit();
            }
        }

        _process.Dispose();
    }
}
