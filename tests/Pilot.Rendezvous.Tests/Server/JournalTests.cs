using Pilot.Protocol;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Server;
using Pilot.Rendezvous.Startup;

namespace Pilot.Rendezvous.Tests.Server;

public sealed class JournalTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("pilot-journal").FullName;

    private string Store => Path.Combine(_directory, "state", "events.jsonl");

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task State_outlives_the_server()
    {
        Identity identity = Identity.Create();
        for (int run = 0; run < 3; run++)
        {
            await using RendezvousServer server = await RendezvousServer.StartAsync(s => s.Store = Store);
            using RawClient client = await server.ConnectAsync();
            if (run == 0)
            {
                await client.CallAsync($"{{\"type\":\"register\",\"public_key\":\"{Identity.Create().PublicKeyText}\"}}");
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
    public async Task Second_server_on_one_store_is_refused()
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync(s => s.Store = Store);
        StartException refused = await Assert.ThrowsAsync<StartException>(() => RendezvousServer.StartAsync(s => s.Store = Store));
        Assert.StartsWith("store ", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Torn_last_line_is_dropped_and_writing_goes_on()
    {
        using (EventJournal journal = EventJournal.Open(Store, _ => { }, out _))
        {
            journal.Append(new ConsentGiven(1, 2));
            journal.Append(new ConsentGiven(2, 1));
        }

        byte[] whole = File.ReadAllBytes(Store);
        for (int cut = whole.Length - 1; cut >= 0; cut--)
        {
            File.WriteAllBytes(Store, whole[..cut]);
            var events = new List<RegistryEvent>();
            using (EventJournal journal = EventJournal.Open(Store, events.Add, out int count))
            {
                Assert.Equal(Math.Max(0, whole[..cut].Count(b => b == '\n') - 1), count);
                journal.Append(new ConsentGiven(3, 4));
            }

            events.Clear();
            EventJournal.Open(Store, events.Add, out _).Dispose();
            Assert.Equal(new ConsentGiven(3, 4), events[^1]);
        }
    }

    [Fact]
    public void Damaged_or_foreign_file_is_refused_and_left_alone()
    {
        using (EventJournal journal = EventJournal.Open(Store, _ => { }, out _))
        {
            journal.Append(new ConsentGiven(1, 2));
            journal.Append(new ConsentGiven(2, 1));
        }

        string text = File.ReadAllText(Store);
        foreach (string damaged in (string[])[text.Replace("\"from\":1", "\"from\":x", StringComparison.Ordinal), "{\"version\":1,\"nodes\":{}}", text.Replace("\"consent\"", "\"unheard\"", StringComparison.Ordinal)])
        {
            File.WriteAllText(Store, damaged);
            Assert.Throws<InvalidDataException>(() => EventJournal.Open(Store, _ => { }, out _));
            Assert.Equal(damaged, File.ReadAllText(Store));
        }
    }
}
