using System.Diagnostics;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Pilot.Protocol;
using Pilot.Rendezvous.Server;

namespace Pilot.Rendezvous.Tests.Server;

/// <summary>What hostile clients get, and that others are served meanwhile. What concerns single rules (owner texts, hostnames, polo) stands with the rules.</summary>
public sealed class AbuseTests
{
    private const int Flood = 3000;
    private const int HangLimit = 60_000; // milliseconds: whoever waits for an end that does not come

    [Fact(Timeout = HangLimit)]
    public async Task Flood_of_connections_stops_at_the_limits_and_others_are_served()
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync(s => s.Connections = s.Connections with { MaxConnections = 400, MaxPerAddress = 100 });
        using RawClient before = await server.ConnectAsync();
        await before.CallAsync("{\"type\":\"beacon_list\"}");
        var sockets = new List<Socket>();
        try
        {
            for (int i = 0; i < Flood; i++)
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                socket.Bind(new IPEndPoint(new IPAddress([127, 9, 9, 9]), 0));
                await socket.ConnectAsync(server.Host.RegistryEndPoint);
                sockets.Add(socket);
            }

            // One address holds its share and no more, so that a newcomer from another finds room.
            using RawClient after = await server.ConnectAsync();
            Assert.Contains("beacon_list_ok", await after.CallAsync("{\"type\":\"beacon_list\"}"), StringComparison.Ordinal);
            Assert.Contains("beacon_list_ok", await before.CallAsync("{\"type\":\"beacon_list\"}"), StringComparison.Ordinal);
            await EndedAsync([.. sockets.Select(EndAsync)], Flood - 100);
        }
        finally
        {
            sockets.ForEach(s => s.Dispose());
        }
    }

    [Fact(Timeout = HangLimit)]
    public async Task One_address_that_begins_no_handshake_takes_no_more_than_its_share_of_a_server_with_tls()
    {
        const int share = 10, silent = 400;
        string directory = Directory.CreateTempSubdirectory("pilot-rendezvous").FullName;
        var sockets = new List<Socket>();
        try
        {
            await using RendezvousServer server = await RendezvousServer.StartAsync(s =>
            {
                s.Tls = true;
                s.DataDirectory = directory;
                s.Connections = s.Connections with { MaxConnections = 2 * share, MaxPerAddress = share };
            });
            for (int i = 0; i < silent; i++)
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                sockets.Add(socket);
                socket.Bind(new IPEndPoint(new IPAddress([127, 9, 9, 9]), 0));
                await socket.ConnectAsync(server.Host.RegistryEndPoint);
            }

            Task[] ends = [.. sockets.Select(EndAsync)];
            await EndedAsync(ends, silent - share);
            Assert.False(ends[0].IsCompleted, "the surplus went only when handshakes took too long");
            using RawClient client = await server.ConnectAsync();
            await using var tls = new SslStream(client.Stream, false, (_, certificate, _, _) =>
                Convert.ToHexStringLower(SHA256.HashData(certificate!.GetRawCertData())) == server.Host.Fingerprint);
            await tls.AuthenticateAsClientAsync("localhost");
            Assert.True(tls.IsAuthenticated);
        }
        finally
        {
            sockets.ForEach(s => s.Dispose());
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public void Refused_connections_are_told_once_a_second_and_counted()
    {
        var connections = new OpenConnections(new ConnectionLimits());
        Assert.True(connections.TellsRefusal(0, out int refused));
        Assert.Equal(1, refused);
        for (int i = 1; i < Flood; i++)
        {
            Assert.False(connections.TellsRefusal(Stopwatch.Frequency - 1, out _));
        }

        Assert.True(connections.TellsRefusal(Stopwatch.Frequency, out refused));
        Assert.Equal(Flood, refused);
    }

    [Theory]
    [InlineData(512, 100_000, 48, 16)]
    [InlineData(1024, 100_000, 432, 144)]
    [InlineData(20_000, 100_000, 18_552, 1000)]
    [InlineData(200_000, 100_000, 100_000, 1000)]
    [InlineData(int.MaxValue, 100_000, 100_000, 1000)]
    [InlineData(100, 100_000, 0, 0)]
    public void Connections_leave_room_for_the_files_of_the_server(int files, int wanted, int registry, int http) =>
        Assert.Equal(new DescriptorBudget(registry, http), DescriptorBudget.Of(files, wanted));

    [Fact]
    public async Task Who_opens_more_connections_than_there_are_descriptors_does_not_end_the_server()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the limit is set as on Linux");
        string directory = Directory.CreateTempSubdirectory("pilot-rendezvous").FullName;
        var sockets = new List<Socket>();
        try
        {
            string ready = Path.Combine(directory, "ready.json");
            using Process process = ProcessTests.StartWithFiles(DescriptorBudget.LeastFiles, "-registry-addr", "127.0.0.1:0", "-beacon-addr", "127.0.0.1:0", "-http", "127.0.0.1:0", "-ready-file", ready, "-store=memory");
            Task<string> log = process.StandardError.ReadToEndAsync();
            using RawClient early = await ProcessTests.ConnectAsync(process, ready);
            Assert.Contains("beacon_list_ok", await early.CallAsync("{\"type\":\"beacon_list\"}"), StringComparison.Ordinal);
            using JsonDocument addresses = JsonDocument.Parse(await File.ReadAllBytesAsync(ready, TestContext.Current.CancellationToken));
            foreach (string part in new[] { "registry", "http" })
            {
                for (int i = 0; i < DescriptorBudget.LeastFiles; i++)
                {
                    var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                    sockets.Add(socket);
                    await socket.ConnectAsync(IPEndPoint.Parse(addresses.RootElement.Text(part)), TestContext.Current.CancellationToken);
                }
            }

            Assert.Contains("beacon_list_ok", await early.CallAsync("{\"type\":\"beacon_list\"}"), StringComparison.Ordinal);
            sockets.ForEach(s => s.Dispose());
            string? answer;
            do
            {
                using RawClient later = await ProcessTests.ConnectAsync(process, ready);
                answer = await later.TryCallAsync("{\"type\":\"beacon_list\"}"); // none as long as it has not seen that the others went
            }
            while (answer is null);
            Assert.Contains("beacon_list_ok", answer, StringComparison.Ordinal);
            process.Kill();
            await process.WaitForExitAsync(TestContext.Current.CancellationToken);
            string text = await log;
            Assert.Contains("connections are limited to 48 ", text, StringComparison.Ordinal);
            Assert.InRange(text.Count(c => c == '\n'), 1, DescriptorBudget.LeastFiles / 4); // strangers do not fill the disk with a line each
        }
        finally
        {
            sockets.ForEach(s => s.Dispose());
            Directory.Delete(directory, recursive: true);
        }
    }

    [Theory]
    [InlineData(9_000, true)]
    [InlineData(12_000, false)]
    public async Task Deep_json_is_answered_to_its_limit_and_closes_the_connection_beyond(int depth, bool answered)
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync();
        using RawClient client = await server.ConnectAsync();
        await client.Stream.WriteAsync(RawClient.Frame($"{{\"type\":\"beacon_list\",\"x\":{new string('[', depth)}{new string(']', depth)}}}"), TestContext.Current.CancellationToken);
        string? answer = await client.ReadAsync();
        Assert.Equal(answered, answer is not null);
        using RawClient other = await server.ConnectAsync();
        Assert.Contains("beacon_list_ok", await other.CallAsync("{\"type\":\"beacon_list\"}"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(65537u)]
    [InlineData(0x7FFFFFFFu)]
    [InlineData(0x80000000u)]
    [InlineData(uint.MaxValue)]
    public async Task Announced_length_allocates_nothing(uint length)
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync();
        using RawClient client = await server.ConnectAsync();
        await client.Stream.WriteAsync(new byte[] { (byte)(length >> 24), (byte)(length >> 16), (byte)(length >> 8), (byte)length }, TestContext.Current.CancellationToken);
        Assert.Null(await client.ReadAsync());
    }

    [Fact]
    public async Task Repeated_signatures_do_what_they_said_the_first_time_and_no_more()
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync();
        using RawClient owner = await server.ConnectAsync();
        Identity identity = Identity.Create();
        await owner.CallAsync($"{{\"type\":\"register\",\"public_key\":\"{identity.PublicKeyText}\"}}");
        string heartbeat = $"{{\"type\":\"heartbeat\",\"node_id\":1,\"signature\":\"{identity.SignText("heartbeat:1")}\"}}";
        Assert.Contains("heartbeat_ok", await owner.CallAsync(heartbeat), StringComparison.Ordinal);
        Assert.Contains("heartbeat_ok", await owner.CallAsync(heartbeat), StringComparison.Ordinal); // remembered, not verified again

        // A signature is worth nothing for another request, another node or another key.
        string other = identity.SignText("heartbeat:1");
        Assert.Contains("error", await owner.CallAsync($"{{\"type\":\"poll_handshakes\",\"node_id\":1,\"signature\":\"{other}\"}}"), StringComparison.Ordinal);
        Identity next = Identity.Create();
        Assert.Contains("rotate_key_ok", await owner.CallAsync($"{{\"type\":\"rotate_key\",\"node_id\":1,\"new_public_key\":\"{next.PublicKeyText}\",\"signature\":\"{identity.SignText("rotate:1")}\"}}"), StringComparison.Ordinal);
        Assert.Contains("error", await owner.CallAsync(heartbeat), StringComparison.Ordinal);
        byte[] forged = Convert.FromBase64String(next.SignText("heartbeat:1"));
        Assert.Contains("heartbeat_ok", await owner.CallAsync(Heartbeat(forged)), StringComparison.Ordinal);
        forged[3] ^= 1;
        Assert.Contains("error", await owner.CallAsync(Heartbeat(forged)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Rubbish_from_many_leaves_the_server_answering()
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync();
        var random = new Random(5);
        for (int i = 0; i < 300; i++)
        {
            using RawClient client = await server.ConnectAsync();
            byte[] bytes = new byte[random.Next(1, 600)];
            random.NextBytes(bytes);
            if (i % 3 == 0)
            {
                bytes = [0, 0, 0, (byte)Math.Min(200, bytes.Length), .. Encoding.ASCII.GetBytes("{\"type\":\"register\","), .. bytes];
            }

            await client.Stream.WriteAsync(bytes, TestContext.Current.CancellationToken);
        }

        using RawClient good = await server.ConnectAsync();
        Assert.Contains("beacon_list_ok", await good.CallAsync("{\"type\":\"beacon_list\"}"), StringComparison.Ordinal);
    }

    private static string Heartbeat(byte[] signature) => $"{{\"type\":\"heartbeat\",\"node_id\":1,\"signature\":\"{Convert.ToBase64String(signature)}\"}}";

    // The server closes so many of them.
    private static async Task EndedAsync(Task[] ends, int count)
    {
        await foreach (Task _ in Task.WhenEach(ends).WithCancellation(TestContext.Current.CancellationToken))
        {
            if (--count == 0)
            {
                return;
            }
        }
    }

    private static async Task EndAsync(Socket socket)
    {
        try
        {
            Assert.Equal(0, await socket.ReceiveAsync(new byte[1]));
        }
        catch (SocketException e)
        {
            Assert.NotEqual(0, e.ErrorCode); // reset, or given up by the test
        }
    }
}
