using System.Runtime.InteropServices;

namespace Pilot.Cli.Output;

/// <summary>
/// Whether the three standard descriptors are the ones that we were started with. When the caller closed one (<c>2&gt;&amp;-</c>), the
/// runtime gets its number for something of its own, and writing there would hit that: it takes signals from such a pipe.
/// </summary>
internal static partial class StandardDescriptors
{
    public const int Input = 0;
    public const int Output = 1;
    public const int Error = 2;
    private const int GetFlags = 1; // F_GETFD
    private const int CloseOnExec = 1; // FD_CLOEXEC

    /// <summary>Nothing with this flag comes through exec, and what the runtime opens has it.</summary>
    public static bool IsOpen(int descriptor) => fcntl(descriptor, GetFlags) is >= 0 and var flags && (flags & CloseOnExec) == 0;

    [LibraryImport("libc")]
    private static partial int fcntl(int descriptor, int command);
}
