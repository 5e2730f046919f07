namespace Pilot.Daemon;

/// <summary>A cause that ends the daemon's start. The message is one line for people, without the prefix <c>daemon start: </c>.</summary>
internal sealed class FatalException : Exception
{
    public FatalException(string message)
        : base(message)
    {
    }

    public FatalException(string message, Exception inner)
        : base(message, inner)
    {
    }
}
