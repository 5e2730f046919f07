using Pilot.Ipc;

namespace Pilot.Client;

/// <summary>A request that the daemon refused or could not fulfil.</summary>
public class PilotException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="code">Stable code, one of <see cref="IpcErrorCode"/> or <see cref="PilotErrorCode"/>.</param>
    /// <param name="message">Text for people.</param>
    /// <param name="hint">What to do about it, when known.</param>
    /// <param name="innerException">Cause.</param>
    public PilotException(string code, string message, string? hint = null, Exception? innerException = null)
        : base(message, innerException)
    {
        Code = code;
        Hint = hint;
    }

    /// <summary>Stable code for programs, one of <see cref="IpcErrorCode"/> or <see cref="PilotErrorCode"/>.</summary>
    public string Code { get; }

    /// <summary>What to do about it, when known.</summary>
    public string? Hint { get; }

    /// <summary>True when the same request may succeed later without other action (no answer, registry away).</summary>
    public bool IsTransient => Code is IpcErrorCode.Timeout or IpcErrorCode.Unreachable or IpcErrorCode.RegistryUnavailable
        or IpcErrorCode.LimitReached or PilotErrorCode.ConnectionLost;
}

/// <summary>Codes of failures between this library and the daemon, beside those of <see cref="IpcErrorCode"/>.</summary>
public static class PilotErrorCode
{
    /// <summary>Nothing listens on the daemon's socket.</summary>
    public const string NotRunning = "not_running";

    /// <summary>The daemon went away while a request was open.</summary>
    public const string ConnectionLost = "connection_lost";

    /// <summary>The daemon sent something that is not the protocol of 08 §10.</summary>
    public const string Protocol = "protocol_error";

    /// <summary>The peer reset the stream.</summary>
    public const string Reset = "reset";
}

/// <summary>Nothing listens on the daemon's socket, or the socket may not be used. Code <c>not_running</c> or <c>permission_denied</c>.</summary>
public sealed class PilotNotRunningException : PilotException
{
    /// <summary>Makes the exception.</summary>
    public PilotNotRunningException(string socketPath, string code, string message, Exception innerException)
        : base(code, message, null, innerException) => SocketPath = socketPath;

    /// <summary>Path that was tried.</summary>
    public string SocketPath { get; }
}

/// <summary>
/// A stream that ended other than by its orderly end: bytes may be missing. <see cref="Code"/> is the reason that the daemon
/// gives (<c>reset</c>, <c>timeout</c>, <c>untrusted</c>, <c>aborted</c>, <c>shutdown</c>; see <see cref="ConnResultData.Reason"/>)
/// or <c>connection_lost</c> when the daemon itself is gone.
/// </summary>
public sealed class PilotStreamException : IOException
{
    /// <summary>Makes the exception.</summary>
    public PilotStreamException(string code, string message, Exception? innerException = null)
        : base(message, innerException) => Code = code;

    /// <summary>Stable code for programs.</summary>
    public string Code { get; }
}
