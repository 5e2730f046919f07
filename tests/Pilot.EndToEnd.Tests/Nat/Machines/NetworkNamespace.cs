using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Pilot.EndToEnd.Tests.Lab;

namespace Pilot.EndToEnd.Tests.Nat.Machines;

/// <summary>A Linux network namespace (ip-netns(8)): a machine as far as its network is concerned. Needs root and <c>ip</c>.</summary>
internal sealed partial class NetworkNamespace : IDisposable
{
    private const string Prefix = "pilotnat-";
    private const string Directory = "/var/run/netns";
    private const int NetworkNamespaceFlag = 0x40000000; // CLONE_NEWNET
    private static readonly Lock SweepGate = new();
    private static bool s_swept;
    private static int s_count;

    public NetworkNamespace(string role)
    {
        RemoveLeftOvers();
        Name = string.Create(CultureInfo.InvariantCulture, $"{Prefix}{Environment.ProcessId}-{Interlocked.Increment(ref s_count)}-{role}");
        Execute(["ip", "netns", "add", Name]);
        Ip("link set lo up");
    }

    public string Name { get; }

    /// <summary>The command that runs another one here.</summary>
    public string[] Enter => ["ip", "netns", "exec", Name];

    /// <summary>Why it cannot be had here; null when it can.</summary>
    public static string? Obstacle { get; } = FindObstacle();

    public static bool HasNft { get; } = Obstacle is null && OnPath("nft");

    public static bool OnPath(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? string.Empty).Split(':').Append("/usr/sbin").Any(d => File.Exists(Path.Combine(d, program)));

    /// <summary>Runs <c>ip</c> commands (ip(8), without the word <c>ip</c>) here.</summary>
    public void Ip(params string[] commands) => Execute(["ip", "-n", Name, "-batch", "-"], string.Join('\n', commands) + "\n");

    /// <summary>Loads nftables rules (nft(8)) here.</summary>
    public void Nft(string rules) => Execute([.. Enter, "nft", "-f", "-"], rules);

    /// <summary>Sets a kernel setting of this namespace, e.g. <c>net/ipv4/ip_forward</c>.</summary>
    public void Set(string setting, string value) => Run(() =>
    {
        File.WriteAllText("/proc/sys/" + setting, value);
        return 0;
    });

    /// <summary>A UDP socket of this machine.</summary>
    public Socket OpenUdp(IPEndPoint local) => Run(() =>
    {
        Socket socket = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        socket.Bind(local);
        return socket;
    });

    /// <summary>Runs something on a thread of its own that is in this namespace.</summary>
    public T Run<T>(Func<T> action)
    {
        T result = default!;
        ExceptionDispatchInfo? failure = null;
        Thread thread = new(() =>
        {
            try
            {
                using SafeFileHandle file = File.OpenHandle(Path.Combine(Directory, Name));
                if (setns(file, NetworkNamespaceFlag) != 0)
                {
                    throw new Win32Exception(Marshal.GetLastPInvokeError());
                }

                result = action();
            }
            catch (Exception e)
            {
                failure = ExceptionDispatchInfo.Capture(e);
            }
        });
        thread.Start();
        thread.Join();
        failure?.Throw();
        return result;
    }

    public void Dispose() => Remove(Name);

    /// <summary>What a run that was killed left behind: its processes and namespaces. Those of runs that live are not touched.</summary>
    internal static void RemoveLeftOvers(bool again = false)
    {
        lock (SweepGate)
        {
            if ((s_swept && !again) || !System.IO.Directory.Exists(Directory))
            {
                return;
            }

            s_swept = true;
            foreach (string name in System.IO.Directory.GetFiles(Directory, Prefix + "*").Select(f => Path.GetFileName(f)))
            {
                string owner = name[Prefix.Length..].Split('-')[0];
                if (int.TryParse(owner, NumberStyles.None, CultureInfo.InvariantCulture, out int pid) && pid != Environment.ProcessId && !Programs.IsAlive(pid))
                {
                    Remove(name);
                }
            }
        }
    }

    private static void Remove(string name)
    {
        // Another run may clean up the same: what is gone already is no error.
        foreach (string pid in Output(["ip", "netns", "pids", name]).Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            Programs.Kill(int.Parse(pid, CultureInfo.InvariantCulture));
        }

        _ = Output(["ip", "netns", "delete", name]);
    }

    private static void Execute(string[] command, string? input = null)
    {
        (int exit, _, string error) = Start(command, input);
        if (exit != 0)
        {
            throw new InvalidOperationException($"{string.Join(' ', command)}: {error.Trim()}\n{input}");
        }
    }

    private static string Output(string[] command) => Start(command, null).Output;

    private static (int Exit, string Output, string Error) Start(string[] command, string? input)
    {
        using Process process = Programs.Start(command[0], command[1..], new Dictionary<string, string?>());
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output, error.Result);
    }

    private static string? FindObstacle()
    {
        if (!OperatingSystem.IsLinux() || geteuid() != 0)
        {
            return "needs root on Linux (network namespaces)";
        }

        if (!OnPath("ip"))
        {
            return "needs the program ip (Debian package iproute2)";
        }

        if (!File.Exists("/dev/net/tun"))
        {
            return "needs /dev/net/tun";
        }

        string name = string.Create(CultureInfo.InvariantCulture, $"{Prefix}{Environment.ProcessId}-0-try");
        (int exit, _, string error) = Start(["ip", "netns", "add", name], null);
        _ = Output(["ip", "netns", "delete", name]);
        return exit == 0 ? null : "network namespaces do not work here: " + error.Trim();
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int setns(SafeFileHandle descriptor, int kind);

    [LibraryImport("libc")]
    private static partial uint geteuid();
}
