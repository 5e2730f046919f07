using System.Diagnostics;
using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Pilot.Protocol;
using Pilot.Rendezvous.Startup;

namespace Pilot.Rendezvous.Tests.Server;

/// <summary>What SIGHUP changes, what waits for a restart, and what the service manager is told.</summary>
public sealed class ReloadTests : IDisposable
{
    private const int SigHup = 1;
    private const int SigTerm = 15;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private readonly string _directory = Directory.CreateTempSubdirectory("pilot-reload").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Limits_tokens_and_beacons_change_and_the_rest_is_named()
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync(s => s.AdminToken = "old");
        using RawClient client = await server.ConnectAsync();
        const string Beacon = "{\"type\":\"beacon_register\",\"beacon_id\":7,\"addr\":\"203.0.113.9:9001\"}";
        Assert.Contains("error", await client.CallAsync(Beacon), StringComparison.Ordinal);
        Assert.Contains("list_nodes_ok", await client.CallAsync(List("old")), StringComparison.Ordinal);
        var fresh = new Settings
        {
            RegistryAddress = "127.0.0.1:0",
            BeaconAddress = "127.0.0.1:0",
            Store = "memory",
            AdminToken = "new",
            HttpAddress = "127.0.0.1:1",
            AllowedBeacons = { "203.0.113.9:9001" },
        };
        fresh.Limits = fresh.Limits with { QueriesPerMinute = 2 };
        fresh.Connections = fresh.Connections with { MaxPerAddress = 1 };
        Assert.Equal(["http"], server.Host.Reload(fresh));
        Assert.Contains("beacon_register_ok", await client.CallAsync(Beacon), StringComparison.Ordinal);
        Assert.Contains("request failed", await client.CallAsync(List("old")), StringComparison.Ordinal);
        Assert.Contains("list_nodes_ok", await client.CallAsync(List("new")), StringComparison.Ordinal);
        Assert.Contains("rate limited", await client.CallAsync(List("new")), StringComparison.Ordinal);
        using RawClient second = await server.ConnectAsync();
        Assert.Null(await second.ReadAsync()); // one per address now
    }

    [Fact]
    public async Task New_connections_get_the_new_certificate_and_a_bad_one_changes_nothing()
    {
        string certificate = Path.Combine(_directory, "cert.pem"), key = Path.Combine(_directory, "key.pem");
        string first = WriteCertificate(certificate, key);
        void Configure(Settings s) => (s.Tls, s.TlsCertificate, s.TlsKey, s.Store, s.AdminToken) = (true, certificate, key, "memory", "old");
        await using RendezvousServer server = await RendezvousServer.StartAsync(Configure);
        Assert.Equal(first, await FingerprintAsync(server));
        string second = WriteCertificate(certificate, key);
        var fresh = new Settings();
        Configure(fresh);
        server.Host.Reload(fresh);
        Assert.Equal(second, await FingerprintAsync(server));
        File.WriteAllText(certificate, "rubbish");
        Assert.Throws<StartException>(() => server.Host.Reload(fresh));
        Assert.Equal(second, await FingerprintAsync(server));
        Assert.Equal(second, server.Host.Fingerprint);
    }

    [Fact]
    public async Task The_executable_reads_its_file_again_and_tells_the_service_manager()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "no signals on Windows");
        string config = Path.Combine(_directory, "config.json"), notify = Path.Combine(_directory, "notify"), audit = Path.Combine(_directory, "audit"), ready = Path.Combine(_directory, "ready");
        File.WriteAllText(config, "{\"limit-queries\": 1}");
        using var manager = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        manager.Bind(new UnixDomainSocketEndPoint(notify));
        manager.ReceiveTimeout = (int)Patience.TotalMilliseconds;
        var info = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "rendezvous")) { RedirectStandardError = true };
        foreach (string arg in (string[])["-registry-addr", "127.0.0.1:0", "-beacon-addr", "127.0.0.1:0", "-store", "memory", "-config", config, "-audit-log", audit, "-ready-file", ready])
        {
            info.ArgumentList.Add(arg);
        }

        info.Environment["NOTIFY_SOCKET"] = notify;
        info.Environment["WATCHDOG_USEC"] = "3000000";
        using Process process = Process.Start(info)!;
        Task<string> log = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        Assert.StartsWith("READY=1\nSTATUS=registry 127.0.0.1:", Next(manager), StringComparison.Ordinal);
        Assert.Equal("WATCHDOG=1", Receive(manager));
        using var addresses = System.Text.Json.JsonDocument.Parse(File.ReadAllBytes(ready));
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(System.Net.IPEndPoint.Parse(addresses.RootElement.Text("registry")), TestContext.Current.CancellationToken);
        using var client = new RawClient(new NetworkStream(socket), socket);
        const string Lookup = "{\"type\":\"lookup\",\"node_id\":1}";
        await client.CallAsync(Lookup);
        Assert.Contains("rate limited", await client.CallAsync(Lookup), StringComparison.Ordinal);

        File.WriteAllText(config, "{\"limit-queries\": 100, \"log-level\": \"debug\", \"data\": \"/elsewhere\"}");
        File.Move(audit, audit + ".1");
        Assert.Equal(0, Kill(process.Id, SigHup));
        Assert.StartsWith("RELOADING=1\nMONOTONIC_USEC=", Next(manager), StringComparison.Ordinal);
        Assert.Equal("READY=1", Next(manager));
        Assert.Contains("not found", await client.CallAsync(Lookup), StringComparison.Ordinal);
        Assert.Contains("register_ok", await client.CallAsync($"{{\"type\":\"register\",\"public_key\":\"{Identity.Create().PublicKeyText}\"}}"), StringComparison.Ordinal);
        Assert.Contains("node.registered", File.ReadAllText(audit), StringComparison.Ordinal);

        File.WriteAllText(config, "{\"limit-queries\": \"many\"}");
        Assert.Equal(0, Kill(process.Id, SigHup));
        Assert.StartsWith("RELOADING=1", Next(manager), StringComparison.Ordinal);
        Assert.Equal("READY=1", Next(manager));
        Assert.Equal(0, Kill(process.Id, SigTerm));
        Assert.Equal("STOPPING=1", Next(manager));
        await process.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(Patience, TestContext.Current.CancellationToken);
        Assert.Equal(0, process.ExitCode);
        string text = await log;
        Assert.Contains("these changes wait for a restart: data", text, StringComparison.Ordinal);
        Assert.Contains("settings stay as they were", text, StringComparison.Ordinal);
        Assert.Contains("msg=\"audit\"", text, StringComparison.Ordinal); // debug since the first reload
    }

    private static string List(string token) => $"{{\"type\":\"list_nodes\",\"network_id\":0,\"admin_token\":\"{token}\"}}";

    private static string WriteCertificate(string certificate, string key)
    {
        using var pair = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using X509Certificate2 made = new CertificateRequest("CN=test", pair, HashAlgorithmName.SHA256).CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        File.WriteAllText(certificate, made.ExportCertificatePem());
        File.WriteAllText(key, pair.ExportPkcs8PrivateKeyPem());
        return Convert.ToHexStringLower(SHA256.HashData(made.RawData));
    }

    private static async Task<string> FingerprintAsync(RendezvousServer server)
    {
        using RawClient plain = await server.ConnectAsync();
        string seen = "";
        await using var tls = new SslStream(plain.Stream, false, (_, certificate, _, _) =>
        {
            seen = Convert.ToHexStringLower(SHA256.HashData(certificate!.GetRawCertData()));
            return seen.Length > 0;
        });
        await tls.AuthenticateAsClientAsync("localhost");
        return seen;
    }

    // Signs of life come between all others.
    private static string Next(Socket manager)
    {
        string text;
        do
        {
            text = Receive(manager);
        }
        while (text == "WATCHDOG=1");
        return text;
    }

    private static string Receive(Socket manager)
    {
        byte[] buffer = new byte[1024];
        return Encoding.UTF8.GetString(buffer, 0, manager.Receive(buffer));
    }

    [DllImport("libc", EntryPoint = "kill")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Kill(int process, int signal);
}
