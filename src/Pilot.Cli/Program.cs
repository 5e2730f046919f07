using System.Runtime.Versioning;
using Pilot.Cli;

[assembly: UnsupportedOSPlatform("windows")]

return CliProgram.Run(
    args, Console.OpenStandardOutput(), Console.OpenStandardError(), !Console.IsErrorRedirected, Environment.GetEnvironmentVariable);
