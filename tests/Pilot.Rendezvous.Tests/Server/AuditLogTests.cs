using System.Text.Json;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Server;

namespace Pilot.Rendezvous.Tests.Server;

/// <summary>Every change is a line of its own in the audit log, whatever happened to the line before it.</summary>
public sealed class AuditLogTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("pilot-audit").FullName;
    private readonly List<string> _told = [];

    private string Log => Path.Combine(_directory, "audit");

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Theory]
    [InlineData(new string[0], "")]
    [InlineData(new[] { "{\"whole\":1}" }, "{\"whole\":1}\n")]
    [InlineData(new[] { "{\"whole\":1}", "{\"timestamp\":\"20" }, "{\"whole\":1}\n{\"timestamp\":\"20")]
    public void What_an_earlier_process_left_stays_and_is_followed_by_whole_lines(string[] left, string text)
    {
        File.WriteAllText(Log, text);
        using (AuditLog log = Open(Log))
        {
            log.Write(new HostnameChanged(1, "one"));
            log.Write(new HostnameChanged(2, "two"));
        }

        string[] lines = File.ReadAllText(Log).Split('\n');
        Assert.Equal(left, lines[..^3]);
        Assert.Equal(["1", "2", ""], [NodeOf(lines[^3]), NodeOf(lines[^2]), lines[^1]]);
        Assert.Empty(_told);
    }

    [Fact]
    public void A_line_that_a_full_disk_cut_off_costs_no_other()
    {
        using SmallFileSystem small = SmallFileSystem.Mount(kilobytes: 16);
        string path = small.PathOf("audit");
        using AuditLog log = Open(path);
        log.Write(new HostnameChanged(1, new string('a', 2000)));
        string ballast = small.FillUp();
        log.Write(new HostnameChanged(2, new string('b', 3000))); // the first page has room for half of it
        log.Write(new HostnameChanged(3, "none"));
        Assert.Single(_told); // once per run of failures
        long cut = new FileInfo(path).Length;
        Assert.Equal(4096, cut);

        File.Delete(ballast);
        log.Write(new HostnameChanged(4, "short"));
        log.Write(new HostnameChanged(5, "more"));
        string[] lines = File.ReadAllText(path).Split('\n');
        Assert.Equal(["1", "4", "5", ""], [NodeOf(lines[0]), NodeOf(lines[2]), NodeOf(lines[3]), lines[4]]);
        Assert.Contains("bbbb", lines[1], StringComparison.Ordinal);

        small.FillUp();
        log.Write(new HostnameChanged(6, new string('c', 8000)));
        Assert.Equal(2, _told.Count);
    }

    [Fact]
    public void A_file_that_was_moved_away_gets_no_line_of_the_next_one()
    {
        using AuditLog log = Open(Log);
        log.Write(new HostnameChanged(1, "one"));
        File.Move(Log, Log + ".1");
        log.Reopen();
        log.Write(new HostnameChanged(2, "two"));
        Assert.Equal(["1", "2"], [NodeOf(Assert.Single(File.ReadAllLines(Log + ".1"))), NodeOf(Assert.Single(File.ReadAllLines(Log)))]);
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Log));
        }
    }

    private static string NodeOf(string line)
    {
        using JsonDocument parsed = JsonDocument.Parse(line);
        Assert.Equal("hostname.changed", parsed.RootElement.Text("action"));
        return parsed.RootElement.GetProperty("event").GetProperty("node").GetRawText();
    }

    private AuditLog Open(string path) => new(path, new SteadyClock(), _told.Add);
}
