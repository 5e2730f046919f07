using System.Globalization;
using Pilot.Benchmarks.EndToEnd;
using Pilot.Rendezvous.Tests.Server;

namespace Pilot.Benchmarks.Rendezvous;

/// <summary>
/// <c>rendezvous [--nodes N] [--connections N] [--per-connection N] [--seconds N] [--part A,B…] [--paced] [--server FILE] [--server-env NAME=VALUE]… [--keep DIR] [--postgres] [--json FILE]</c>,
/// <c>rendezvous crash [--rounds N] [--postgres]</c>, and <c>rendezvous flood [--attempts N]</c>.
/// </summary>
internal static class RendezvousCommand
{
    public static async Task<int> RunAsync(string[] args)
    {
        var options = new LoadOptions();
        int rounds = 200, attempts = 100_000;
        var postgres = false;
        string? json = null, keep = null;
        var scenario = args is ["crash" or "flood", ..] ? args[0] : string.Empty;
        for (var i = scenario.Length > 0 ? 1 : 0; i < args.Length; i++)
        {
            switch (args[i])
            {
                case "--nodes": options = options with { Nodes = Number(args, ref i) }; break;
                case "--connections": options = options with { Connections = Number(args, ref i) }; break;
                case "--per-connection": options = options with { NodesPerConnection = Number(args, ref i) }; break;
                case "--seconds": options = options with { Time = TimeSpan.FromSeconds(Number(args, ref i)) }; break;
                case "--part" when i + 1 < args.Length: options = options with { Parts = Parts(args[++i]) }; break;
                case "--server-env" when i + 1 < args.Length && args[i + 1].Split('=', 2) is [var name, var value]:
                    RendezvousUnderTest.Environment[name] = value;
                    i++;
                    break;
                case "--server" when i + 1 < args.Length: RendezvousUnderTest.Executable = args[++i]; break;
                case "--paced": options = options with { Most = false }; break;
                case "--keep" when i + 1 < args.Length: keep = args[++i]; break;
                case "--rounds": rounds = Number(args, ref i); break;
                case "--attempts": attempts = Number(args, ref i); break;
                case "--postgres": postgres = true; break;
                case "--json" when i + 1 < args.Length: json = args[++i]; break;
                default: throw new BenchmarkException($"unknown option {args[i]}");
            }
        }

        if (postgres && (PostgresServer.Missing ?? (keep is null ? null : "--keep is for SQLite")) is { } missing)
        {
            throw new BenchmarkException(missing);
        }

        switch (scenario)
        {
            case "crash": return await CrashScenario.RunAsync(rounds, postgres).ConfigureAwait(false);
            case "flood": return await FloodScenario.RunAsync(attempts).ConfigureAwait(false);
        }

        var report = new BenchmarkReport();
        var directory = keep is null ? Directory.CreateTempSubdirectory("pilot-load") : Directory.CreateDirectory(keep);
        await using var database = postgres ? await PostgresServer.StartAsync().ConfigureAwait(false) : null;
        try
        {
            await new LoadScenario(report, directory.FullName, options with { Store = database?.ConnectionString ?? string.Empty }).RunAsync().ConfigureAwait(false);
        }
        finally
        {
            if (keep is null)
            {
                directory.Delete(recursive: true);
            }
        }

        report.Print(Console.Out);
        if (json is not null)
        {
            report.WriteJson(json, 1);
        }

        return 0;
    }

    private static string[] Parts(string text)
    {
        var parts = text.Split(',', StringSplitOptions.RemoveEmptyEntries);
        return parts.FirstOrDefault(p => !LoadOptions.AllParts.Contains(p)) is { } unknown
            ? throw new BenchmarkException($"unknown part {unknown}: {string.Join(", ", LoadOptions.AllParts)}")
            : parts;
    }

    private static int Number(string[] args, ref int i) => i + 1 < args.Length && int.TryParse(args[i + 1], NumberStyles.None, CultureInfo.InvariantCulture, out var n)
        ? int.Parse(args[++i], CultureInfo.InvariantCulture)
        : throw new BenchmarkException($"{args[i]} wants a number");
}
