using System.Runtime.Versioning;
using Pilot.Cli;
using Pilot.Cli.Output;

[assembly: UnsupportedOSPlatform("windows")]

return CliProgram.Run(
    args, new StandardOutput(), Console.OpenStandardError(), !Console.IsErrorRedirected, Environment.GetEnvironmentVariable);
