using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Pilot.Protocol;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Startup;
using Pilot.Rendezvous.Storage;

namespace Pilot.Rendezvous.Tests.Server;

/// <summary>Standbys (spec 03 section 10): of the reference behind a server of ours, ours behind a reference, and ours behind ours.</summary>
public sealed class ReplicationTests : IDisposable
{
    private const string Token = "repl-secret";
    private readonly string _directory = Directory.CreateTempSubdirectory("pilot-standby").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task A_wrong_token_is_refused_as_recorded()
    {
        await using RendezvousServer server = await StartAsync();
        using RawClient client = await server.ConnectAsync();
        Assert.Equal(VectorFile.Find("registry.json", "replication/refused_bad_token").Text("text"), await client.CallAsync("{\"type\":\"subscribe_replication\",\"token\":\"repl-secreT\"}"));
        Assert.Null(await client.ReadAsync());
    }

    [Fact]
    public async Task A_reference_standby_gets_the_state_at_once_and_after_each_change()
    {
        await using RendezvousServer server = await StartAsync();
        using RawClient node = await server.ConnectAsync();
        Identity a = Identity.Create();
        await node.CallAsync($"{{\"type\":\"register\",\"public_key\":\"{a.PublicKeyText}\",\"listen_addr\":\":4000\"}}");
        using RawClient standby = await server.ConnectAsync();
        string first = await standby.CallAsync(VectorFile.Find("registry.json", "replication/subscribe_request").Text("text"));
        Assert.Null(Difference("replication/initial_snapshot", first, a));

        await node.RegisterAsync();
        string push = await standby.ReadAsync() ?? "";
        using JsonDocument pushed = JsonDocument.Parse(push);
        JsonElement snapshot = pushed.RootElement.GetProperty("snapshot");
        Assert.Equal(1, snapshot.GetProperty("version").GetInt32());
        Assert.Equal(3u, snapshot.GetProperty("next_node").GetUInt32());
        Assert.Equal(2, snapshot.GetProperty("pub_key_idx").EnumerateObject().Count());

        // What we write is what we read, checksum included.
        RegistryState read = ReferenceSnapshot.Read(Encoding.UTF8.GetBytes(snapshot.GetRawText()), out string note);
        Assert.Equal("", note);
        Assert.Equal(2, read.Nodes.Count);
    }

    [Fact]
    public void Members_of_the_snapshot_are_those_of_the_reference()
    {
        var node = new NodeStored(1, PublicKey.Read(new byte[32]), NodeStatus.Live) { KeyIndexed = true, Endpoint = "127.0.0.1:4000", PoloScore = 100 };
        var left = new NodeStored(2, PublicKey.Read([1, .. new byte[31]]), NodeStatus.Departed) { KeyIndexed = true };
        var replica = new Replica([new CountersStored(3, DateTimeOffset.UnixEpoch, 5), node, left, new TrustStored(1, [1, 2], null, null)], new() { [1] = DateTimeOffset.UnixEpoch }, false, DateTimeOffset.UnixEpoch, 104);
        using JsonDocument written = JsonDocument.Parse(ReferenceExport.Write(replica, isPush: true));
        using JsonDocument recorded = JsonDocument.Parse(VectorFile.Find("registry.json", "replication/pushed_snapshot").Text("text"));
        static string[] Names(JsonElement element) => [.. element.EnumerateObject().Select(m => m.Name).Where(n => n != "audit_log")];
        Assert.Equal(Names(recorded.RootElement.GetProperty("snapshot")), Names(written.RootElement)); // in this order: the checksum depends on it
        Assert.Equal(Names(recorded.RootElement.GetProperty("snapshot").GetProperty("nodes").GetProperty("1")), Names(written.RootElement.GetProperty("nodes").GetProperty("1")));
        Assert.Equal("[\"1:1\"]", written.RootElement.GetProperty("trust_pairs").GetRawText()); // 2 has not consented to 1
    }

    [Fact]
    public async Task A_standby_follows_answers_reads_refuses_changes_and_takes_over()
    {
        await using RendezvousServer primary = await StartAsync();
        using RawClient left = await primary.ConnectAsync();
        (Identity a, Identity b) = (Identity.Create(), Identity.Create());
        await left.RegisterAsync(a);
        await left.RegisterAsync(b);
        string store = Path.Combine(_directory, "standby.db");
        await using (RendezvousServer standby = await StandbyAsync(primary.Host.RegistryEndPoint, store))
        {
            await EventuallyAsync(() => standby.Host.Registry.LiveNodes == 2);
            using RawClient right = await standby.ConnectAsync();
            Assert.Contains(a.PublicKeyText, await right.CallAsync("{\"type\":\"lookup\",\"node_id\":1}"), StringComparison.Ordinal);
            Assert.Contains("heartbeat_ok", await right.CallAsync($"{{\"type\":\"heartbeat\",\"node_id\":1,\"signature\":\"{a.SignText("heartbeat:1")}\"}}"), StringComparison.Ordinal);
            string refused = await right.CallAsync(VectorFile.Find("registry.json", "replication/write_on_standby").GetProperty("inputs").Text("request"));
            Assert.Contains("\"error\":\"request failed\"", refused, StringComparison.Ordinal);
            Assert.Contains("\"code\":\"standby\"", refused, StringComparison.Ordinal);

            // One-sided consent stays one-sided on the way between servers of ours.
            await left.CallAsync($"{{\"type\":\"report_trust\",\"node_id\":1,\"peer_id\":2,\"signature\":\"{a.SignText("report_trust:1:2")}\"}}");
            await EventuallyAsync(() => standby.Host.Registry.Look(core => core.State.Trust.Consented(1, 2) && !core.State.Trust.Consented(2, 1)));
        }

        // Promotion: the same store without the option. Ids go on behind the primary's.
        await using RendezvousServer promoted = await RendezvousServer.StartAsync(s => s.Store = store);
        using RawClient client = await promoted.ConnectAsync();
        Assert.Contains("\"node_id\":3,", await client.RegisterAsync(), StringComparison.Ordinal);
        Assert.True(promoted.Host.Registry.Look(core => core.State.Trust.Consented(1, 2)));
    }

