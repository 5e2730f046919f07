using System.Runtime.InteropServices;

namespace Pilot.Flags;

/// <summary>
/// A server that was started with a standard descriptor closed (<c>2&gt;&amp;-</c>): the runtime has got its number for a pipe or a file of its own
/// before the first line of ours runs, and a log line or a password prompt would hit that. Moving the runtime's descriptors is not possible,
/// so the program starts itself again in the same process, with /dev/null in the gaps.
/// </summary>
public static partial class StandardDescriptors
{
    private const int Count = 3; // input, output, error
    private const int GetFlags = 1; // F_GETFD
    private const int CloseOnExec = 1; // FD_CLOEXEC
    private const int OpenReadWrite = 2; // O_RDWR
    private const string Nothing = "/dev/null";

    /// <summary>Returns when all three are what the caller gave us; else the program begins anew. The first statement of a program.</summary>
    /// <param name="arguments">The program's arguments.</param>
    public static void Complete(IReadOnlyList<string> arguments)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        int[] closed = OperatingSystem.IsWindows() ? [] : [.. Enumerable.Range(0, Count).Where(static descriptor => !IsOpen(descriptor))];
        if (closed.Length == 0 || Environment.ProcessPath is not { } program)
        {
            return;
        }

        // A program that was started as "dotnet program.dll" has the library in front of its arguments.
        var library = Path.GetFileNameWithoutExtension(program) == "dotnet" ? Environment.GetCommandLineArgs()[..1] : [];
        int nothing = Open(Nothing, OpenReadWrite);
        if (nothing < 0)
        {
            return; // without /dev/null there is nothing to put there
        }

        foreach (var descriptor in closed)
        {
            if (Duplicate(nothing, descriptor) < 0) // unlike the original, a duplicate goes through exec
            {
                return;
            }
        }

        // When /dev/null itself got one of the numbers, it has to go through exec as well: it is not marked. Else it is one too many.
        if (nothing >= Count)
        {
            _ = Close(nothing);
        }

        _ = Execute(program, [program, .. library, .. arguments, null]); // returns only on failure: then we go on as we are
    }

    /// <summary>Nothing that is marked close-on-exec came through exec, and what the runtime opens is marked.</summary>
    private static bool IsOpen(int descriptor) => Control(descriptor, GetFlags) is >= 0 and var flags && (flags & CloseOnExec) == 0;

    [LibraryImport("libc", EntryPoint = "fcntl")]
    private static partial int Control(int descriptor, int command);

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "dup2")]
    private static partial int Duplicate(int from, int to);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);

    [LibraryImport("libc", EntryPoint = "execv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Execute(string program, string?[] arguments);
}
