using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Storage;

namespace Pilot.Rendezvous.Tests.Server;

/// <summary>A full disk: changes are refused with a clear error, reads go on, and it recovers when there is room.</summary>
public sealed class FullDiskTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("pilot-full").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task A_store_that_may_not_grow_refuses_changes_until_it_may()
    {
        await using RendezvousServer server = await StartAsync(Path.Combine(_directory, "registry.db"));
        var store = (SqliteEventStore)server.Host.Store!;
        using RawClient client = await server.ConnectAsync();
        store.MaxPages = 1;
        int accepted = await RegisterUntilRefusedAsync(client);
        Assert.NotNull(server.Host.Registry.Lane!.Failure);
        store.MaxPages = 0;
        await RegisterAgainAsync(client, accepted + 1);
        Assert.Null(server.Host.Registry.Lane.Failure);
    }

    [Fact]
    public async Task A_file_system_without_room_refuses_changes_until_there_is_some()
    {
        using SmallFileSystem small = SmallFileSystem.Mount(kilobytes: 768);
        await using RendezvousServer server = await StartAsync(small.PathOf("registry.db"));
        using RawClient client = await server.ConnectAsync();
        string ballast = small.PathOf("ballast");
        File.WriteAllBytes(ballast, new byte[100 * 1024]);
        int accepted = await RegisterUntilRefusedAsync(client);
        Assert.InRange(small.OpenFiles, 1, 6); // an outage of hours must not cost two descriptors a second
        File.Delete(ballast);
        await RegisterAgainAsync(client, accepted + 1);
    }

    [Fact]
    public void A_standby_whose_disk_was_full_keeps_the_next_state_again()
    {
        using SmallFileSystem small = SmallFileSystem.Mount(kilobytes: 768);
        string path = small.PathOf("registry.db");
        using (var store = new SqliteEventStore(path))
        {
            store.Open();
            long position = store.Replace(store.Load(_ => { }), SqliteStoreTests.Nodes(100));
            string ballast = small.FillUp();
            Assert.Throws<StoreException>(() => store.Replace(position, SqliteStoreTests.Nodes(1000)));
            Assert.Throws<StoreException>(() => store.Replace(position, SqliteStoreTests.Nodes(1000)));
            File.Delete(ballast);
            position = store.Replace(position, SqliteStoreTests.Nodes(300));
            Assert.Equal(position + 1, store.Replace(position, SqliteStoreTests.Nodes(301)));
        }

        using var again = new SqliteEventStore(path);
        again.Open();
        var state = new RegistryState(DateTimeOffset.UnixEpoch);
        again.Load(state.Apply);
        Assert.Equal(301, state.Nodes.Count);
    }

    // What was refused did not happen; what was there is answered.
    private static async Task<int> RegisterUntilRefusedAsync(RawClient client)
    {
        int accepted = 0;
        string answer;
        while ((answer = await client.RegisterAsync()).Contains("register_ok", StringComparison.Ordinal))
        {
            Assert.True(++accepted < 10_000);
        }

        Assert.Contains("cannot store the change: the disk of the registry is full", answer, StringComparison.Ordinal);
        Assert.Contains("\"code\":\"unavailable\"", answer, StringComparison.Ordinal);
        Assert.Contains("lookup_ok", await client.CallAsync($"{{\"type\":\"lookup\",\"node_id\":{accepted}}}"), StringComparison.Ordinal);
        Assert.Contains("not found", await client.CallAsync($"{{\"type\":\"lookup\",\"node_id\":{accepted + 1}}}"), StringComparison.Ordinal);
        return accepted;
    }

    private static async Task RegisterAgainAsync(RawClient client, int expected)
    {
        string answer = "";
        for (int attempt = 0; attempt < 200 && !answer.Contains("register_ok", StringComparison.Ordinal); attempt++)
        {
            await Task.Delay(50, TestContext.Current.CancellationToken);
            answer = await client.RegisterAsync();
        }

        Assert.Contains($"\"node_id\":{expected},", answer, StringComparison.Ordinal);
    }

    private static Task<RendezvousServer> StartAsync(string store) => RendezvousServer.StartAsync(s =>
    {
        s.Store = store;
        s.Limits = s.Limits with { RegistrationsPerMinute = 0 };
    });
}
