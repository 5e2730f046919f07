using System.Runtime.Versioning;
using Pilot.Cli;
using Pilot.Cli.Output;

[assembly: UnsupportedOSPlatform("windows")]

bool hasError = StandardDescriptors.IsOpen(StandardDescriptors.Error);
return CliProgram.Run(
    args,
    new StandardOutput(),
    hasError ? Console.OpenStandardError() : Stream.Null,
    hasError && !Console.IsErrorRedirected,
    Environment.GetEnvironmentVariable);
