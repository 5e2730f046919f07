using System.Net.Sockets;
using Pilot.Daemon.State;

namespace Pilot.Daemon.Ipc;

/// <summary>
/// The listening Unix socket (08 §1): made under another name, given mode 0600, then moved into place, so that nobody else can ever connect.
/// A lock file beside it says who owns the path; with the lock in hand a left-over socket is removed, without it never.
/// </summary>
internal sealed class IpcSocket : IDisposable
{
    private const int Backlog = 512;
    private const int LongestPath = 100; // bytes; the system's limit is 104 to 108 and the temporary name is a little longer

    private readonly LockFile _lock;

    private IpcSocket(string path, Socket listener, LockFile lockFile)
    {
        Location = path;
        Listener = listener;
        _lock = lockFile;
    }

    public string Location { get; }

    /// <summary>Listening, non-blocking.</summary>
    public Socket Listener { get; }

    /// <exception cref="FatalException">Longer than the system takes.</exception>
    public static void RefuseLongPath(string path)
    {
        if (System.Text.Encoding.UTF8.GetByteCount(path) > LongestPath)
        {
            throw new FatalException($"ipc start: socket path {path} is too long (limit {LongestPath} bytes); choose another with -socket or PILOT_SOCKET");
        }
    }

    /// <exception cref="FatalException">In use by another daemon, or not possible there.</exception>
    public static IpcSocket Open(string path)
    {
        RefuseLongPath(path);
        LockFile? taken = null;
        try
        {
            AtomicFile.CreateDirectory(Path.GetDirectoryName(path)!);
            taken = LockFile.TryTake(path + ".lock");
            if (taken is null)
            {
                throw new FatalException($"another daemon already serves the socket {path}; stop it first, or choose another socket with -socket");
            }

            RemoveStale(path);
            return new IpcSocket(path, Bind(path), taken);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or SocketException)
        {
            taken?.Dispose();
            throw new FatalException($"ipc start: cannot create socket {path}: {exception.Message}", exception);
        }
        catch
        {
            taken?.Dispose();
            throw;
        }
    }

    /// <summary>Stops listening, removes the socket file and gives the path back.</summary>
    public void Dispose()
    {
        Listener.Dispose();
        try
        {
            File.Delete(Location);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // The next start removes it.
        }

        _lock.Dispose();
    }

    private static void RemoveStale(string path)
    {
        if (!File.Exists(path))
        {
            return;
        }

        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException)
        {
            File.Delete(path); // nobody answers: left over from a crash
            return;
        }

        throw new FatalException($"another program already serves the socket {path}; stop it first, or choose another socket with -socket");
    }

    private static Socket Bind(string path)
    {
        var temporary = path + ".new";
        File.Delete(temporary);
        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            listener.Bind(new UnixDomainSocketEndPoint(temporary));
            if (!OperatingSystem.IsWindows())
            {
                File.SetUnixFileMode(temporary, AtomicFile.FileMode600);
            }

            listener.Listen(Backlog);
            listener.Blocking = false;
            File.Move(temporary, path, overwrite: true);
            return listener;
        }
        catch
        {
            listener.Dispose();
            throw;
        }
    }
}
