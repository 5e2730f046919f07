using System.Globalization;
using System.Runtime.InteropServices;

namespace Pilot.Benchmarks.Processes;

/// <summary>What the kernel knows about another process (proc(5)).</summary>
internal static partial class ProcessUsage
{
    private const int UserTimeField = 13; // utime, counted from 0 with the name left out: see below
    private const int NameFields = 2; // pid and (name) stand before the rest
    private const double TicksPerSecond = 100; // USER_HZ, fixed for user space on Linux
    private const int SignalTerminate = 15;

    /// <summary>CPU seconds so far, user and system, all threads.</summary>
    public static double CpuSeconds(int pid)
    {
        var text = File.ReadAllText($"/proc/{pid}/stat");
        var fields = text[(text.LastIndexOf(')') + 2)..].Split(' ');
        return (Number(fields[UserTimeField - NameFields]) + Number(fields[UserTimeField + 1 - NameFields])) / TicksPerSecond;
    }

    /// <summary>Resident memory in MiB: all of it, and the part that no other process shares.</summary>
    public static (double Resident, double Private) Memory(int pid)
    {
        double resident = 0;
        double own = 0;
        foreach (var line in File.ReadLines($"/proc/{pid}/smaps_rollup"))
        {
            var words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            switch (words[0])
            {
                case "Rss:":
                    resident = Number(words[1]) / 1024;
                    break;
                case "Private_Clean:" or "Private_Dirty:":
                    own += Number(words[1]) / 1024;
                    break;
            }
        }

        return (resident, own);
    }

    /// <summary>Asks a process that we started to end.</summary>
    public static void Terminate(int pid) => _ = Kill(pid, SignalTerminate);

    private static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int pid, int signal);
}
