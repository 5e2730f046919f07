namespace Pilot.Daemon;

/// <summary>A cause that ends the daemon's start. The message is one line for people, without the prefix <c>daemon start: </c>.</summary>
internal sealed class FatalException : Exception
{
    public FatalException(string message)
        : base(message)
    {
    }

    public FatalException(string message, string? hint)
        : base(message) => Hint = hint;

    public FatalException(string message, Exception inner)
        : base(message, inner)
    {
    }

    /// <summary>What to do about it, or null. The line behind the message; <c>pilotctl daemon start</c> shows it.</summary>
    public string? Hint { get; }
}
