using Pilot.Cli.Output;

namespace Pilot.Cli.State;

/// <summary>What standard input is.</summary>
internal static class StandardInput
{
    /// <summary>True for a terminal, for <c>/dev/null</c> and for no input at all: nothing was piped in.</summary>
    public static bool IsCharacterDevice()
    {
        if (!StandardDescriptors.IsOpen(StandardDescriptors.Input) || !Console.IsInputRedirected)
        {
            return true;
        }

        try
        {
            return new FileInfo("/proc/self/fd/0").LinkTarget is "/dev/null";
        }
        catch (IOException)
        {
            return false;
        }
    }
}
