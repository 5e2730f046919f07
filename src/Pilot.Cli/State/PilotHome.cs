namespace Pilot.Cli.State;

/// <summary>Paths of the local state (07 §3): <c>$PILOT_HOME</c>, else <c>$HOME/.pilot</c>.</summary>
internal sealed class PilotHome(string directory)
{
    public string Directory { get; } = directory;

    public string ConfigFile => Path.Combine(Directory, "config.json");

    public string PidFile => Path.Combine(Directory, "pilot.pid");

    public string LogFile => Path.Combine(Directory, "pilot.log");

    public static PilotHome FromEnvironment(Func<string, string?> environment)
    {
        string? chosen = environment("PILOT_HOME");
        if (!string.IsNullOrEmpty(chosen))
        {
            return new PilotHome(Path.GetFullPath(chosen));
        }

        string? home = environment("HOME");
        return new PilotHome(Path.Combine(string.IsNullOrEmpty(home) ? "/" : home, ".pilot"));
    }
}
