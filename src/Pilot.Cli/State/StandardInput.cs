namespace Pilot.Cli.State;

/// <summary>What standard input is.</summary>
internal static class StandardInput
{
    /// <summary>True for a terminal and for <c>/dev/null</c>: nothing was piped in.</summary>
    public static bool IsCharacterDevice()
    {
        if (!Console.IsInputRedirected)
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
