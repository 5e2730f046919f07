namespace Pilot.Ipc;

/// <summary>Stable error codes of the native protocol (08 §10.5) and their translation to pilotctl's codes (07 §2.3).</summary>
public static class IpcErrorCode
{
    /// <summary>A member is missing, of the wrong type or out of range.</summary>
    public const string InvalidArgument = "invalid_argument";

    /// <summary>The value of <c>cmd</c> is not known.</summary>
    public const string UnknownCommand = "unknown_command";

    /// <summary>Unknown node or hostname (or one that must look unknown), nothing pending, no such port.</summary>
    public const string NotFound = "not_found";

    /// <summary>The target refuses because there is no trust.</summary>
    public const string NotTrusted = "not_trusted";

    /// <summary>The peer answered with RST: nobody listens there.</summary>
    public const string Refused = "refused";

    /// <summary>No answer within the limit.</summary>
    public const string Timeout = "timeout";

    /// <summary>No way to the peer: no address, no path.</summary>
    public const string Unreachable = "unreachable";

    /// <summary>The virtual port is already bound.</summary>
    public const string PortInUse = "port_in_use";

    /// <summary>The thing to be made exists (hostname taken, request already pending).</summary>
    public const string AlreadyExists = "already_exists";

    /// <summary>Not a member of the network.</summary>
    public const string NotMember = "not_member";

    /// <summary>The registry cannot be reached, or the daemon is not registered yet. Worth a retry.</summary>
    public const string RegistryUnavailable = "registry_unavailable";

    /// <summary>The registry answered with an error that fits no other code.</summary>
    public const string RegistryError = "registry_error";

    /// <summary>Payload or line above its limit.</summary>
    public const string TooLarge = "too_large";

    /// <summary>The registry or the daemon refused for want of permission.</summary>
    public const string PermissionDenied = "permission_denied";

    /// <summary>The work was given up because its owner went away or the daemon stops.</summary>
    public const string Cancelled = "cancelled";

    /// <summary>A table of the daemon is full (ports, connections, clients).</summary>
    public const string LimitReached = "limit_reached";

    /// <summary>A defect in the daemon; its log has the cause.</summary>
    public const string Internal = "internal";

    /// <summary>Translates a code of this protocol to the code that pilotctl prints (07 §2.3). Unknown codes become <c>connection_failed</c>.</summary>
    public static string ToCliCode(string code) => code switch
    {
        InvalidArgument or UnknownCommand or TooLarge => "invalid_argument",
        NotFound => "not_found",
        PortInUse or AlreadyExists => "already_exists",
        NotTrusted or NotMember or PermissionDenied => "permission_denied",
        Timeout => "timeout",
        Internal => "internal",
        _ => "connection_failed",
    };

    /// <summary>Chooses the code for an error text of the registry (07 §2.3 "Better").</summary>
    public static string FromRegistryText(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (Has("not found")) return NotFound;
        if (Has("already")) return AlreadyExists;
        if (Has("rate limited") || Has("too many")) return RegistryError;
        if (Has("denied") || Has("token") || Has("signature") || Has("rbac")) return PermissionDenied;
        if (Has("invalid") || Has("required") || Has("too long") || Has("must be")) return InvalidArgument;
        return RegistryError;

        bool Has(string part) => text.Contains(part, StringComparison.Ordinal);
    }
}
