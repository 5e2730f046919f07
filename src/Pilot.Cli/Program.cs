using System.Runtime.Versioning;
using Pilot.Cli;

[assembly: UnsupportedOSPlatform("windows")]

return await CliProgram.RunAsync(
    args,
    Console.OpenStandardOutput(),
    Console.OpenStandardError(),
    !Console.IsErrorRedirected,
    Environment.GetEnvironmentVariable).ConfigureAwait(false);
