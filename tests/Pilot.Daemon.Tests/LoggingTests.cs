using System.Text.Json;
using Pilot.Daemon.Logging;
using Pilot.Daemon.State;
using Serilog;

namespace Pilot.Daemon.Tests;

public sealed class LoggingTests : IDisposable
{
    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void A_line_has_fixed_fields_and_no_raw_control_characters()
    {
        Write(new TextLineFormatter(), log => log.Warning("peer {NodeId} said {Text}", 7, "a\u001b[2J\nb \"c\""));
        var line = Assert.Single(File.ReadAllLines(_directory["log"]));
        Assert.Matches("^time=[0-9T:.+-]+ level=WARN msg=\"peer 7 said a", line);
        Assert.EndsWith("node_id=7 text=\"a\\u001b[2J\\nb \\\"c\\\"\"", line, StringComparison.Ordinal);
        Assert.DoesNotContain('\u001b', line);
    }

    [Fact]
    public void A_json_line_is_an_object_with_the_same_fields()
    {
        Write(new JsonLineFormatter(), log => log.Error(new InvalidOperationException("why"), "failed {NodeId}", 7));
        using var json = JsonDocument.Parse(Assert.Single(File.ReadAllLines(_directory["log"])));
        Assert.Equal("ERROR", json.RootElement.GetProperty("level").GetString());
        Assert.Equal("failed 7", json.RootElement.GetProperty("msg").GetString());
        Assert.Equal("7", json.RootElement.GetProperty("node_id").GetString());
        Assert.Contains("why", json.RootElement.GetProperty("exception").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Files_stay_under_their_limit_and_only_so_many_are_kept()
    {
        using (var sink = new SizeCappedFileSink(_directory["log"], new TextLineFormatter(), limit: 2000, kept: 2))
        using (var log = new LoggerConfiguration().WriteTo.Sink(sink).CreateLogger())
        {
            for (var i = 0; i < 500; i++)
            {
                log.Information("line {Number}", i);
            }
        }

        Assert.Equal(["log", "log.1", "log.2"], Directory.GetFiles(_directory.Location).Select(Path.GetFileName).Order());
        Assert.All(Directory.GetFiles(_directory.Location), file => Assert.InRange(new FileInfo(file).Length, 1, 2200));
        Assert.Contains("line 499", File.ReadAllLines(_directory["log"])[^1], StringComparison.Ordinal);
        Assert.Equal(AtomicFile.FileMode600, File.GetUnixFileMode(_directory["log"]));
    }

    private void Write(Serilog.Formatting.ITextFormatter formatter, Action<ILogger> write)
    {
        using var sink = new SizeCappedFileSink(_directory["log"], formatter);
        using var log = new LoggerConfiguration().WriteTo.Sink(sink).CreateLogger();
        write(log);
    }
}
