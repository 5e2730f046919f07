using System.Runtime.InteropServices;

namespace Pilot.Cli.Processes;

/// <summary>The few calls that the framework does not offer: a child in a session of its own, signals, exec (POSIX).</summary>
internal static unsafe partial class NativeProcess
{
    public const int SigTerm = 15;
    public const int SigKill = 9;
    private const int NoSuchProcess = 3; // ESRCH
    private const int WaitNoHang = 1;
    private const int OpenReadOnly = 0;
    private const int OpenWriteOnly = 1;
    private const int RoomForOpaqueType = 1024; // bytes; posix_spawn's types are at most some 340

    /// <summary>POSIX_SPAWN_SETSID of glibc and musl, and of Darwin.</summary>
    private static short NewSession => (short)(OperatingSystem.IsMacOS() ? 0x0400 : 0x80);

    private static int CreateFlag => OperatingSystem.IsMacOS() ? 0x0200 : 0x40;

    private static int TruncateFlag => OperatingSystem.IsMacOS() ? 0x0400 : 0x200;

    /// <summary>
    /// Starts a program in a new session with standard input from /dev/null and both outputs into a file (emptied first, mode 0600).
    /// </summary>
    /// <returns>Process id of the child.</returns>
    /// <exception cref="System.ComponentModel.Win32Exception">It could not be started.</exception>
    public static int StartDetached(string[] command, string outputFile, IReadOnlyList<string> environment)
    {
        // A private file before anybody writes to it. The byte (removed by the child's truncation) finds a full disk now: the child
        // could not say it, as its last words go there.
        using (var file = new FileStream(outputFile, new FileStreamOptions
        {
            Mode = FileMode.Create,
            Access = FileAccess.Write,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        }))
        {
            file.WriteByte((byte)'\n');
        }

        byte* actions = stackalloc byte[RoomForOpaqueType];
        byte* attributes = stackalloc byte[RoomForOpaqueType];
        Check(posix_spawn_file_actions_init(actions));
        Check(posix_spawnattr_init(attributes));
        byte** argv = Strings(command);
        byte** envp = Strings(environment);
        try
        {
            Check(posix_spawn_file_actions_addopen(actions, 0, "/dev/null", OpenReadOnly, 0));
            Check(posix_spawn_file_actions_addopen(actions, 1, outputFile, OpenWriteOnly | CreateFlag | TruncateFlag, 0x180));
            Check(posix_spawn_file_actions_adddup2(actions, 1, 2));
            Check(posix_spawnattr_setflags(attributes, NewSession));
            int pid;
            Check(posix_spawnp(&pid, command[0], actions, attributes, argv, envp));
            return pid;
        }
        finally
        {
            Free(argv);
            Free(envp);
            _ = posix_spawnattr_destroy(attributes);
            _ = posix_spawn_file_actions_destroy(actions);
        }
    }

    /// <summary>True once the child has ended; <paramref name="status"/> is its exit status, or 128 + signal.</summary>
    public static bool HasEnded(int child, out int status)
    {
        int raw = 0;
        int result = waitpid(child, &raw, WaitNoHang);
        int signal = raw & 0x7F;
        status = signal == 0 ? (raw >> 8) & 0xFF : 128 + signal;
        return result == child;
    }

    /// <summary>Replaces this program by another; returns only on failure.</summary>
    public static int Replace(string[] command, IReadOnlyList<string> environment)
    {
        byte** argv = Strings(command);
        byte** envp = Strings(environment);
        string program = command[0];
        if (!program.Contains('/', StringComparison.Ordinal))
        {
            program = (System.Environment.GetEnvironmentVariable("PATH") ?? string.Empty)
                .Split(':').Select(d => Path.Combine(d, program)).FirstOrDefault(File.Exists) ?? program;
        }

        _ = execve(program, argv, envp);
        int error = Marshal.GetLastPInvokeError();
        Free(argv);
        Free(envp);
        return error;
    }

    public static bool IsAlive(int pid)
    {
        if (kill(pid, 0) != 0 && Marshal.GetLastPInvokeError() == NoSuchProcess)
        {
            return false;
        }

        // A zombie that nobody collects answers signals for ever.
        try
        {
            string stat = File.ReadAllText($"/proc/{pid}/stat");
            int end = stat.LastIndexOf(')');
            return end < 0 || end + 2 >= stat.Length || stat[end + 2] is not ('Z' or 'X');
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return true;
        }
    }

    public static bool Signal(int pid, int signal) => kill(pid, signal) == 0;

    private static byte** Strings(IReadOnlyList<string> texts)
    {
        byte** array = (byte**)NativeMemory.AllocZeroed((nuint)texts.Count + 1, (nuint)sizeof(byte*));
        for (int i = 0; i < texts.Count; i++)
        {
            array[i] = (byte*)Marshal.StringToCoTaskMemUTF8(texts[i]);
        }

        return array;
    }

    private static void Free(byte** array)
    {
        for (byte** entry = array; *entry is not null; entry++)
        {
            Marshal.FreeCoTaskMem((nint)(*entry));
        }

        NativeMemory.Free(array);
    }

    private static void Check(int error)
    {
        if (error != 0)
        {
            throw new System.ComponentModel.Win32Exception(error);
        }
    }

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int posix_spawnp(int* pid, string file, byte* actions, byte* attributes, byte** argv, byte** envp);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_init(byte* actions);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_destroy(byte* actions);

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int posix_spawn_file_actions_addopen(byte* actions, int descriptor, string path, int flags, uint mode);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_adddup2(byte* actions, int from, int to);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_init(byte* attributes);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_destroy(byte* attributes);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_setflags(byte* attributes, short flags);

    [LibraryImport("libc")]
    private static partial int waitpid(int pid, int* status, int options);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int kill(int pid, int signal);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int execve(string path, byte** argv, byte** envp);
}
