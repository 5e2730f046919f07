using Pilot.EndToEnd.Tests.Lab;

namespace Pilot.EndToEnd.Tests;

/// <summary>Files of the state directory in every wrong shape: a clear cause at once, nothing overwritten.</summary>
public sealed class LocalStateTests : IAsyncLifetime
{
    private RendezvousProcess _rendezvous = null!;
    private TestNode _node = null!;

    public async ValueTask InitializeAsync()
    {
        _rendezvous = await RendezvousProcess.StartNewAsync();
        _node = new TestNode(_rendezvous.Registry, _rendezvous.Beacon, "agent-l");
    }

    public async ValueTask DisposeAsync()
    {
        await _node.DisposeAsync();
        await _rendezvous.DisposeAsync();
    }

    [Fact]
    public async Task A_corrupt_identity_is_named_and_kept()
    {
        Directory.CreateDirectory(_node.Home);
        string file = Path.Combine(_node.Home, "identity.json");
        await File.WriteAllTextAsync(file, "{\"private_key\": \"AAAA\"}");
        long started = Environment.TickCount64;
        Outcome start = await _node.JsonAsync("daemon", "start");
        Assert.Equal((1, "internal"), (start.Exit, start.Code));
        Assert.Contains("identity", start.Json.GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.InRange(Environment.TickCount64 - started, 0, 10_000);
        Assert.Equal("{\"private_key\": \"AAAA\"}", await File.ReadAllTextAsync(file));
    }

    [Fact]
    public async Task A_corrupt_config_is_named()
    {
        Directory.CreateDirectory(_node.Home);
        await File.WriteAllTextAsync(Path.Combine(_node.Home, "config.json"), "not json");
        Outcome start = await _node.JsonAsync("daemon", "start");
        Assert.Equal(1, start.Exit);
        Assert.Contains("config", start.Json.GetProperty("message").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_home_that_cannot_be_written_is_named()
    {
        Dictionary<string, string?> environment = new(_node.Variables) { ["PILOT_HOME"] = "/proc/nowhere/pilot" };
        Outcome start = await Programs.RunAsync(Programs.Pilotctl, ["--json", "daemon", "start"], environment);
        Assert.Equal((1, "internal"), (start.Exit, start.Code));
        Assert.Contains("/proc/nowhere/pilot", start.Stderr, StringComparison.Ordinal);
        Outcome init = await Programs.RunAsync(Programs.Pilotctl, ["--json", "init"], environment);
        Assert.Equal((1, "internal"), (init.Exit, init.Code));
    }

    [Fact]
    public async Task A_stale_socket_and_a_stale_pid_file_do_not_block_the_start()
    {
        await _node.StartAsync();
        await _node.KillAsync();
        Assert.True(Path.Exists(_node.SocketPath));
        await File.WriteAllTextAsync(Path.Combine(_node.Home, "pilot.pid"), "1");
        await _node.StartAsync();
        Outcome stop = await _node.JsonAsync("daemon", "stop");
        Assert.Equal((0, _node.Pid), (stop.Exit, stop.Data.GetProperty("pid").GetInt32()));
        Assert.False(Programs.IsAlive(_node.Pid));
        Assert.Equal("not_running", (await _node.JsonAsync("daemon", "stop")).Code);
        Assert.Equal(1, (await _node.CtlAsync("daemon", "status", "--check")).Exit);
    }

    [Fact]
    public async Task The_name_given_once_is_remembered_and_the_foreground_daemon_ends_on_sigterm()
    {
        await _node.StartAsync();
        await _node.CtlAsync("daemon", "stop");
        using System.Diagnostics.Process foreground = Programs.Start(
            Programs.Pilotctl, ["daemon", "start", "--foreground", "--listen", "127.0.0.1:0"], _node.Variables);
        foreground.BeginErrorReadLine();
        foreground.BeginOutputReadLine();
        await Wait.UntilAsync(
            "foreground daemon ready",
            async () => await _node.JsonAsync("daemon", "status") is var s && s.Data.TryGetProperty("state", out var state) && state.GetString() == "ready");
        Assert.Equal("agent-l", (await _node.JsonAsync("info")).Data.GetProperty("hostname").GetString());
        Assert.Equal(foreground.Id, (await _node.JsonAsync("daemon", "status")).Data.GetProperty("pid").GetInt32());
        Outcome signal = await Programs.RunAsync("/bin/kill", ["-TERM", $"{foreground.Id}"], _node.Variables);
        Assert.Equal(0, signal.Exit);
        await foreground.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(0, foreground.ExitCode);
    }

    [Fact]
    public async Task Without_a_registry_the_cause_is_said_and_the_daemon_catches_up_later()
    {
        await _rendezvous.KillAsync();
        Outcome start = await _node.JsonAsync("daemon", "start", "--hostname", "agent-l", "--listen", "127.0.0.1:0");
        Assert.Equal((1, "connection_failed"), (start.Exit, start.Code));
        Assert.Contains(_rendezvous.Registry, start.Json.GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.Equal(1, (await _node.JsonAsync("find", "agent-x")).Exit);
        await _rendezvous.StartAsync();
        await Wait.UntilAsync(
            "registered after all",
            async () => (await _node.JsonAsync("daemon", "status")).Data.GetProperty("state").GetString() == "ready", TimeSpan.FromSeconds(60));
    }
}
