using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;

namespace Pilot.EndToEnd.Tests.Lab;

/// <summary>Result of one run of a program.</summary>
internal sealed record Outcome(int Exit, byte[] StdoutBytes, string Stderr)
{
    public string Stdout => Encoding.UTF8.GetString(StdoutBytes);

    /// <summary>The envelope, from whichever stream it belongs on.</summary>
    public JsonElement Json => JsonDocument.Parse(StdoutBytes.Length > 0 ? Stdout : Stderr).RootElement;

    public JsonElement Data => Json.TryGetProperty("data", out JsonElement data) ? data : throw new InvalidOperationException("no data: " + Everything);

    public string Code => Json.TryGetProperty("code", out JsonElement code) ? code.GetString()! : "ok";

    public string Everything => $"exit {Exit}\n{Stdout[..Math.Min(Stdout.Length, 2000)]}\n{Stderr[..Math.Min(Stderr.Length, 2000)]}";
}

/// <summary>The built programs and how they are run.</summary>
internal static partial class Programs
{
    public const int SigKill = 9;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    public static string Pilotctl { get; } = Find("Pilot.Cli", "pilotctl");

    public static string Daemon { get; } = Find("Pilot.Daemon", "pilot-daemon");

    public static string Rendezvous { get; } = Find("Pilot.Rendezvous", "rendezvous");

    /// <summary>Runs to the end; standard input is <paramref name="input"/>, or an empty pipe.</summary>
    public static async Task<Outcome> RunAsync(
        string program, IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string?> environment, Stream? input = null, TimeSpan? limit = null)
    {
        using Process process = Start(program, arguments, environment);
        Task feeding = FeedAsync(process, input);
        using MemoryStream stdout = new();
        Task reading = process.StandardOutput.BaseStream.CopyToAsync(stdout, TestContext.Current.CancellationToken);
        Task<string> errors = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        using CancellationTokenSource stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        stop.CancelAfter(limit ?? Limit);
        try
        {
            await process.WaitForExitAsync(stop.Token);
            await Task.WhenAll(reading, errors).WaitAsync(stop.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{Path.GetFileName(program)} {string.Join(' ', arguments)} did not end");
        }

        await feeding;
        return new Outcome(process.ExitCode, stdout.ToArray(), await errors);
    }

    public static Process Start(string program, IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string?> environment)
    {
        ProcessStartInfo start = new(program) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach (string name in start.Environment.Keys.Where(k => k.StartsWith("PILOT_", StringComparison.Ordinal)).ToArray())
        {
            start.Environment.Remove(name);
        }

        foreach ((string name, string? value) in environment)
        {
            start.Environment[name] = value;
        }

        return Process.Start(start)!;
    }

    public static void Kill(int pid) => _ = kill(pid, SigKill);

    public static bool IsAlive(int pid)
    {
        if (kill(pid, 0) != 0)
        {
            return false;
        }

        try
        {
            string stat = File.ReadAllText($"/proc/{pid}/stat");
            return stat[stat.LastIndexOf(')') + 2] is not ('Z' or 'X');
        }
        catch (IOException)
        {
            return kill(pid, 0) == 0;
        }
    }

    private static async Task FeedAsync(Process process, Stream? input)
    {
        try
        {
            if (input is not null)
            {
                await input.CopyToAsync(process.StandardInput.BaseStream);
            }

            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // The program ended without reading everything: its exit status tells.
        }
    }

    private static string Find(string project, string program)
    {
        // artifacts/bin/<tests>/<configuration>/ -> artifacts/bin/<project>/<configuration>/
        DirectoryInfo here = new(AppContext.BaseDirectory.TrimEnd('/'));
        string path = Path.Combine(here.Parent!.Parent!.FullName, project, here.Name, program);
        return File.Exists(path) ? path : throw new FileNotFoundException("not built: " + path);
    }

    [LibraryImport("libc")]
    private static partial int kill(int pid, int signal);
}
