namespace Pilot.Daemon.State;

/// <summary>Files with secrets or state: mode 0600, replaced as a whole (write, flush to disk, rename), so a crash leaves the old or the new one.</summary>
internal static class AtomicFile
{
    public const UnixFileMode FileMode600 = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    public const UnixFileMode DirectoryMode700 = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    private const UnixFileMode OthersMask = UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.GroupExecute
        | UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute;

    /// <summary>Makes a directory with mode 0700; an existing one keeps its mode.</summary>
    public static void CreateDirectory(string path)
    {
        if (Directory.Exists(path))
        {
            return;
        }

        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(path);
        }
        else
        {
            Directory.CreateDirectory(path, DirectoryMode700);
        }
    }

    /// <summary>Replaces the file. With <paramref name="keepBackup"/> the previous content stays as <c>path.bak</c>.</summary>
    public static void Write(string path, ReadOnlySpan<byte> content, bool keepBackup = false)
    {
        var directory = Path.GetDirectoryName(Path.GetFullPath(path))!;
        CreateDirectory(directory);
        var temporary = path + ".tmp";
        File.Delete(temporary);
        using (var file = Create(temporary))
        {
            file.Write(content);
            file.Flush(flushToDisk: true);
        }

        if (keepBackup && File.Exists(path))
        {
            // A copy, so that at no moment the file itself is missing.
            var backup = path + ".bak.tmp";
            File.Copy(path, backup, overwrite: true);
            File.Move(backup, path + ".bak", overwrite: true);
        }

        File.Move(temporary, path, overwrite: true);
    }

    /// <summary>Takes away the rights of group and others, if there are any. Returns true when it changed something.</summary>
    public static bool Tighten(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            return false;
        }

        var mode = File.GetUnixFileMode(path);
        if ((mode & OthersMask) == 0)
        {
            return false;
        }

        File.SetUnixFileMode(path, mode & ~OthersMask);
        return true;
    }

    private static FileStream Create(string path)
    {
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, BufferSize = 0 };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = FileMode600;
        }

        return new FileStream(path, options);
    }
}
