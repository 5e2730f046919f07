using System.Reflection;

namespace Pilot.Daemon;

/// <summary>Version of this program.</summary>
internal static class DaemonVersion
{
    public static string Text { get; } =
        typeof(DaemonVersion).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "0.0.0";
}
