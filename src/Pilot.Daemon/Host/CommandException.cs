namespace Pilot.Daemon.Host;

/// <summary>A command fails with this code and text (08 §10.5).</summary>
internal sealed class CommandException(string code, string message, string? hint = null) : Exception(message)
{
    public string Code { get; } = code;

    public string? Hint { get; } = hint;
}
