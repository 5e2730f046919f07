using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text.Json;
using Pilot.Protocol;

namespace Pilot.Rendezvous.Tests.Server;

/// <summary>The executable: flags, ready file, signals, exit codes.</summary>
public sealed class ProcessTests
{
    private const int SigTerm = 15;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Starts_writes_the_ready_file_serves_and_stops_on_sigterm()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "no SIGTERM on Windows");
        string directory = Directory.CreateTempSubdirectory("pilot-rendezvous").FullName;
        try
        {
            string ready = Path.Combine(directory, "ready.json");
            using Process process = Start("-registry-addr", "127.0.0.1:0", "--beacon-addr=127.0.0.1:0", "--ready-file", ready, "-store=memory");
            Task<string> log = process.StandardError.ReadToEndAsync();
            using RawClient client = await ConnectAsync(process, ready);
            Assert.Contains("beacon_list_ok", await client.CallAsync("{\"type\":\"beacon_list\"}"), StringComparison.Ordinal);

            Assert.Equal(0, Kill(process.Id, SigTerm));
            await process.WaitForExitAsync().WaitAsync(Patience);
            Assert.Equal(0, process.ExitCode);
            string text = await log;
            Assert.Contains("rendezvous running", text, StringComparison.Ordinal);
            Assert.Contains("state is kept in memory only", text, StringComparison.Ordinal);
            Assert.Contains("not encrypted", text, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public async Task Killed_server_keeps_every_answered_registration()
    {
        string directory = Directory.CreateTempSubdirectory("pilot-rendezvous").FullName;
        try
        {
            string[] args = ["-registry-addr", "127.0.0.1:0", "-beacon-addr", "127.0.0.1:0", "-limit-registrations", "0", "-store", Path.Combine(directory, "store")];
            var nodes = new List<Identity>();
            for (int round = 0; round < 3; round++)
            {
                string ready = Path.Combine(directory, $"ready{round}.json");
                using Process process = Start([.. args, "-ready-file", ready]);
                Task<string> log = process.StandardError.ReadToEndAsync();
                using RawClient client = await ConnectAsync(process, ready);
                for (int i = 0; i < nodes.Count; i++)
                {
                    Assert.Contains($"\"node_id\":{i + 1},", await client.RegisterAsync(nodes[i]), StringComparison.Ordinal);
                }

                for (int i = 0; i < 20; i++)
                {
                    nodes.Add(Identity.Create());
                    Assert.Contains($"\"node_id\":{nodes.Count},", await client.RegisterAsync(nodes[^1]), StringComparison.Ordinal);
                }

                process.Kill();
                await process.WaitForExitAsync().WaitAsync(Patience);
                await log;
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public async Task A_server_whose_store_is_found_damaged_says_so_and_ends_with_a_failure()
    {
        string directory = Directory.CreateTempSubdirectory("pilot-rendezvous").FullName;
        try
        {
            string store = Path.Combine(directory, "store"), ready = Path.Combine(directory, "ready.json");
            using Process process = Start("-registry-addr", "127.0.0.1:0", "-beacon-addr", "127.0.0.1:0", "-store", store, "-ready-file", ready);
            Task<string> log = process.StandardError.ReadToEndAsync();
            using RawClient client = await ConnectAsync(process, ready);
            Assert.Contains("register_ok", await client.RegisterAsync(), StringComparison.Ordinal);
            using (var other = new Microsoft.Data.Sqlite.SqliteConnection($"Data Source={store};Pooling=False"))
            {
                other.Open();
                using var command = other.CreateCommand();
                command.CommandText = "DROP TABLE registry_events";
                command.ExecuteNonQuery();
            }

            Assert.Contains("is damaged", await client.RegisterAsync(), StringComparison.Ordinal);
            await process.WaitForExitAsync().WaitAsync(Patience);
            Assert.Equal(1, process.ExitCode);
            string text = await log;
            Assert.Contains("stopping: ", text, StringComparison.Ordinal);
            Assert.Contains("rendezvous restore BACKUP", text, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public async Task A_background_task_that_fails_stops_the_server_as_a_failure()
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync(s => s.Connections = s.Connections with { SweepInterval = TimeSpan.FromMilliseconds(10) });
        Assert.False(server.Host.Failed);
        server.Host.Timers.Tick = () => throw new InvalidOperationException("a fault of ours");
        await server.Host.WaitForShutdownAsync(TestContext.Current.CancellationToken).WaitAsync(Patience, TestContext.Current.CancellationToken);
        Assert.True(server.Host.Failed);
    }

    [Theory]
    [InlineData(2, "-bogus")]
    [InlineData(2, "-registry-addr")]
    [InlineData(0, "-h")]
    [InlineData(1, "-config", "/nonexistent/config.json")]
    [InlineData(1, "-registry-addr", "nonsense")]
    public async Task Exit_codes(int expected, params string[] args)
    {
        using Process process = Start(args);
        string text = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync().WaitAsync(Patience);
        Assert.Equal(expected, process.ExitCode);
        Assert.NotEmpty(text);
    }

    internal static async Task<RawClient> ConnectAsync(Process process, string ready)
    {
        var clock = Stopwatch.StartNew();
        while (!File.Exists(ready))
        {
            Assert.False(process.HasExited, "the process ended early");
            Assert.True(clock.Elapsed < Patience, "no ready file");
            await Task.Delay(20);
        }

        using JsonDocument addresses = JsonDocument.Parse(await File.ReadAllBytesAsync(ready));
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPEndPoint.Parse(addresses.RootElement.Text("registry")));
        return new RawClient(new NetworkStream(socket, ownsSocket: true), socket);
    }

    /// <summary>Starts it with so many files that it may have open.</summary>
    internal static Process StartWithFiles(int files, params string[] args) => Run("/bin/sh", ["-c", $"ulimit -n {files}; exec \"$0\" \"$@\"", Executable, .. args]);

    // It stands next to the tests, because they reference its project.
    private static string Executable => Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "rendezvous.exe" : "rendezvous");

    private static Process Start(params string[] args) => Run(Executable, args);

    private static Process Run(string file, string[] args)
    {
        var info = new ProcessStartInfo(file)
        {
            RedirectStandardError = true,
        };
        foreach (string arg in args)
        {
            info.ArgumentList.Add(arg);
        }

        return Process.Start(info)!;
    }

    [DllImport("libc", EntryPoint = "kill")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Kill(int process, int signal);
}
