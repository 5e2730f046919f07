using System.ComponentModel;
using System.Diagnostics;

namespace Pilot.Cli.Processes;

/// <summary>Asks the daemon program whether it would start with a configuration file: the rules are its own, and stand there only.</summary>
internal static class ConfigCheck
{
    private const string Prefix = "daemon start: ";
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

    /// <summary>Null when the daemon takes the file, else its reason. Null as well when there is no daemon program here: then nothing here can refuse the file either.</summary>
    public static string? Problem(string path, string home, Func<string, string?> environment)
    {
        if (DaemonLocator.Find(environment) is not { } program)
        {
            return null;
        }

        ProcessStartInfo start = new(program[0], [.. program[1..], "-check", "-home", home, "-config", path])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
        };
        try
        {
            using Process process = Process.Start(start)!;
            process.StandardInput.Close();
            Task<string> reason = process.StandardError.ReadToEndAsync();
            if (!process.WaitForExit(Limit) || process.ExitCode != 1)
            {
                return null; // another program, or an older one: it has not said that the file is wrong
            }

            string text = reason.Result.Trim();
            return text.StartsWith(Prefix, StringComparison.Ordinal) ? text[Prefix.Length..].Replace(path, "config.json", StringComparison.Ordinal) : null;
        }
        catch (Win32Exception)
        {
            return null; // cannot be run, as if it were not there
        }
    }
}
