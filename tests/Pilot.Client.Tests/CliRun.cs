using System.Text;
using System.Text.Json;
using Pilot.Cli;

namespace Pilot.Client.Tests;

/// <summary>One run of pilotctl in this process.</summary>
internal sealed record CliRun(int Exit, string Stdout, string Stderr)
{
    public JsonElement Envelope => JsonDocument.Parse(Stdout.Length > 0 ? Stdout : Stderr).RootElement;

    public JsonElement Data => Envelope.GetProperty("data");

    public static CliRun Start(string home, string socket, params string[] arguments)
    {
        using MemoryStream stdout = new();
        using MemoryStream stderr = new();
        int exit = CliProgram.Run(arguments, stdout, stderr, stderrIsTerminal: false, name => name switch
        {
            "PILOT_SOCKET" => socket,
            "PILOT_HOME" => home,
            "PILOT_REGISTRY" => "127.0.0.1:1",
            "PILOT_DAEMON" => "/nonexistent/pilot-daemon",
            _ => null,
        });
        return new CliRun(exit, Encoding.UTF8.GetString(stdout.ToArray()), Encoding.UTF8.GetString(stderr.ToArray()));
    }
}
