using System.Globalization;

namespace Pilot.Daemon.State;

/// <summary>
/// The directory that holds one node's state (07 §3): identity, account, trust, last UDP port. Holding an instance means holding
/// its lock: no second daemon works on the same state.
/// </summary>
internal sealed class StateDirectory : IDisposable
{
    private readonly LockFile _lock;

    private StateDirectory(string path, string identityPath, LockFile lockFile)
    {
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

    public string PidPath => Path.Combine(Location, "pilot.pid");

    private string PortPath => Path.Combine(Location, "udp-port");

    /// <summary>Opens the directory of the identity file, making it if needed, and takes its lock.</summary>
    /// <exception cref="FatalException">Not writable, or in use by another daemon.</exception>
    public static StateDirectory Open(string identityPath)
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
            throw new FatalException($"another daemon already uses the state directory {directory}{HolderText(directory)}");
        }

        return new StateDirectory(directory, full, taken);
    }

    /// <summary>Writes the process id for people and scripts; nothing depends on it.</summary>
    public void WritePid() =>
        AtomicFile.Write(PidPath, System.Text.Encoding.ASCII.GetBytes(Environment.ProcessId.ToString(CultureInfo.InvariantCulture)));

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
        AtomicFile.Write(PortPath, System.Text.Encoding.ASCII.GetBytes(port.ToString(CultureInfo.InvariantCulture)));

    /// <summary>Removes the pid file and gives the lock back.</summary>
    public void Dispose()
    {
        try
        {
            File.Delete(PidPath);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // Information only; the next start overwrites it.
        }

        _lock.Dispose();
    }

    private static string HolderText(string directory)
    {
        try
        {
            var path = Path.Combine(directory, "pilot.pid");
            return File.Exists(path) ? $" (pid {File.ReadAllText(path).Trim()})" : string.Empty;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return string.Empty;
        }
    }
}
