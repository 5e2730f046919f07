using System.Diagnostics;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Pilot.Protocol;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Server;
using Pilot.Rendezvous.Startup;

namespace Pilot.Rendezvous.Tests.Server;

/// <summary>Real sockets on free ports.</summary>
public sealed class SocketTests
{
    private const string BeaconList = "{\"type\":\"beacon_list\"}";
    private const string EmptyBeaconList = "{\"beacons\":[],\"type\":\"beacon_list_ok\"}";

    private static readonly ConnectionLimits Hasty = new()
    {
        IdleTimeout = TimeSpan.FromSeconds(30),
        FrameTimeout = TimeSpan.FromMilliseconds(400),
        WriteTimeout = TimeSpan.FromMilliseconds(400),
        SweepInterval = TimeSpan.FromMilliseconds(50),
    };

    [Fact]
    public async Task A_client_is_not_cut_off_while_the_server_takes_its_time()
    {
        string directory = Directory.CreateTempSubdirectory("pilot-slow").FullName;
        await using (RendezvousServer server = await RendezvousServer.StartAsync(s =>
        {
            s.Store = Path.Combine(directory, "registry.db");
            s.Connections = Hasty;
        }))
        {
            using RawClient client = await server.ConnectAsync();
            using var held = new ManualResetEventSlim();
            Task<object> writing = server.Host.Registry.Lane!.RunAsync(() =>
            {
                held.Wait();
                return WriteLane.Nothing;
            });
            Task<string> answer = client.CallAsync(BeaconList);
            await Task.Delay(Hasty.FrameTimeout * 3, TestContext.Current.CancellationToken); // its deadlines are what is tested
            held.Set();
            await writing;
            Assert.Equal(EmptyBeaconList, await answer);
        }

        Directory.Delete(directory, recursive: true);
    }

    [Fact]
    public async Task Frames_of_the_vectors()
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync();
        int tested = 0;
        foreach (JsonElement vector in VectorFile.Load("registry.json", "frame/"))
        {
            if (Bytes(vector.GetProperty("inputs")) is not { } bytes)
            {
                continue;
            }

            tested++;
            using RawClient client = await server.ConnectAsync();
            await client.Stream.WriteAsync(bytes);
            foreach (string expected in Bodies(vector.Text("hex")))
            {
                Assert.Null(JsonCompare.Difference(expected, (await client.ReadAsync())!, []));
            }

            if (vector.Text("connection_after") == "closed")
            {
                Assert.True(await client.ReadAsync() is null, vector.Name());
            }
            else if (vector.Name() != "frame/partial_frame")
            {
                Assert.Equal(EmptyBeaconList, await client.CallAsync(BeaconList));
            }
        }

