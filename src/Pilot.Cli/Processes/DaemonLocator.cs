namespace Pilot.Cli.Processes;

/// <summary>Finds the <c>pilot-daemon</c> program: PILOT_DAEMON, beside pilotctl, in the tool directory, in PATH.</summary>
internal static class DaemonLocator
{
    public const string ProgramName = "pilot-daemon";

    /// <summary>Program and leading arguments, or null. A plain .dll is run by <c>dotnet</c>.</summary>
    public static string[]? Find(Func<string, string?> environment)
    {
        if (environment("PILOT_DAEMON") is { Length: > 0 } chosen)
        {
            return File.Exists(chosen) ? Command(Path.GetFullPath(chosen), environment) : null;
        }

        foreach (string directory in Candidates(environment))
        {
            string program = Path.Combine(directory, ProgramName);
            if (File.Exists(program))
            {
                return [program];
            }

            string library = program + ".dll";
            if (File.Exists(library))
            {
                return Command(library, environment);
            }
        }

        return null;
    }

    private static IEnumerable<string> Candidates(Func<string, string?> environment)
    {
        yield return AppContext.BaseDirectory;

        // A tool's shim or a link in bin/ stands where the daemon's stands.
        if (Environment.ProcessPath is { } process && Path.GetDirectoryName(process) is { } shims)
        {
            yield return shims;
        }

        // A link to us: what stands beside its target.
        if (Environment.ProcessPath is { } link && File.ResolveLinkTarget(link, returnFinalTarget: true) is { } target)
        {
            yield return Path.GetDirectoryName(target.FullName)!;
        }

        // lib/pilot/pilotctl beside lib/pilot/pilot-daemon, and the build's artifacts/bin/<project>/<configuration>.
        DirectoryInfo here = new(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar));
        if (here.Parent is { } parent)
        {
            yield return Path.Combine(parent.FullName, ProgramName);
            if (parent.Parent is { } root)
            {
                yield return Path.Combine(root.FullName, "Pilot.Daemon", here.Name);
            }
        }

        foreach (string directory in (environment("PATH") ?? string.Empty).Split(':', StringSplitOptions.RemoveEmptyEntries))
        {
            yield return directory;
        }
    }

    private static string[] Command(string path, Func<string, string?> environment)
    {
        if (!path.EndsWith(".dll", StringComparison.Ordinal))
        {
            return [path];
        }

        string host = environment("DOTNET_HOST_PATH") is { Length: > 0 } known ? known
            : environment("DOTNET_ROOT") is { Length: > 0 } root && File.Exists(Path.Combine(root, "dotnet")) ? Path.Combine(root, "dotnet")
            : "dotnet";
        return [host, path];
    }
}
