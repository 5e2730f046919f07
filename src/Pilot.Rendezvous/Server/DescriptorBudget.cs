using System.Globalization;
using Pilot.Rendezvous.Startup;
using Serilog;

namespace Pilot.Rendezvous.Server;

/// <summary>
/// How many connections the system's limit on open files leaves room for. The runtime does not survive having none left, so those who would take the last are
/// closed at once.
/// </summary>
/// <param name="Registry">Connections of the registry.</param>
/// <param name="Http">Connections of the dashboard.</param>
internal sealed record DescriptorBudget(int Registry, int Http)
{
    /// <summary>With fewer open files the server does not start.</summary>
    public const int LeastFiles = 512;

    /// <summary>Connections beyond the limit that may be open until they are refused, so that a burst from one address does not shut the others out.</summary>
    public const int AboutToBeRefused = 128;

    private const int Kept = 320 + AboutToBeRefused; // about 190 are open after the start; what is loaded later, the store's, a backup
    private const int MaxHttp = 1000;
    private const int HttpShare = 4; // at most one in so many

    /// <summary>What this process can serve; tells the log when that is less than wanted.</summary>
    /// <exception cref="StartException">The system allows too few open files.</exception>
    public static DescriptorBudget Take(int maxRegistry, ILogger log)
    {
        int files = Files();
        if (files < LeastFiles)
        {
            throw new StartException($"the system allows {files} open files, at least {LeastFiles} are needed (ulimit -n, or LimitNOFILE= of the unit)");
        }

        DescriptorBudget budget = Of(files, maxRegistry);
        if (budget.Registry < maxRegistry)
        {
            log.Warning(
                "connections are limited to {Connections} instead of {Wanted}: the system allows {Files} open files (ulimit -n, or LimitNOFILE= of the unit)",
                budget.Registry, maxRegistry, files);
        }

        return budget;
    }

    /// <summary>What a process that may open so many files can serve.</summary>
    public static DescriptorBudget Of(int files, int maxRegistry)
    {
        int left = Math.Max(files - Kept, 0);
        int http = Math.Min(MaxHttp, left / HttpShare);
        return new DescriptorBudget(Math.Min(maxRegistry, left - http), http);
    }

    /// <summary>Files that this process may have open.</summary>
    private static int Files()
    {
        const string name = "Max open files";
        const string limits = "/proc/self/limits";
        if (!File.Exists(limits))
        {
            return int.MaxValue; // not Linux
        }

        string? line = File.ReadLines(limits).FirstOrDefault(l => l.StartsWith(name, StringComparison.Ordinal));
        string? soft = line?[name.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries).FirstOrDefault();
        return int.TryParse(soft, CultureInfo.InvariantCulture, out int files) ? files : int.MaxValue; // "unlimited"
    }

    /// <summary>The limits, as far as there is room.</summary>
    public ConnectionLimits Within(ConnectionLimits limits) => limits with { MaxConnections = Math.Min(limits.MaxConnections, Registry) };
}
