using System.Diagnostics;
using System.Globalization;
using Pilot.Benchmarks.Link;
using Pilot.Benchmarks.Processes;

namespace Pilot.Benchmarks.Fairness;

/// <summary>Two network namespaces with one link between them, which is a process of ours. Needs root and <c>ip</c>.</summary>
internal sealed class LinkedNamespaces : IDisposable
{
    public const string LeftAddress = "10.77.0.1";
    public const string RightAddress = "10.77.0.2";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    // The kernel's TCP must be limited by the link, not by its buffers; nothing learnt from one flow may help the next.
    private static readonly string[] TcpSettings =
    [
        "net.ipv4.tcp_rmem=4096 131072 33554432", "net.ipv4.tcp_wmem=4096 65536 33554432", "net.ipv4.tcp_no_metrics_save=1",
    ];

    private const string LeftPrefix = "pilot-l-";
    private const string RightPrefix = "pilot-r-";
    private const string Directory = "/var/run/netns"; // ip-netns(8)

    private readonly string _left = $"{LeftPrefix}{Environment.ProcessId}";
    private readonly string _right = $"{RightPrefix}{Environment.ProcessId}";
    private RoleProcess? _link;

    /// <summary>Command that becomes another one in the left namespace.</summary>
    public string[] InLeft => ["ip", "netns", "exec", _left];

    public string[] InRight => ["ip", "netns", "exec", _right];

    /// <summary>Makes them.</summary>
    /// <exception cref="BenchmarkException">Not allowed here.</exception>
    public static async Task<LinkedNamespaces> CreateAsync()
    {
        RemoveLeftovers();
        var result = new LinkedNamespaces();
        try
        {
            var (a, b) = ($"pl{Environment.ProcessId}", $"pr{Environment.ProcessId}");
            Run("ip", "netns", "add", result._left);
            Run("ip", "netns", "add", result._right);
            result._link = RoleProcess.Start("tun-link", a, b);
            await result.ExpectAsync("ready").ConfigureAwait(false);
            SetUp(result._left, a, LeftAddress);
            SetUp(result._right, b, RightAddress);
            return result;
        }
        catch
        {
            result.Dispose();
            throw;
        }
    }

    public async Task SetAsync(LinkParameters parameters)
    {
        _link!.WriteLine($"set {parameters}");
        await ExpectAsync("ok").ConfigureAwait(false);
    }

    public Task<string> DescribeAsync()
    {
        _link!.WriteLine("stats");
        return _link.ReadLineAsync(Patience);
    }

    public void Dispose()
    {
        _link?.Dispose(); // takes the interfaces with it
        foreach (var name in new[] { _left, _right })
        {
            if (File.Exists(Path.Combine(Directory, name)))
            {
                Run("ip", "netns", "delete", name);
            }
        }
    }

    /// <summary>Namespaces of runs that were killed, with what still runs in them: their names carry the process that made them.</summary>
    private static void RemoveLeftovers()
    {
        foreach (var path in System.IO.Directory.Exists(Directory) ? System.IO.Directory.GetFiles(Directory) : [])
        {
            var name = Path.GetFileName(path);
            var isOurs = name.StartsWith(LeftPrefix, StringComparison.Ordinal) || name.StartsWith(RightPrefix, StringComparison.Ordinal);
            if (!isOurs || !int.TryParse(name[LeftPrefix.Length..], out var maker) || IsBenchmark(maker))
            {
                continue;
            }

            using var list = Process.Start(new ProcessStartInfo("ip", ["netns", "pids", name]) { RedirectStandardOutput = true, UseShellExecute = false })!;
            foreach (var pid in list.StandardOutput.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
            {
                ProcessUsage.Terminate(int.Parse(pid, CultureInfo.InvariantCulture));
            }

            list.WaitForExit();
            Run("ip", "netns", "delete", name);
        }
    }

    private static bool IsBenchmark(int pid)
    {
        try
        {
            return File.ReadAllText($"/proc/{pid}/cmdline").Contains("Pilot.Benchmarks", StringComparison.Ordinal);
        }
        catch (IOException)
        {
            return false; // ended
        }
    }

    private static void SetUp(string name, string device, string address)
    {
        Run("ip", "link", "set", device, "netns", name);
        Run("ip", "-n", name, "address", "add", $"{address}/24", "dev", device);
        Run("ip", "-n", name, "link", "set", "lo", "up");
        Run("ip", "-n", name, "link", "set", device, "up");
        foreach (var setting in TcpSettings)
        {
            Run("ip", "netns", "exec", name, "sysctl", "-q", "-w", setting);
        }
    }

    private static void Run(params string[] command)
    {
        var information = new ProcessStartInfo(command[0], command[1..]) { RedirectStandardError = true, UseShellExecute = false };
        using var process = Process.Start(information)!;
        var error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
        {
            throw new BenchmarkException($"{string.Join(' ', command)}: {error.Trim()}");
        }
    }

    private async Task ExpectAsync(string expected)
    {
        var answer = await _link!.ReadLineAsync(Patience).ConfigureAwait(false);
        if (answer != expected)
        {
            throw new BenchmarkException($"link: {answer}");
        }
    }
}
