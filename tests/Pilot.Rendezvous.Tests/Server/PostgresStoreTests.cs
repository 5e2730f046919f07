using System.Diagnostics;
using System.Text;
using Pilot.Protocol;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Server;
using Pilot.Rendezvous.Startup;
using Pilot.Rendezvous.Storage;

namespace Pilot.Rendezvous.Tests.Server;

/// <summary>Several rendezvous processes on one database give the same answers.</summary>
public sealed class PostgresStoreTests(PostgresFixture postgres) : IClassFixture<PostgresFixture>
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Two_servers_on_one_database_are_one_registry()
    {
        PostgresServer database = await postgres.GetAsync();
        await using RendezvousServer one = await StartAsync(database);
        await using RendezvousServer two = await StartAsync(database);
        using RawClient left = await one.ConnectAsync();
        using RawClient right = await two.ConnectAsync();
        (Identity a, Identity b) = (Identity.Create(), Identity.Create());
        Assert.Contains("\"node_id\":1,", await left.RegisterAsync(a), StringComparison.Ordinal);
        Assert.Contains("\"node_id\":2,", await right.RegisterAsync(b), StringComparison.Ordinal); // the writer catches up first

        // Trust, given on either side, opens the way on the other.
        await EventuallyAsync("report_trust_ok", () => left.CallAsync(Signed("report_trust", a, 1, 2)));
        await EventuallyAsync("report_trust_ok", () => right.CallAsync(Signed("report_trust", b, 2, 1)));
        string resolve = $"{{\"type\":\"resolve\",\"requester_id\":1,\"node_id\":2,\"signature\":\"{a.SignText("resolve:1:2")}\"}}";
        await EventuallyAsync("resolve_ok", () => left.CallAsync(resolve));

        // A message queued at one is read at the other, once.
        await left.CallAsync($"{{\"type\":\"request_handshake\",\"from_node_id\":1,\"to_node_id\":2,\"justification\":\"across\",\"signature\":\"{a.SignText("handshake:1:2")}\"}}");
        string poll = $"{{\"type\":\"poll_handshakes\",\"node_id\":2,\"signature\":\"{b.SignText("poll_handshakes:2")}\"}}";
        await EventuallyAsync("across", () => right.CallAsync(poll));
        Assert.DoesNotContain("across", await right.CallAsync(poll), StringComparison.Ordinal);

        // Beacons and signs of life cross over, too.
        await left.CallAsync("{\"type\":\"beacon_register\",\"beacon_id\":7,\"addr\":\"127.0.0.1:9999\"}");
        await EventuallyAsync("127.0.0.1:9999", () => right.CallAsync("{\"type\":\"beacon_list\"}"));
        await left.CallAsync(Heartbeat(a, 1));
        await EventuallyAsync(() => two.Host.Registry.Look(core => core.State.Nodes[1].ConnectedElsewhere != default));

        // So a stranger at the other server cannot take the owner's id while its holder is connected here.
        await left.CallAsync($"{{\"type\":\"register\",\"public_key\":\"{a.PublicKeyText}\",\"owner\":\"a@example.com\"}}");
        await EventuallyAsync(() => two.Host.Registry.Look(core => core.State.TryGetByOwner("a@example.com", out _)));
        Assert.Contains("\"node_id\":3,", await right.CallAsync($"{{\"type\":\"register\",\"public_key\":\"{Identity.Create().PublicKeyText}\",\"owner\":\"a@example.com\"}}"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Writers_on_both_sides_never_give_one_id_twice()
    {
        PostgresServer database = await postgres.GetAsync();
        await using RendezvousServer one = await StartAsync(database);
        await using RendezvousServer two = await StartAsync(database);
        string[][] answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => RegisterManyAsync(i % 2 == 0 ? one : two, 25)));
        Assert.Equal(200, answers.SelectMany(a => a).Distinct().Count());
        await EventuallyAsync(() => one.Host.Registry.LiveNodes == 200 && two.Host.Registry.LiveNodes == 200);
        Assert.Equal(Describe(one), Describe(two));

        // A third one that starts now sees the same, with a snapshot in between.
        one.Host.Store!.Compact(default);
        await using RendezvousServer three = await StartAsync(database);
        Assert.Equal(Describe(one), Describe(three));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Database_restarted_under_load_loses_nothing_that_was_answered(bool crash)
    {
        PostgresServer database = await postgres.GetAsync();
        await using RendezvousServer server = await StartAsync(database);
        var done = new List<(string Key, string Id)>();
        using var stop = new CancellationTokenSource();
        Task load = Task.Run(
            async () =>
            {
                using RawClient client = await server.ConnectAsync();
                while (!stop.IsCancellationRequested)
                {
                    Identity identity = Identity.Create();
                    string answer = await client.RegisterAsync(identity);
                    if (answer.Contains("register_ok", StringComparison.Ordinal))
                    {
                        lock (done)
                        {
                            done.Add((identity.PublicKeyText, IdOf(answer)));
                        }
                    }
                }
            },
            TestContext.Current.CancellationToken);
        await EventuallyAsync(() => Count() > 20);
        await (crash ? database.KillAsync() : database.StopAsync());

        // Reads go on while it is away.
        using RawClient reader = await server.ConnectAsync();
        Assert.Contains("lookup_ok", await reader.CallAsync("{\"type\":\"lookup\",\"node_id\":1}"), StringComparison.Ordinal);
        await database.BeginAsync();
        int before = Count();
        await EventuallyAsync(() => Count() > before + 20);
        await stop.CancelAsync();
        await load;

        await using RendezvousServer fresh = await StartAsync(database);
        Assert.All(done, d => Assert.True(fresh.Host.Registry.Look(core => core.State.Nodes[uint.Parse(d.Id)].KeyText == d.Key)));

        int Count()
        {
            lock (done)
            {
                return done.Count;
            }
        }
    }

    [Fact]
    public async Task Signs_of_life_go_out_whatever_happened_to_the_last_exchange()
    {
        PostgresServer database = await postgres.GetAsync();
        using var store = new PostgresEventStore(database.ConnectionString);
        store.Open();
        var clock = new SteadyClock();
        var machine = new RegistryMachine(new RegistryOptions(), clock.Now);
        machine.Core.SharesSigns = true;
        using var lanes = new VerificationLanes();
        var registry = new RegistryService(machine, clock, lanes);
        var time = new TestTime();
        using var exchange = new SharedExchange(store, registry, clock, time);
        using Npgsql.NpgsqlConnection other = store.ConnectMore();
        var connection = new RegistryConnection(UdpEndpoint.FromBytes([192, 0, 2, 1], 40000));
        Identity identity = Identity.Create();
        await registry.HandleAsync(connection, Encoding.UTF8.GetBytes($"{{\"type\":\"register\",\"public_key\":\"{identity.PublicKeyText}\"}}"));
        await registry.HandleAsync(connection, Encoding.UTF8.GetBytes(Heartbeat(identity, 1)));
        Ask("ALTER TABLE registry_beacons RENAME TO registry_beacons_away");
        Assert.Throws<StoreException>(exchange.Run);
        Ask("ALTER TABLE registry_beacons_away RENAME TO registry_beacons; TRUNCATE registry_presence");
        await registry.HandleAsync(connection, Encoding.UTF8.GetBytes(Heartbeat(identity, 1)));
        time.Pass(TimeSpan.FromMinutes(1));
        exchange.Run();
        Assert.Equal(1L, Ask("SELECT count(*) FROM registry_presence WHERE node = 1 AND connected"));

        // A connection that the database closed is no outage.
        Ask("TRUNCATE registry_presence");
        Assert.True(Ask("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()") is >= 2L);
        await registry.HandleAsync(connection, Encoding.UTF8.GetBytes(Heartbeat(identity, 1)));
        time.Pass(TimeSpan.FromMinutes(1));
        exchange.Run();
        Assert.Equal(1L, Ask("SELECT count(*) FROM registry_presence"));

        object? Ask(string text)
        {
            using var command = new Npgsql.NpgsqlCommand(text, other);
            return command.ExecuteScalar();
        }
    }

    [Fact]
    public async Task Two_that_look_for_room_at_the_same_time_do_not_refuse_each_other()
    {
        PostgresServer database = await postgres.GetAsync();
        using var both = new Barrier(2);
        await Task.WhenAll(Enumerable.Range(0, 2).Select(_ => Task.Run(
            () =>
            {
                using var store = new PostgresEventStore(database.ConnectionString);
                store.Open();
                both.SignalAndWait();
                for (int i = 0; i < 10; i++)
                {
                    store.Probe();
                }
            },
            TestContext.Current.CancellationToken)));
    }

    [Fact]
    public async Task A_database_that_is_not_there_is_said_at_start()
    {
        StartException e = await Assert.ThrowsAsync<StartException>(() => RendezvousServer.StartAsync(s => s.Store = "Host=127.0.0.1;Port=1;Username=x;Timeout=2"));
        Assert.Contains("database is not available", e.Message, StringComparison.Ordinal);
        e = await Assert.ThrowsAsync<StartException>(() => RendezvousServer.StartAsync(s => s.Store = "Host=127.0.0.1;Nonsense=1"));
        Assert.StartsWith("store: -store:", e.Message, StringComparison.Ordinal);
    }

    private static Task<RendezvousServer> StartAsync(PostgresServer database) => RendezvousServer.StartAsync(s =>
    {
        s.Store = database.ConnectionString;
        s.Limits = s.Limits with { RegistrationsPerMinute = 0 };
    });

    private static async Task<string[]> RegisterManyAsync(RendezvousServer server, int count)
    {
        using RawClient client = await server.ConnectAsync();
        var ids = new List<string>();
        for (int i = 0; i < count; i++)
        {
            ids.Add(IdOf(await client.RegisterAsync()));
        }

        return [.. ids];
    }

    private static string IdOf(string answer)
    {
        int start = answer.IndexOf("\"node_id\":", StringComparison.Ordinal) + "\"node_id\":".Length;
        return answer[start..answer.IndexOfAny([',', '}'], start)];
    }

    private static string Describe(RendezvousServer server) => server.Host.Registry.Look(core =>
        string.Join('\n', core.State.Nodes.Values.OrderBy(n => n.Id).Select(n => $"{n.Id} {n.KeyText} {n.Endpoint} {n.Status}")));

    private static string Heartbeat(Identity identity, uint node) =>
        $"{{\"type\":\"heartbeat\",\"node_id\":{node},\"signature\":\"{identity.SignText($"heartbeat:{node}")}\"}}";

    private static string Signed(string type, Identity identity, uint node, uint peer) =>
        $"{{\"type\":\"{type}\",\"node_id\":{node},\"peer_id\":{peer},\"signature\":\"{identity.SignText($"{type}:{node}:{peer}")}\"}}";

    private static Task EventuallyAsync(string text, Func<Task<string>> call) =>
        EventuallyAsync(async () => (await call()).Contains(text, StringComparison.Ordinal), text);

    private static Task EventuallyAsync(Func<bool> condition) => EventuallyAsync(() => Task.FromResult(condition()), "condition");

    private static async Task EventuallyAsync(Func<Task<bool>> condition, string what)
    {
        var clock = Stopwatch.StartNew();
        while (!await condition())
        {
            Assert.True(clock.Elapsed < Patience, $"not in time: {what}");
            await Task.Delay(20);
        }
    }
}
