using System.ComponentModel;
using System.Diagnostics;

namespace Pilot.Rendezvous.Tests.Server;

/// <summary>A file system in memory, so small that a test can fill it. A test that cannot have one is skipped.</summary>
internal sealed class SmallFileSystem : IDisposable
{
    private SmallFileSystem(string directory) => Directory = directory;

    public string Directory { get; }

    /// <summary>Descriptors that this process holds on it.</summary>
    public int OpenFiles => new DirectoryInfo("/proc/self/fd").GetFiles().Count(f => f.LinkTarget?.StartsWith(Directory, StringComparison.Ordinal) == true);

    public static SmallFileSystem Mount(int kilobytes)
    {
        string directory = System.IO.Directory.CreateTempSubdirectory("pilot-tmpfs").FullName;
        string? problem = OperatingSystem.IsLinux() ? Run("mount", "-t", "tmpfs", "-o", $"size={kilobytes}k", "none", directory) : "no tmpfs here";
        if (problem is not null)
        {
            System.IO.Directory.Delete(directory);
            Assert.Skip($"a small file system cannot be mounted: {problem}");
        }

        return new SmallFileSystem(directory);
    }

    public string PathOf(string name) => Path.Combine(Directory, name);

    /// <summary>Writes a file until nothing more fits. Deleting it makes room again.</summary>
    public string FillUp()
    {
        string ballast = PathOf("ballast");
        using var file = new FileStream(ballast, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0);
        try
        {
            while (file.Length < 1 << 30)
            {
                file.Write(new byte[4096]);
            }
        }
        catch (IOException)
        {
            return ballast;
        }

        throw new InvalidOperationException("the file system is not small");
    }

    public void Dispose()
    {
        Assert.Null(Run("umount", "-l", Directory)); // a process that another test starts at this moment may hold a copy of the descriptors
        System.IO.Directory.Delete(Directory);
    }

    private static string? Run(string program, params string[] args)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, args) { RedirectStandardError = true })!;
            string text = process.StandardError.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0 ? null : $"{program}: {text.Trim()}";
        }
        catch (Win32Exception e)
        {
            return e.Message;
        }
    }
}
