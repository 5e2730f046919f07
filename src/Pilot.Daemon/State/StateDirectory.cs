using System.Globalization;
using System.Text;

namespace Pilot.Daemon.State;

/// <summary>
/// The directory that holds one node's state (07 §3): identity, account, trust, last UDP port. Holding an instance means holding
/// its lock: no second daemon works on the same state.
/// </summary>
internal sealed class StateDirectory : IDisposable
{
    private const string PidFile = "pilot.pid";
    private const string SocketFile = "pilot.socket";

    private readonly string _socketPath;
    private readonly LockFile _lock;

    private StateDirectory(string path, string identityPath, string socketPath, LockFile lockFile)
    {
        _socketPath = socketPath;
        Location = path;
        IdentityPath = identityPath;
        _lock = lockFile;
    }

    /// <summary>The directory.</summary>
    public string Location { get; }

    public string IdentityPath { get; }

    public string AccountPath => Path.Combine(Location, "account.json");

    public string TrustPath => Path.Combine(Location, "trust.json");

    public string TrustExtensionPath => Path.Combine(Location, "trust-ext.json");

    private string ExitPath => Path.Combine(Location, "watchdog-exit");

    private string PortPath => Path.Combine(Location, "udp-port");

    /// <summary>Opens the directory of the identity file, making it if needed, and takes its lock.</summary>
    /// <param name="identityPath">The identity file.</param>
    /// <param name="socketPath">Where this daemon serves local programs: told to who finds the directory in use.</param>
    /// <exception cref="FatalException">Not writable, or in use by another daemon.</exception>
    public static StateDirectory Open(string identityPath, string socketPath)
    {
        var full = Path.GetFullPath(identityPath);
        var directory = Path.GetDirectoryName(full)!;
        try
        {
            AtomicFile.CreateDirectory(directory);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new FatalException($"cannot create state directory {directory}: {exception.Message}", exception);
        }

        LockFile? taken;
        try
        {
            taken = LockFile.TryTake(Path.Combine(directory, "daemon.lock"));
        }
        catch (FatalException exception)
        {
            throw new FatalException($"state directory {directory} is not writable: {exception.InnerException?.Message ?? exception.Message}", exception);
        }

        if (taken is null)
        {
            throw InUse(directory);
        }

        return new StateDirectory(directory, full, socketPath, taken);
    }

    /// <summary>Writes process id and socket for people, scripts and the message to a second daemon; nothing depends on them.</summary>
    public void WriteInformation()
    {
        AtomicFile.Write(Path.Combine(Location, PidFile), Encoding.ASCII.GetBytes(Environment.ProcessId.ToString(CultureInfo.InvariantCulture)));
        AtomicFile.Write(Path.Combine(Location, SocketFile), Encoding.UTF8.GetBytes(_socketPath));
    }

    /// <summary>The UDP port of the last run, or 0. Keeping it keeps NAT mappings and firewall rules (07 §3.2).</summary>
    public int ReadLastPort()
    {
        try
        {
            return File.Exists(PortPath) && ushort.TryParse(File.ReadAllText(PortPath).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var port) ? port : 0;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return 0; // only a preference: any port works
        }
    }

    public void WriteLastPort(int port) =>
        AtomicFile.Write(PortPath, Encoding.ASCII.GetBytes(port.ToString(CultureInfo.InvariantCulture)));

    /// <summary>When this node last ended itself for its supervisor; null if never.</summary>
    public DateTimeOffset? ReadLastExit()
    {
        try
        {
            return File.Exists(ExitPath) ? File.GetLastWriteTimeUtc(ExitPath) : null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return DateTimeOffset.UtcNow; // unknown: rather too late than in a loop
        }
    }

    public void WriteLastExit() => AtomicFile.Write(ExitPath, "the tunnel socket heard nothing; see the log\n"u8.ToArray());

    /// <summary>Removes the files of <see cref="WriteInformation"/> and gives the lock back.</summary>
    public void Dispose()
    {
        try
        {
            File.Delete(Path.Combine(Location, PidFile));
            File.Delete(Path.Combine(Location, SocketFile));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // Information only; the next start overwrites them.
        }

        _lock.Dispose();
    }

    private static FatalException InUse(string directory)
    {
        var message = $"another daemon already uses the state directory {directory}";
        var pid = Information(directory, PidFile);
        var socket = Information(directory, SocketFile);
        return pid.Length == 0 ? new FatalException(message)
            : socket.Length == 0 ? new FatalException($"{message} (pid {pid})")
            : new FatalException($"{message} (pid {pid}, socket {socket})", $"stop it first with: pilotctl daemon stop --socket {ShellWord(socket)}");
    }

    private static string Information(string directory, string name)
    {
        try
        {
            var path = Path.Combine(directory, name);
            return File.Exists(path) ? File.ReadAllText(path).Trim() : string.Empty;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return string.Empty;
        }
    }

    /// <summary>A text as one word of a shell command.</summary>
    private static string ShellWord(string text) =>
        text.All(static c => char.IsAsciiLetterOrDigit(c) || c is '/' or '.' or '-' or '_' or '+' or ':' or ',')
            ? text
            : $"'{text.Replace("'", "'\\''", StringComparison.Ordinal)}'";
}
