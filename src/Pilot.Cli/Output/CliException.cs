namespace Pilot.Cli.Output;

/// <summary>A failure that ends the command: becomes the error envelope or the <c>error:</c>/<c>hint:</c> lines (07 §2.2).</summary>
internal sealed class CliException(string code, string message, string? hint = null, int exitCode = 1) : Exception(message)
{
    public string Code { get; } = code;

    public string? Hint { get; } = hint;

    public int ExitCode { get; } = exitCode;

    public static CliException InvalidArgument(string message, string? hint = null) => new(ErrorCodes.InvalidArgument, message, hint);

    public static CliException Usage(string synopsis) => InvalidArgument("usage: pilotctl " + synopsis);
}
