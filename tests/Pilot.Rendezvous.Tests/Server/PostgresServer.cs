using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Pilot.Rendezvous.Tests.Server;

/// <summary>A PostgreSQL server of Debian's package on a free loopback port, its data in a temporary directory. Started and ended by whoever needs it.</summary>
internal sealed class PostgresServer : IAsyncDisposable
{
    private const string Account = "postgres"; // the package's; PostgreSQL does not run as root
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _directory;
    private readonly string _programs;
    private readonly int _port;
    private Process? _process;
    private string _database = Account;
    private int _databases;

    private PostgresServer(string directory, string programs, int port)
    {
        _directory = directory;
        _programs = programs;
        _port = port;
    }

    /// <summary>Why there can be none here; null when there can.</summary>
    public static string? Missing
    {
        get
        {
            if (!OperatingSystem.IsLinux())
            {
                return "PostgreSQL is started on Linux only";
            }

            if (Programs() is null)
            {
                return "PostgreSQL is not installed (Debian: apt-get install postgresql)";
            }

            return IsRoot && !File.Exists("/usr/bin/setpriv") ? "PostgreSQL does not run as root, and setpriv is missing" : null;
        }
    }

    public string ConnectionString => $"Host=127.0.0.1;Port={_port};Username={Account};Database={_database}";

    private static bool IsRoot => Environment.UserName == "root";

    public static async Task<PostgresServer> StartAsync()
    {
        string directory = Directory.CreateTempSubdirectory("pilot-postgres").FullName;
        var server = new PostgresServer(directory, Programs()!, FreePort());
        try
        {
            if (IsRoot)
            {
                await RunAsync("/bin/chown", Account, directory);
            }

            await server.RunAsAccountAsync("initdb", "-D", server.Data, "-U", Account, "-A", "trust", "-E", "UTF8", "--no-sync");
            await server.BeginAsync();
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>Makes an empty database, which <see cref="ConnectionString"/> names from now on.</summary>
    public async Task UseFreshDatabaseAsync()
    {
        string name = $"test{++_databases}";
        await RunAsAccountAsync("createdb", "-h", "127.0.0.1", "-p", $"{_port}", "-U", Account, name);
        _database = name;
    }

    /// <summary>Starts it again after <see cref="KillAsync"/> or <see cref="StopAsync"/>.</summary>
    public async Task BeginAsync()
    {
        _process = Start(
            Path.Combine(_programs, "postgres"),
            "-D", Data, "-c", "listen_addresses=127.0.0.1", "-c", $"port={_port}", "-c", $"unix_socket_directories={_directory}", "-c", "logging_collector=off");
        _process.ErrorDataReceived += static (_, _) => { };
        _process.BeginErrorReadLine();
        var clock = Stopwatch.StartNew();
        while (!await TryRunAsync(Path.Combine(_programs, "pg_isready"), "-h", "127.0.0.1", "-p", $"{_port}", "-q"))
        {
            if (_process.HasExited || clock.Elapsed > Patience)
            {
                throw new InvalidOperationException("PostgreSQL does not start");
            }

            await Task.Delay(50);
        }
    }

    /// <summary>Ends it at once, as an operator does it: clients are cut off, what was committed stays.</summary>
    public async Task StopAsync()
    {
        if (_process is { HasExited: false })
        {
            await RunAsAccountAsync("pg_ctl", "stop", "-D", Data, "-m", "fast", "-w");
            await _process.WaitForExitAsync();
        }
    }

    /// <summary>Ends it without a shutdown: it recovers from its log at the next start.</summary>
    public async Task KillAsync()
    {
        if (_process is { HasExited: false })
        {
            await RunAsAccountAsync("pg_ctl", "stop", "-D", Data, "-m", "immediate", "-w");
            await _process.WaitForExitAsync();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        _process?.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    private string Data => Path.Combine(_directory, "data");

    private static string? Programs()
    {
        if (!Directory.Exists("/usr/lib/postgresql"))
        {
            return null;
        }

        return Directory.GetDirectories("/usr/lib/postgresql")
            .Select(d => Path.Combine(d, "bin"))
            .Where(d => File.Exists(Path.Combine(d, "postgres")) && File.Exists(Path.Combine(d, "initdb")))
            .OrderDescending(StringComparer.Ordinal)
            .FirstOrDefault();
    }

    private static int FreePort()
    {
        using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        probe.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)probe.LocalEndPoint!).Port;
    }

    private Process Start(string program, params string[] arguments)
    {
        ProcessStartInfo info = IsRoot
            ? new ProcessStartInfo("/usr/bin/setpriv", ["--reuid", Account, "--regid", Account, "--clear-groups", program, .. arguments])
            : new ProcessStartInfo(program, arguments);
        info.RedirectStandardError = true;
        info.RedirectStandardOutput = true;
        info.WorkingDirectory = "/";
        return Process.Start(info)!;
    }

    private async Task RunAsAccountAsync(string program, params string[] arguments)
    {
        using Process process = Start(Path.Combine(_programs, program), arguments);
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        string error = await process.StandardError.ReadToEndAsync();
        await output;
        await process.WaitForExitAsync();
        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException($"{program} failed: {error}");
        }
    }

    private static async Task RunAsync(string program, params string[] arguments)
    {
        if (!await TryRunAsync(program, arguments))
        {
            throw new InvalidOperationException($"{program} failed");
        }
    }

    private static async Task<bool> TryRunAsync(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments))!;
        await process.WaitForExitAsync();
        return process.ExitCode == 0;
    }
}
