using System.Text.Json;
using Pilot.Cli.Output;
using Pilot.Ipc;

namespace Pilot.Cli.Streams;

/// <summary>A path for people: <c>via relay beacon-1</c>, <c>direct 203.0.113.7:4000</c>.</summary>
internal static class PathLine
{
    /// <summary>Of an object with <c>path</c>, <c>endpoint</c> and <c>via</c>; empty when there is no path.</summary>
    public static string Format(JsonElement path) => Format(path.Text("path"), path.Text("endpoint"), path.Text("via"));

    public static string Format(string path, string endpoint, string via) => path switch
    {
        "" or PathName.None => string.Empty,
        PathName.Relay => $"via relay {HumanFormat.OneLine(via.Length > 0 ? via : endpoint)}",
        PathName.Loopback => path,
        _ => endpoint.Length > 0 ? $"{path} {endpoint}" : path,
    };

    /// <summary>No relay is between.</summary>
    public static bool IsDirect(string path) => path is PathName.Lan or PathName.Direct or PathName.HolePunch or PathName.Loopback;
}
