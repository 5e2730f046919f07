using Pilot.Protocol;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Startup;
using Pilot.Rendezvous.Storage;

namespace Pilot.Rendezvous.Tests.Server;

public sealed class SqliteStoreTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("pilot-store").FullName;

    private long _position;

    private string Store => Path.Combine(_directory, "state", "registry.db");

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task State_outlives_the_server()
    {
        Identity identity = Identity.Create();
        for (int run = 0; run < 3; run++)
        {
            await using RendezvousServer server = await StartAsync();
            using RawClient client = await server.ConnectAsync();
            if (run == 0)
            {
                await client.RegisterAsync();
                await client.CallAsync($"{{\"type\":\"register\",\"public_key\":\"{identity.PublicKeyText}\",\"hostname\":\"alice\"}}");
            }

            // Still live after a restart, so that the heartbeat needs no registration.
            Assert.Contains("heartbeat_ok", await client.CallAsync($"{{\"type\":\"heartbeat\",\"node_id\":2,\"signature\":\"{identity.SignText("heartbeat:2")}\"}}"), StringComparison.Ordinal);
            Assert.Contains("\"node_id\":2", await client.CallAsync("{\"type\":\"resolve_hostname\",\"hostname\":\"alice\"}"), StringComparison.Ordinal);
        }

        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Store));
        }
    }

    [Fact]
    public async Task Without_a_store_flag_the_state_is_kept_under_the_data_directory()
    {
        for (int run = 0; run < 2; run++)
        {
            await using RendezvousServer server = await RendezvousServer.StartAsync(s =>
            {
                s.Store = "";
                s.DataDirectory = _directory;
            });
            using RawClient client = await server.ConnectAsync();
            Assert.Contains($"\"node_id\":{run + 1},", await client.RegisterAsync(), StringComparison.Ordinal);
        }

        Assert.True(File.Exists(Path.Combine(_directory, "registry.db")));
    }

    [Fact]
    public async Task Second_server_on_one_store_is_refused()
    {
        await using RendezvousServer server = await StartAsync();
        StartException refused = await Assert.ThrowsAsync<StartException>(StartAsync);
        Assert.Contains("belongs to another running rendezvous", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Snapshot_and_later_batches_give_the_same_state_and_covered_batches_are_gone()
    {
        using var store = new SqliteEventStore(Store, forceEachCommit: false);
        store.Open();
        var state = new RegistryState(DateTimeOffset.UnixEpoch);
        Assert.Equal(0, store.Load(state.Apply));
        DateTimeOffset created = state.Created;
        for (uint id = 1; id <= 700; id++)
        {
            Append(store, state, Registered(id));
        }

        store.Compact(default);
        Assert.Equal(0, store.Measure().Batches);
        Append(store, state, new ConsentGiven(1, 2), new HostnameChanged(7, "seven"));
        Assert.Equal(1, store.Measure().Batches);
        var again = new RegistryState(DateTimeOffset.UnixEpoch);
        Assert.Equal(701, store.Load(again.Apply));
        Assert.Equal(700, again.Nodes.Count);
        Assert.Equal(701u, again.NextNode);
        Assert.Equal(created, again.Created);
        Assert.True(again.Trust.Consented(1, 2));
        Assert.True(again.TryGetByHostname("seven", out _));
        store.Compact(default);
        store.Compact(default); // nothing to do is fine
        var third = new RegistryState(DateTimeOffset.UnixEpoch);
        Assert.Equal(701, store.Load(third.Apply));
        Assert.True(third.TryGetByHostname("seven", out _));
    }

    [Fact]
    public void Compactions_at_the_same_time_do_not_damage_each_other()
    {
        using var store = new SqliteEventStore(Store, forceEachCommit: false);
        store.Open();
        var state = new RegistryState(DateTimeOffset.UnixEpoch);
        store.Load(state.Apply);
        for (uint id = 1; id <= 1500; id++)
        {
            Append(store, state, Registered(id));
        }

        // One after the other they may follow any history; together they took each other's parts for leftovers.
        Parallel.For(0, 6, new ParallelOptions { MaxDegreeOfParallelism = 6 }, i =>
        {
            if (i == 0)
            {
                for (uint id = 1501; id <= 1600; id++)
                {
                    Append(store, state, Registered(id));
                }
            }

            store.Compact(default);
        });
        var again = new RegistryState(DateTimeOffset.UnixEpoch);
        Assert.Equal(1600, store.Load(again.Apply));
        Assert.Equal(1600, again.Nodes.Count);
    }

    [Fact]
    public void Interrupted_compaction_leaves_the_old_snapshot_valid()
    {
        using var store = new SqliteEventStore(Store, forceEachCommit: false);
        store.Open();
        var state = new RegistryState(DateTimeOffset.UnixEpoch);
        store.Load(state.Apply);
        for (uint id = 1; id <= 1200; id++)
        {
            Append(store, state, Registered(id));
        }

        using var stop = new CancellationTokenSource();
        stop.Cancel();
        Assert.Throws<OperationCanceledException>(() => store.Compact(stop.Token));
        var again = new RegistryState(DateTimeOffset.UnixEpoch);
        Assert.Equal(1200, store.Load(again.Apply));
        Assert.Equal(1200, again.Nodes.Count);
    }

    [Theory]
    [InlineData("page")]
    [InlineData("header")]
    [InlineData("zeros")]
    [InlineData("half")]
    [InlineData("empty")]
    [InlineData("older")]
    [InlineData("checksum")]
    [InlineData("batch")]
    [InlineData("snapshot")]
    public async Task Damaged_file_is_refused_with_the_way_to_restore_and_left_alone(string damage)
    {
        await using (RendezvousServer server = await StartAsync())
        {
            using RawClient client = await server.ConnectAsync();
            for (int i = 0; i < 40; i++)
            {
                await client.RegisterAsync();
            }
        }

        byte[] bytes = File.ReadAllBytes(Store);
        switch (damage)
        {
            case "page": bytes.AsSpan(4096 * 3, 4096).Fill(0xAA); break;
            case "zeros": bytes.AsSpan().Clear(); break;
            case "half": bytes = bytes[..(bytes.Length / 2)]; break;
            case "older": // as SQLite reads it when the WAL behind it is damaged or gone
                using (var connection = new Microsoft.Data.Sqlite.SqliteConnection($"Data Source={Store};Pooling=False"))
                {
                    connection.Open();
                    using var command = connection.CreateCommand();
                    command.CommandText = "DELETE FROM registry_events WHERE position > 38";
                    Assert.Equal(3, command.ExecuteNonQuery()); // 40 nodes, and the count of requests
                }

                bytes = File.ReadAllBytes(Store);
                break;
            case "empty": bytes = []; break;
            case "header": bytes.AsSpan(0, 16).Fill(0x20); break;
            default:
                using (var connection = new Microsoft.Data.Sqlite.SqliteConnection($"Data Source={Store};Pooling=False"))
                {
                    connection.Open();
                    using var command = connection.CreateCommand();
                    command.CommandText = damage switch
                    {
                        "checksum" => "UPDATE registry_events SET body = CAST(replace(CAST(body AS TEXT), '\"node\":7', '\"node\":8') AS BLOB) WHERE position = 7",
                        "batch" => "DELETE FROM registry_events WHERE position = 20",
                        _ => "DELETE FROM registry_snapshot",
                    };
                    Assert.Equal(1, command.ExecuteNonQuery());
                }

                bytes = File.ReadAllBytes(Store);
                break;
        }

        File.WriteAllBytes(Store, bytes);
        StartException refused = await Assert.ThrowsAsync<StartException>(StartAsync);
        Assert.Contains("is damaged", refused.Message, StringComparison.Ordinal);
        Assert.Contains("rendezvous restore BACKUP", refused.Message, StringComparison.Ordinal);
        Assert.Equal(bytes, File.ReadAllBytes(Store));
    }

    [Fact]
    public void A_store_that_is_not_found_whole_keeps_its_wal_as_it_is()
    {
        string copy = Path.Combine(_directory, "copy.db");
        using (var store = new SqliteEventStore(Store))
        {
            store.Open();
            var state = new RegistryState(DateTimeOffset.UnixEpoch);
            store.Load(state.Apply);
            for (uint id = 1; id <= 20; id++)
            {
                Append(store, state, Registered(id));
            }

            // As a killed server leaves it.
            File.Copy(Store, copy);
            File.Copy(Store + "-wal", copy + "-wal");
        }

        File.Copy(Store + ".lock", copy + ".lock");

        byte[] wal = File.ReadAllBytes(copy + "-wal");
        wal.AsSpan(wal.Length - 1000, 500).Fill(0x55);
        File.WriteAllBytes(copy + "-wal", wal);
        byte[] data = File.ReadAllBytes(copy);
        using (var store = new SqliteEventStore(copy))
        {
            store.Open();
            StoreDamagedException refused = Assert.Throws<StoreDamagedException>(() => store.Load(_ => { }));
            Assert.Contains("20 batches were stored, and those behind 19 are gone", refused.Message, StringComparison.Ordinal);
        }

        Assert.Equal(data, File.ReadAllBytes(copy));
        Assert.Equal(wal, File.ReadAllBytes(copy + "-wal"));

        // The operator decides.
        File.Delete(copy + ".lock");
        using var again = new SqliteEventStore(copy);
        again.Open();
        Assert.Equal(19, again.Load(_ => { }));
    }

    [Fact]
    public void A_store_that_was_moved_away_is_not_missed()
    {
        for (int round = 0; round < 2; round++)
        {
            using (var store = new SqliteEventStore(Store))
            {
                store.Open();
                var state = new RegistryState(DateTimeOffset.UnixEpoch);
                _position = store.Load(state.Apply);
                Assert.Equal(0, _position);
                Append(store, state, Registered(1));
            }

            File.Delete(Store);
        }
    }

    [Fact]
    public async Task What_a_failed_commit_was_to_deliver_is_delivered_later()
    {
        await using RendezvousServer server = await StartAsync();
        using RawClient client = await server.ConnectAsync();
        (Identity a, Identity b) = (Identity.Create(), Identity.Create());
        await client.RegisterAsync(a);
        await client.RegisterAsync(b);
        await client.CallAsync($"{{\"type\":\"request_handshake\",\"from_node_id\":1,\"to_node_id\":2,\"justification\":\"kept\",\"signature\":\"{a.SignText("handshake:1:2")}\"}}");
        using var other = new Microsoft.Data.Sqlite.SqliteConnection($"Data Source={Store};Pooling=False");
        other.Open();
        using var command = other.CreateCommand();
        command.CommandText = "CREATE TRIGGER refuse BEFORE INSERT ON registry_events BEGIN SELECT RAISE(ABORT, 'not now'); END";
        command.ExecuteNonQuery();
        string poll = $"{{\"type\":\"poll_handshakes\",\"node_id\":2,\"signature\":\"{b.SignText("poll_handshakes:2")}\"}}";
        Assert.Contains("cannot store the change", await client.CallAsync(poll), StringComparison.Ordinal); // its first signature is to be noted
        command.CommandText = "DROP TRIGGER refuse";
        command.ExecuteNonQuery();
        string answer;
        while ((answer = await client.CallAsync(poll)).Contains("\"code\":\"unavailable\"", StringComparison.Ordinal))
        {
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }

        Assert.Contains("kept", answer, StringComparison.Ordinal);
        Assert.DoesNotContain("kept", await client.CallAsync(poll), StringComparison.Ordinal); // once
    }

    [Fact]
    public void A_store_that_vanishes_under_a_running_server_is_missed()
    {
        using var store = new SqliteEventStore(Store, forceEachCommit: false); // its lock file counts nothing
        store.Open();
        var state = new RegistryState(DateTimeOffset.UnixEpoch);
        store.Load(state.Apply);
        Append(store, state, Registered(1));
        Append(store, state, Registered(2));
        foreach (string end in (string[])["", "-wal", "-shm"])
        {
            File.Delete(Store + end);
        }

        // As after a write that failed.
        store.Open();
        StoreDamagedException missed = Assert.Throws<StoreDamagedException>(() => store.Load(_ => { }));
        Assert.Contains("2 batches were stored, and those behind 0 are gone", missed.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_probe_that_was_killed_half_way_stands_in_no_later_ones_way()
    {
        using var store = new SqliteEventStore(Store);
        store.Open();
        using (var other = new Microsoft.Data.Sqlite.SqliteConnection($"Data Source={Store};Pooling=False"))
        {
            other.Open();
            using var command = other.CreateCommand();
            command.CommandText = "INSERT INTO registry_snapshot(position, part, body, checksum) VALUES (-1, 0, x'00', 0)";
            command.ExecuteNonQuery();
        }

        store.Probe();
        store.Probe();
        Assert.Equal(0, store.Load(_ => { }));
    }

    [Fact]
    public void A_state_that_was_stored_before_the_failure_is_replaced_all_the_same()
    {
        using var store = new SqliteEventStore(Store);
        store.Open();
        long position = store.Load(_ => { });
        Append(store, new RegistryState(DateTimeOffset.UnixEpoch), Registered(1));
        position++;
        using (var other = new Microsoft.Data.Sqlite.SqliteConnection($"Data Source={Store};Pooling=False"))
        {
            other.Open();
            using var command = other.CreateCommand();
            command.CommandText = "CREATE TRIGGER refuse BEFORE DELETE ON registry_events BEGIN SELECT RAISE(ABORT, 'not now'); END";
            command.ExecuteNonQuery();
            Assert.Throws<StoreException>(() => store.Replace(position, Nodes(2))); // behind the snapshot, before its end
            command.CommandText = "DROP TRIGGER refuse";
            command.ExecuteNonQuery();
        }

        position = store.Replace(position, Nodes(3));
        var state = new RegistryState(DateTimeOffset.UnixEpoch);
        Assert.Equal(position, store.Load(state.Apply));
        Assert.Equal(3, state.Nodes.Count);
    }

    /// <summary>A state with so many nodes.</summary>
    internal static IEnumerable<RegistryEvent> Nodes(uint count)
    {
        var state = new RegistryState(DateTimeOffset.UnixEpoch);
        for (uint id = 1; id <= count; id++)
        {
            state.Apply(Registered(id));
        }

        return StoredState.Of(state);
    }

    private static NodeRegistered Registered(uint id) =>
        new(id, new PublicKey(id, 1, 2, 3), null, "", "192.0.2.1:4000", [], DateTimeOffset.UnixEpoch);

    private void Append(SqliteEventStore store, RegistryState state, params RegistryEvent[] events)
    {
        store.Begin(_position++, _ => { });
        foreach (RegistryEvent happened in events)
        {
            state.Apply(happened);
        }

        store.Commit(Guid.NewGuid(), events);
    }

    private Task<RendezvousServer> StartAsync() => RendezvousServer.StartAsync(s =>
    {
        s.Store = Store;
        s.Limits = s.Limits with { RegistrationsPerMinute = 0 };
    });
}
