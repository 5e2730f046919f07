namespace Pilot.Daemon.State;

/// <summary>
/// An exclusive lock of the operating system on a file that stays in place. It ends with the process, however that ends, so
/// nothing stale can ever block the next start (lessons 51).
/// </summary>
internal sealed class LockFile : IDisposable
{
    private readonly FileStream _file;

    private LockFile(FileStream file) => _file = file;

    /// <summary>Takes the lock, or returns null when another process (or another owner in this one) holds it.</summary>
    /// <exception cref="FatalException">The file cannot be opened at all.</exception>
    public static LockFile? TryTake(string path)
    {
        var options = new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.ReadWrite, Share = FileShare.None, BufferSize = 0 };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = AtomicFile.FileMode600;
        }

        try
        {
            return new LockFile(new FileStream(path, options));
        }
        catch (UnauthorizedAccessException exception)
        {
            throw new FatalException($"cannot open lock file {path}: permission denied (owned by another user?)", exception);
        }
        catch (IOException) when (File.Exists(path))
        {
            return null;
        }
        catch (IOException exception)
        {
            throw new FatalException($"cannot create lock file {path}: {exception.Message}", exception);
        }
    }

    public void Dispose() => _file.Dispose();
}
