namespace Pilot.Cli.Output;

/// <summary>Values of <c>code</c> in the error envelope (07 §2.3).</summary>
internal static class ErrorCodes
{
    public const string InvalidArgument = "invalid_argument";
    public const string NotRunning = "not_running";
    public const string NotFound = "not_found";
    public const string AlreadyExists = "already_exists";
    public const string ConnectionFailed = "connection_failed";
    public const string Timeout = "timeout";
    public const string Internal = "internal";
    public const string PermissionDenied = "permission_denied";

    /// <summary>Code and meaning, for <c>context</c>.</summary>
    public static readonly (string Code, string Meaning)[] All =
    [
        (InvalidArgument, "bad usage or input; do not retry"),
        (NotRunning, "the daemon is not running; start it"),
        (NotFound, "name, node or file not found"),
        (AlreadyExists, "already running, or the name is taken"),
        (ConnectionFailed, "network or daemon failure; may be retried"),
        (Timeout, "no answer in time; may be retried"),
        (Internal, "failure on this machine"),
        (PermissionDenied, "refused by the registry: trust, token or signature"),
    ];
}
