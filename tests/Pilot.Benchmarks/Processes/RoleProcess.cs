using System.Diagnostics;
using System.Globalization;

namespace Pilot.Benchmarks.Processes;

/// <summary>This executable started again with a role. What it prints on standard output is its answer; its standard error is ours.</summary>
internal sealed class RoleProcess : IDisposable
{
    private static readonly TimeSpan ExitPatience = TimeSpan.FromSeconds(10);

    private readonly Process _process;

    private RoleProcess(Process process, string name)
    {
        _process = process;
        Name = name;
    }

    /// <summary>Role and arguments, for messages.</summary>
    public string Name { get; }

    public int Id => _process.Id;

    /// <summary>Starts a role.</summary>
    public static RoleProcess Start(params ReadOnlySpan<string> arguments) => StartBy([], arguments);

    /// <summary>Starts a role by a command that becomes it (<c>ip netns exec NAME</c>).</summary>
    public static RoleProcess StartBy(string[] launcher, params ReadOnlySpan<string> arguments)
    {
        string[] command = [.. launcher, Environment.ProcessPath!, .. arguments];
        var information = new ProcessStartInfo(command[0]) { RedirectStandardOutput = true, RedirectStandardInput = true, UseShellExecute = false };
        foreach (var argument in command[1..])
        {
            information.ArgumentList.Add(argument);
        }

        return new RoleProcess(Process.Start(information)!, string.Join(' ', arguments.ToArray()));
    }

    /// <summary>Reads one line.</summary>
    /// <exception cref="BenchmarkException">The process ended or said nothing in time.</exception>
    public async Task<string> ReadLineAsync(TimeSpan patience)
    {
        using var timeout = new CancellationTokenSource(patience);
        try
        {
            return await _process.StandardOutput.ReadLineAsync(timeout.Token).ConfigureAwait(false)
                ?? throw new BenchmarkException($"{Name}: ended without an answer");
        }
        catch (OperationCanceledException)
        {
            throw new BenchmarkException(string.Create(CultureInfo.InvariantCulture, $"{Name}: no answer within {patience.TotalSeconds:0} s"));
        }
    }

    /// <summary>Reads a series to its end.</summary>
    /// <param name="patience">For each line.</param>
    public async Task<ByteSeries> ReadSeriesAsync(TimeSpan patience)
    {
        var series = new ByteSeries();
        while (series.Take(await ReadLineAsync(patience).ConfigureAwait(false)))
        {
        }

        return series;
    }

    /// <summary>Writes one line to its standard input.</summary>
    public void WriteLine(string line)
    {
        _process.StandardInput.WriteLine(line);
        _process.StandardInput.Flush();
    }

    /// <summary>Ends it: first by closing its input, then by force.</summary>
    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.StandardInput.Close();
            if (!_process.WaitForExit(ExitPatience))
            {
                _process.Kill();
                _process.WaitForExit();
            }
        }

        _process.Dispose();
    }
}