        Assert.Equal(25, tested);
    }

    [Fact]
    public async Task Pipelined_requests_are_answered_in_order()
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync();
        using RawClient client = await server.ConnectAsync();
        const int count = 5000;
        byte[] all = [.. Enumerable.Range(0, count).SelectMany(i => RawClient.Frame(i % 2 == 0 ? BeaconList : $"{{\"type\":\"get_polo_score\",\"node_id\":{i}}}"))];
        Task writing = client.Stream.WriteAsync(all).AsTask();
        for (int i = 0; i < count; i++)
        {
            string? answer = await client.ReadAsync();
            Assert.Contains(i % 2 == 0 ? "beacon_list_ok" : $"node {i} not found", answer, StringComparison.Ordinal);
        }

        await writing;
    }

    [Fact]
    public async Task Client_that_ends_its_side_still_gets_its_answers()
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync();
        using RawClient client = await server.ConnectAsync();
        await client.Stream.WriteAsync((byte[])[.. RawClient.Frame(BeaconList), .. RawClient.Frame(BeaconList)]);
        client.Socket.Shutdown(SocketShutdown.Send);
        Assert.Equal(EmptyBeaconList, await client.ReadAsync());
        Assert.Equal(EmptyBeaconList, await client.ReadAsync());
        Assert.Null(await client.ReadAsync());
    }

    [Fact]
    public async Task Oversize_frame_closes_before_its_body_comes()
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync();
        using RawClient client = await server.ConnectAsync();
        await client.Stream.WriteAsync((byte[])[0, 1, 0, 1]);
        Assert.Null(await client.ReadAsync());
    }

    [Fact]
    public async Task Half_a_frame_is_cut_off_and_idle_connections_stay()
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync(s => s.Connections = Hasty);
        using RawClient idle = await server.ConnectAsync();
        using RawClient slow = await server.ConnectAsync();
        byte[] frame = RawClient.Frame(BeaconList);
        var clock = Stopwatch.StartNew();
        Task<string?> end = slow.ReadAsync();
        // One byte at a time: each arrives in time, the frame does not.
        for (int i = 0; i < frame.Length - 1 && !end.IsCompleted; i++)
        {
            try
            {
                await slow.Stream.WriteAsync(frame.AsMemory(i, 1));
            }
            catch (IOException)
            {
                break;
            }

            await Task.WhenAny(end, Task.Delay(60));
        }

        Assert.Null(await end);
        Assert.InRange(clock.Elapsed, TimeSpan.FromMilliseconds(350), TimeSpan.FromSeconds(10));
        Assert.Equal(EmptyBeaconList, await idle.CallAsync(BeaconList));
    }

    [Fact]
    public async Task Client_that_does_not_read_is_cut_off_without_hurting_others()
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync(s =>
        {
            s.Connections = Hasty;
            s.Limits = new RegistryLimits { UnsignedPerMinute = 0 };
        });
        using RawClient deaf = await server.ConnectAsync(receiveBuffer: 4096);
        using RawClient other = await server.ConnectAsync();
        byte[] requests = [.. Enumerable.Range(0, 500).SelectMany(_ => RawClient.Frame(BeaconList))];
        bool cut = false;
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (!cut && !patience.IsCancellationRequested)
        {
            try
            {
                await deaf.Stream.WriteAsync(requests, patience.Token);
                Assert.Equal(EmptyBeaconList, await other.CallAsync(BeaconList));
            }
            catch (IOException)
            {
                cut = true;
            }
        }

        Assert.True(cut);
        Assert.Equal(EmptyBeaconList, await other.CallAsync(BeaconList));
    }

    [Fact]
    public async Task Connections_per_address_are_limited()
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync(s => s.Connections = new ConnectionLimits { MaxPerAddress = 3 });
        var clients = new List<RawClient>();
        for (int i = 0; i < 3; i++)
        {
            clients.Add(await server.ConnectAsync());
            Assert.Equal(EmptyBeaconList, await clients[i].CallAsync(BeaconList));
        }

        using RawClient surplus = await server.ConnectAsync();
        Assert.Null(await surplus.ReadAsync());
        clients[0].Dispose();
        string? answer = null;
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (answer is null)
        {
            patience.Token.ThrowIfCancellationRequested();
            using RawClient again = await server.ConnectAsync();
            try
            {
                await again.Stream.WriteAsync(RawClient.Frame(BeaconList));
            }
            catch (IOException)
            {
                continue;
            }

            answer = await again.ReadAsync();
        }

        clients.ForEach(c => c.Dispose());
    }

    [Fact]
    public async Task Replication_is_refused_and_the_connection_closed()
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync();
        using RawClient client = await server.ConnectAsync();
        Assert.Equal("{\"error\":\"replication not configured\",\"type\":\"error\"}", await client.CallAsync("{\"type\":\"subscribe_replication\",\"token\":\"x\"}"));
        Assert.Null(await client.ReadAsync());
    }

    [Fact]
    public async Task Registry_and_beacon_work_together()
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync();
        Identity[] identities = [Identity.Create(), Identity.Create()];
        RawClient[] clients = [await server.ConnectAsync(), await server.ConnectAsync()];
        using Socket a = Udp();
        using Socket b = Udp();
        for (uint id = 1; id <= 2; id++)
        {
            string answer = await clients[id - 1].CallAsync($"{{\"type\":\"register\",\"listen_addr\":\":4000\",\"public_key\":\"{identities[id - 1].PublicKeyText}\"}}");
            Assert.Contains($"\"node_id\":{id}", answer, StringComparison.Ordinal);
            Assert.Contains("heartbeat_ok", await clients[id - 1].CallAsync($"{{\"type\":\"heartbeat\",\"node_id\":{id},\"signature\":\"{identities[id - 1].SignText($"heartbeat:{id}")}\"}}"), StringComparison.Ordinal);
        }

        Assert.True(BeaconDiscoverReply.TryParse(await AskAsync(a, server.Host.BeaconEndPoint, "0100000001"), out BeaconDiscoverReply reply));
        Assert.Equal(((IPEndPoint)a.LocalEndPoint!).Port, reply.Observed.Port);
        await AskAsync(b, server.Host.BeaconEndPoint, "0100000002");
        Assert.Equal("0600000001aabb", Convert.ToHexStringLower(await AskAsync(a, server.Host.BeaconEndPoint, "050000000100000002aabb", b)));
        await clients[1].CallAsync($"{{\"type\":\"report_trust\",\"node_id\":2,\"peer_id\":1,\"signature\":\"{identities[1].SignText("report_trust:2:1")}\"}}");
        Assert.True(BeaconPunchCommand.TryParse(await AskAsync(a, server.Host.BeaconEndPoint, "030000000100000002"), out BeaconPunchCommand command));
        Assert.Equal(((IPEndPoint)b.LocalEndPoint!).Port, command.Target.Port);
        foreach (RawClient client in clients)
        {
            client.Dispose();
        }
    }

    [Fact]
    public async Task Beacon_goes_on_after_rubbish_and_unreachable_peers()
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync();
        using (Socket gone = Udp())
        {
            gone.SendTo(Convert.FromHexString("0100000005"), server.Host.BeaconEndPoint);
        }

        using Socket socket = Udp();
        for (int length = 0; length < 60; length++)
        {
            socket.SendTo(RandomNumberGenerator.GetBytes(length), server.Host.BeaconEndPoint);
        }

        byte[]? reply = null;
        while (reply is null || reply[0] != 2)
        {
            reply = await AskAsync(socket, server.Host.BeaconEndPoint, "0100000000");
        }
    }

    [Fact]
    public async Task Tls_certificate_is_kept_and_pinned()
    {
        string directory = Directory.CreateTempSubdirectory("pilot-tls").FullName;
        try
        {
            string fingerprint = "";
            for (int i = 0; i < 2; i++)
            {
                await using RendezvousServer server = await RendezvousServer.StartAsync(s =>
                {
                    s.Tls = true;
                    s.DataDirectory = directory;
                });
                Assert.True(i == 0 || fingerprint == server.Host.Fingerprint);
                fingerprint = server.Host.Fingerprint!;
                using RawClient plain = await server.ConnectAsync();
                await using var tls = new SslStream(plain.Stream, false, (_, certificate, _, _) =>
                    Convert.ToHexStringLower(SHA256.HashData(certificate!.GetRawCertData())) == fingerprint);
                await tls.AuthenticateAsClientAsync("localhost");
                using var secure = new RawClient(tls, plain.Socket);
                Assert.Equal(EmptyBeaconList, await secure.CallAsync(BeaconList));
            }

            if (!OperatingSystem.IsWindows())
            {
                Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(directory, "tls-key.pem")));
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public async Task Taken_ports_are_named_in_the_error()
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync();
        StartException tcp = await Assert.ThrowsAsync<StartException>(() => RendezvousServer.StartAsync(s => s.RegistryAddress = server.Host.RegistryEndPoint.ToString()));
        Assert.Contains($"cannot listen on {server.Host.RegistryEndPoint} (registry)", tcp.Message, StringComparison.Ordinal);
        StartException udp = await Assert.ThrowsAsync<StartException>(() => RendezvousServer.StartAsync(s => s.BeaconAddress = server.Host.BeaconEndPoint.ToString()));
        Assert.Contains($"cannot listen on {server.Host.BeaconEndPoint} (beacon)", udp.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Health_page_answers()
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync(s => s.HttpAddress = "127.0.0.1:0");
        using var http = new HttpClient { BaseAddress = new Uri($"http://{server.Host.HttpEndPoint}") };
        using JsonDocument health = JsonDocument.Parse(await http.GetStringAsync("/healthz"));
        Assert.Equal("ok", health.RootElement.Text("status"));
        Assert.Equal(0, health.RootElement.GetProperty("nodes_online").GetInt32());
        Assert.Equal(HttpStatusCode.NotFound, (await http.GetAsync("/other")).StatusCode);
    }

    private static Socket Udp()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return socket;
    }

    // UDP on loopback loses nothing that these tests depend on, except when a buffer is full.
    private static async Task<byte[]> AskAsync(Socket from, EndPoint beacon, string hex, Socket? receiver = null)
    {
        byte[] buffer = new byte[2048];
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        await from.SendToAsync(Convert.FromHexString(hex), SocketFlags.None, beacon, limit.Token);
        int length = await (receiver ?? from).ReceiveAsync(buffer, SocketFlags.None, limit.Token);
        return buffer[..length];
    }

    private static byte[]? Bytes(JsonElement inputs)
    {
        if (inputs.TryGetProperty("send_hex", out JsonElement hex))
        {
            return Convert.FromHexString(hex.GetString()!);
        }

        if (!inputs.TryGetProperty("body_template", out JsonElement template))
        {
            return null;
        }

        int n = inputs.GetProperty("N").GetInt32();
        string body = template.GetString()!
            .Replace("<a x N>", new string('a', n), StringComparison.Ordinal)
            .Replace("<N open brackets>", new string('[', n), StringComparison.Ordinal)
            .Replace("<N close brackets>", new string(']', n), StringComparison.Ordinal);
        return RawClient.Frame(Encoding.ASCII.GetBytes(body));
    }

    private static IEnumerable<string> Bodies(string hex)
    {
        byte[] bytes = Convert.FromHexString(hex);
        for (int at = 0; at < bytes.Length;)
        {
            int length = (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
            yield return Encoding.UTF8.GetString(bytes, at + 4, length);
            at += 4 + length;
        }
    }
}
