using System.Diagnostics;
using System.Text.Json;
using Pilot.Protocol;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Storage;

namespace Pilot.Rendezvous.Tests.Server;

/// <summary>backup, restore and import, as an operator runs them.</summary>
public sealed class StoreCommandTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("pilot-commands").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Backup_of_a_running_server_restores_to_the_same_answers()
    {
        string data = Path.Combine(_directory, "data");
        string backup = Path.Combine(_directory, "backup.db");
        Identity identity = Identity.Create();
        await using (RendezvousServer server = await StartAsync(data))
        {
            using RawClient client = await server.ConnectAsync();
            await client.CallAsync($"{{\"type\":\"register\",\"public_key\":\"{identity.PublicKeyText}\",\"hostname\":\"alice\"}}");
            (int code, string text) = Run("backup", backup, "-data", data);
            Assert.Equal((0, true), (code, text.StartsWith("1 nodes", StringComparison.Ordinal)));
            await client.RegisterAsync();
            Assert.Equal(1, Run("backup", backup, "-data", data).Code); // never overwrites
            Assert.Contains("belongs to another running rendezvous", Run("restore", backup, "-data", data).Text, StringComparison.Ordinal);
        }

        Assert.Contains("is not empty (2 nodes)", Run("restore", backup, "-data", data).Text, StringComparison.Ordinal);
        string fresh = Path.Combine(_directory, "fresh");
        (int restored, string said) = Run("restore", backup, "-data", fresh);
        Assert.True(restored == 0, said);
        await using RendezvousServer again = await StartAsync(fresh);
        using RawClient reader = await again.ConnectAsync();
        Assert.Contains("\"node_id\":1", await reader.CallAsync($"{{\"type\":\"heartbeat\",\"node_id\":1,\"signature\":\"{identity.SignText("heartbeat:1")}\"}}") is var beat && beat.Contains("heartbeat_ok", StringComparison.Ordinal) ? "\"node_id\":1" : beat, StringComparison.Ordinal);
        Assert.Contains("\"node_id\":2,", await reader.RegisterAsync(), StringComparison.Ordinal);
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(backup));
        }
    }

    [Fact]
    public async Task Backup_of_what_a_killed_server_left_holds_everything_and_changes_nothing()
    {
        string data = Path.Combine(_directory, "data"), left = Path.Combine(_directory, "left"), backup = Path.Combine(_directory, "backup.db");
        Directory.CreateDirectory(left);
        await using (RendezvousServer server = await StartAsync(data))
        {
            using RawClient client = await server.ConnectAsync();
            await client.RegisterAsync();
            await client.RegisterAsync();
            foreach (string name in (string[])["registry.db", "registry.db-wal"])
            {
                File.Copy(Path.Combine(data, name), Path.Combine(left, name));
            }
        }

        byte[] wal = File.ReadAllBytes(Path.Combine(left, "registry.db-wal"));
        (int code, string text) = Run("backup", backup, "-data", left);
        Assert.True(code == 0, text);
        Assert.StartsWith("2 nodes", text, StringComparison.Ordinal);
        Assert.Equal(wal, File.ReadAllBytes(Path.Combine(left, "registry.db-wal")));
        Assert.Equal((0, true), Run("restore", backup, "-data", Path.Combine(_directory, "fresh")) is var (restored, said) ? (restored, said.StartsWith("2 nodes", StringComparison.Ordinal)) : default);
    }

    [Fact]
    public void Snapshot_of_the_reference_is_imported()
    {
        string file = Path.Combine(_directory, "reference.json");
        File.WriteAllText(file, VectorFile.Find("registry.json", "snapshot/file_with_checksum").Text("text"));
        (int code, string text) = Run("import", file, "-data", _directory);
        Assert.True(code == 0, text);
        using var store = new SqliteEventStore(Path.Combine(_directory, "registry.db"));
        store.Open();
        var state = new RegistryState(DateTimeOffset.UnixEpoch);
        store.Load(state.Apply);
        Assert.Equal(11u, state.NextNode);
        Assert.True(state.TryGetByHostname("bob", out NodeRecord? bob));
        Assert.Equal((2u, true, -5L, true, "sub|42"), (bob.Id, bob.Public, bob.PoloScore, bob.TaskExec, bob.ExternalId));
        Assert.Equal(["ml", "gpu"], bob.Tags);
        Assert.Equal([(ushort)1], bob.Networks!);
        Assert.True(state.TryGetByOwner("b<o>b&co@example.com", out _));
    }

    [Fact]
    public async Task State_of_a_whole_session_moves_over()
    {
        string file = Path.Combine(_directory, "reference.json");
        JsonElement vector = VectorFile.Find("registry.json", "snapshot/file_after_core_scenario");
        string text = vector.Text("text");
        File.WriteAllText(file, text);
        (int code, string said) = Run("import", file, "-data", _directory);
        Assert.True(code == 0, said);
        await using RendezvousServer server = await StartAsync(_directory);
        using JsonDocument snapshot = JsonDocument.Parse(text);
        foreach (JsonProperty node in snapshot.RootElement.GetProperty("nodes").EnumerateObject())
        {
            using RawClient client = await server.ConnectAsync();
            string answer = await client.CallAsync($"{{\"type\":\"lookup\",\"node_id\":{node.Name}}}");
            using JsonDocument found = JsonDocument.Parse(answer);
            Assert.Equal(node.Value.Text("public_key"), found.RootElement.Text("public_key"));
        }

        foreach (JsonElement pair in snapshot.RootElement.GetProperty("trust_pairs").EnumerateArray())
        {
            string[] ends = pair.GetString()!.Split(':');
            Assert.True(server.Host.Registry.Look(core => core.State.Trust.Consented(uint.Parse(ends[0]), uint.Parse(ends[1])) && core.State.Trust.Consented(uint.Parse(ends[1]), uint.Parse(ends[0]))));
        }
    }

    [Fact]
    public void Damaged_snapshots_are_refused_and_write_nothing()
    {
        foreach (JsonElement vector in VectorFile.Load("registry.json", "snapshot/").Where(v => v.Name().Contains("bad_", StringComparison.Ordinal) || v.Name().EndsWith("tampered", StringComparison.Ordinal)))
        {
            string file = Path.Combine(_directory, "bad.json");
            File.WriteAllText(file, vector.Text("text"));
            (int code, string text) = Run("import", file, "-data", Path.Combine(_directory, "bad"));
            Assert.Equal((vector.Name(), 1), (vector.Name(), code));
            Assert.StartsWith("rendezvous import: ", text, StringComparison.Ordinal);
            Assert.False(Directory.Exists(Path.Combine(_directory, "bad")));
        }
    }

    [Fact]
    public async Task A_server_does_not_start_on_a_snapshot_of_the_reference()
    {
        string file = Path.Combine(_directory, "reference.json");
        File.WriteAllText(file, "{\"version\":1}");
        Startup.StartException e = await Assert.ThrowsAsync<Startup.StartException>(() => RendezvousServer.StartAsync(s => s.Store = file));
        Assert.Contains("rendezvous import", e.Message, StringComparison.Ordinal);
        Assert.Equal("{\"version\":1}", File.ReadAllText(file));
    }

    private static Task<RendezvousServer> StartAsync(string data) => RendezvousServer.StartAsync(s =>
    {
        s.Store = "";
        s.DataDirectory = data;
    });

    private static (int Code, string Text) Run(params string[] args)
    {
        var info = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "rendezvous"), args) { RedirectStandardError = true, RedirectStandardOutput = true };
        using Process process = Process.Start(info)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output.Result + error);
    }
}
