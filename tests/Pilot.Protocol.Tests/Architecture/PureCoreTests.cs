using System.Diagnostics;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace Pilot.Protocol.Tests.Architecture;

/// <summary>
/// Protocol and Engine have no sockets, files, threads, locks, clocks or randomness of their own: hosts hand all of that in
/// (docs/architecture.md, "Sans-I/O core"). Checked on the compiled assemblies, so nothing hides behind a using or an alias.
/// </summary>
public sealed class PureCoreTests
{
    // Everything below these namespaces.
    private static readonly string[] BannedNamespaces =
    [
        "System.Net.Sockets", "System.Net.Http", "System.Net.NetworkInformation", "System.Net.Security", "System.Net.WebSockets",
        "System.IO.Pipes", "System.IO.MemoryMappedFiles", "System.IO.IsolatedStorage", "System.Timers", "System.Threading.Channels",
        "Microsoft.Extensions", "Microsoft.Win32",
    ];

    private static readonly string[] BannedTypes =
    [
        "System.Random", "System.Console", "System.TimeProvider", "System.Net.Dns",
        "System.IO.File", "System.IO.FileInfo", "System.IO.FileStream", "System.IO.Directory", "System.IO.DirectoryInfo", "System.IO.Path",
        "System.IO.FileSystemWatcher", "System.IO.RandomAccess", "System.IO.StreamReader", "System.IO.StreamWriter", "System.IO.DriveInfo",
        "System.Diagnostics.Stopwatch", "System.Diagnostics.Process",
        "System.Threading.Thread", "System.Threading.ThreadPool", "System.Threading.Timer", "System.Threading.PeriodicTimer",
        "System.Threading.Monitor", "System.Threading.Lock", "System.Threading.Mutex", "System.Threading.Semaphore", "System.Threading.SemaphoreSlim",
        "System.Threading.ReaderWriterLockSlim", "System.Threading.ManualResetEvent", "System.Threading.ManualResetEventSlim",
        "System.Threading.AutoResetEvent", "System.Threading.SpinWait", "System.Threading.SpinLock", "System.Threading.CancellationTokenSource",
        "System.Threading.Tasks.Parallel", "System.Threading.Tasks.TaskFactory",
    ];

    private static readonly string[] BannedMembers =
    [
        "System.DateTime.get_Now", "System.DateTime.get_UtcNow", "System.DateTime.get_Today",
        "System.DateTimeOffset.get_Now", "System.DateTimeOffset.get_UtcNow",
        "System.Environment.get_TickCount", "System.Environment.get_TickCount64", "System.Environment.GetEnvironmentVariable", "System.Environment.Exit",
        "System.Guid.NewGuid", "System.Guid.CreateVersion7",
        "System.Threading.Tasks.Task.Delay", "System.Threading.Tasks.Task.Run", "System.Threading.Tasks.Task.Wait",
    ];

    // Making a new identity is the one place of Protocol that draws randomness; the Engine gets all of it injected.
    private static readonly string[] BannedInEngineOnly = ["System.Security.Cryptography.RandomNumberGenerator", "System.Runtime.InteropServices.NativeLibrary"];

    [Fact]
    public void Protocol_is_pure_but_for_libcrypto()
    {
        AssemblyScan scan = AssemblyScan.Of(typeof(Packet).Assembly.Location);
        Assert.Contains("System.ReadOnlySpan`1", scan.Types); // the scan sees something
        Assert.Empty(Violations(scan, BannedTypes));
        Assert.Equal(["Pilot.Protocol.Libcrypto -> libcrypto"], scan.NativeCalls);
    }

    [Fact]
    public void Engine_is_pure()
    {
        AssemblyScan scan = AssemblyScan.Of(Path.Combine(AppContext.BaseDirectory, "Pilot.Engine.dll"));
        Assert.NotEmpty(scan.Types);
        Assert.Empty(Violations(scan, [.. BannedTypes, .. BannedInEngineOnly]));
        Assert.Empty(scan.NativeCalls);
    }

    [Fact]
    public void The_scan_sees_what_is_banned()
    {
        // This assembly commits the crimes below.
        AssemblyScan scan = AssemblyScan.Of(typeof(PureCoreTests).Assembly.Location);
        string[] seen = Violations(scan, [.. BannedTypes, .. BannedInEngineOnly]);
        foreach (string crime in new[]
        {
            "System.IO.File", "System.Diagnostics.Stopwatch", "System.Net.Sockets.Socket", "System.Random", "System.Threading.Thread", "System.Threading.Timer",
            "System.DateTime.get_UtcNow", "System.DateTimeOffset.get_Now", "System.Threading.Tasks.Task.Delay",
            "System.Security.Cryptography.RandomNumberGenerator",
        })
        {
            Assert.Contains(crime, seen);
        }
    }

    internal static object[] Crimes() =>
    [
        File.Exists("x"), Stopwatch.GetTimestamp(), new Socket(SocketType.Dgram, ProtocolType.Udp), new Random(1), new Thread(() => { }), new Timer(_ => { }),
        DateTime.UtcNow, DateTimeOffset.Now, Task.Delay(0), RandomNumberGenerator.GetInt32(5),
    ];

    private static string[] Violations(AssemblyScan scan, string[] bannedTypes) =>
    [
        .. scan.Types.Where(t => bannedTypes.Contains(t) || BannedNamespaces.Any(n => t.StartsWith(n + ".", StringComparison.Ordinal))),
        .. scan.Members.Where(m => BannedMembers.Contains(m)),
    ];
}