    [Fact]
    public async Task A_standby_follows_a_reference_primary()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        await using RendezvousServer standby = await StandbyAsync((IPEndPoint)listener.LocalEndpoint, Path.Combine(_directory, "behind.db"));
        using Socket connection = await listener.AcceptSocketAsync(TestContext.Current.CancellationToken);
        using var peer = new RawClient(new NetworkStream(connection), connection);
        using JsonDocument asked = JsonDocument.Parse(await peer.ReadAsync() ?? "");
        Assert.Equal(("subscribe_replication", Token), (asked.RootElement.Text("type"), asked.RootElement.Text("token")));
        await peer.Stream.WriteAsync(Convert.FromHexString(VectorFile.Find("registry.json", "replication/heartbeat").Text("hex")), TestContext.Current.CancellationToken);
        await peer.Stream.WriteAsync(RawClient.Frame("{\"type\":\"something\"}"), TestContext.Current.CancellationToken);
        await peer.Stream.WriteAsync(RawClient.Frame(VectorFile.Find("registry.json", "replication/initial_snapshot").Text("text")), TestContext.Current.CancellationToken);
        await EventuallyAsync(() => standby.Host.Registry.LiveNodes == 1);
        using RawClient client = await standby.ConnectAsync();
        Assert.Contains("A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", await client.CallAsync("{\"type\":\"lookup\",\"node_id\":1}"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_standby_whose_store_is_found_damaged_ends_with_a_failure()
    {
        await using RendezvousServer primary = await StartAsync();
        using RawClient client = await primary.ConnectAsync();
        await client.RegisterAsync();
        string store = Path.Combine(_directory, "damaged.db");
        await using RendezvousServer standby = await StandbyAsync(primary.Host.RegistryEndPoint, store);
        await EventuallyAsync(() => standby.Host.Registry.LiveNodes == 1);
        using (var other = new Microsoft.Data.Sqlite.SqliteConnection($"Data Source={store};Pooling=False"))
        {
            other.Open();
            using var command = other.CreateCommand();
            command.CommandText = "UPDATE registry_meta SET value = value; PRAGMA wal_checkpoint(TRUNCATE)"; // whoever has read pages reads them again
            command.ExecuteNonQuery();
        }

        byte[] bytes = File.ReadAllBytes(store);
        bytes.AsSpan(4096).Fill(0xAA);
        File.WriteAllBytes(store, bytes);
        await client.RegisterAsync();
        await standby.Host.WaitForShutdownAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        Assert.True(standby.Host.Failed);
        Assert.Equal(1, standby.Host.Registry.LiveNodes); // what could not be kept is not answered
        Assert.Equal(bytes, File.ReadAllBytes(store));
    }

    [Fact]
    public async Task A_standby_has_a_store_of_its_own()
    {
        StartException refused = await Assert.ThrowsAsync<StartException>(() => RendezvousServer.StartAsync(s =>
        {
            s.Standby = "127.0.0.1:9000";
            s.Store = "Host=127.0.0.1";
        }));
        Assert.Contains("a standby keeps a store of its own", refused.Message, StringComparison.Ordinal);
    }

    private static string? Difference(string vector, string actual, Identity key)
    {
        // The recorded audit ring is no part of ours; keys and times differ by nature.
        JsonElement recorded = VectorFile.Find("registry.json", vector);
        var wanted = System.Text.Json.Nodes.JsonNode.Parse(recorded.Text("text"))!;
        wanted["snapshot"]!.AsObject().Remove("audit_log");
        wanted["snapshot"]!["next_node"] = 2;
        wanted["snapshot"]!["nodes"]!["1"]!["public_key"] = key.PublicKeyText;
        return JsonCompare.Difference(wanted.ToJsonString(), actual, ["snapshot.nodes.1.last_seen", "snapshot.nodes.1.key_created", "snapshot.networks.0.created"]);
    }

    private static Task<RendezvousServer> StartAsync() => RendezvousServer.StartAsync(s => s.ReplicationToken = Token);

    private static Task<RendezvousServer> StandbyAsync(IPEndPoint primary, string store) => RendezvousServer.StartAsync(s =>
    {
        s.Standby = primary.ToString();
        s.ReplicationToken = Token;
        s.Store = store;
    });

    private static async Task EventuallyAsync(Func<bool> condition)
    {
        var clock = Stopwatch.StartNew();
        while (!condition())
        {
            Assert.True(clock.Elapsed < TimeSpan.FromSeconds(30), "not in time");
            await Task.Delay(20);
        }
    }
}
