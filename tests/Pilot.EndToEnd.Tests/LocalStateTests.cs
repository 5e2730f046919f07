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

    [Theory]
    [InlineData("hostname=bad name")]
    [InlineData("email=nobody")]
    [InlineData("registry=host:port")]
    [InlineData("keepalive=often")]
    [InlineData("public=perhaps")]
    public async Task A_value_that_the_daemon_would_refuse_does_not_get_into_the_config(string assignment)
    {
        await _node.CtlAsync("config", "--set", "hostname=agent-l");
        string file = Path.Combine(_node.Home, "config.json");
        string before = await File.ReadAllTextAsync(file);
        Outcome refused = await _node.JsonAsync("config", "--set", assignment);
        Assert.Equal((1, "invalid_argument"), (refused.Exit, refused.Code));
        Assert.Contains(assignment[(assignment.IndexOf('=') + 1)..].Split(' ')[0], refused.Stderr.Replace("invalid email: email address must contain @", "nobody", StringComparison.Ordinal), StringComparison.Ordinal);
        Assert.Equal(before, await File.ReadAllTextAsync(file));
        Assert.Equal([file], Directory.GetFiles(_node.Home));
    }

    [Fact]
    public async Task A_name_in_the_config_that_cannot_be_used_is_said_and_can_be_repaired()
    {
        Directory.CreateDirectory(_node.Home);
        await File.WriteAllTextAsync(Path.Combine(_node.Home, "config.json"), "{\"hostname\":\"bad name\",\"keepalive\":\"30s\"}");
        Outcome start = await Programs.RunAsync(Programs.Pilotctl, ["daemon", "start", "--listen", "127.0.0.1:0"], _node.Variables);
        Assert.True(start.Exit == 0, start.Everything);
        Assert.Contains("hostname \"bad name\" was not set", start.Stderr, StringComparison.Ordinal);
        Assert.Contains("hostname \"bad name\" is not used", (await _node.CtlAsync("daemon", "status")).Stdout, StringComparison.Ordinal);
        Assert.Contains("hostname \\\"bad name\\\" is not used", await File.ReadAllTextAsync(Path.Combine(_node.Home, "pilot.log")), StringComparison.Ordinal);
        Assert.Equal(0, (await _node.CtlAsync("config", "--set", "log_level=debug")).Exit); // the old fault is not this one's
        Assert.Equal(0, (await _node.CtlAsync("config", "--set", "hostname=agent-l")).Exit);
    }

    [Fact]
    public async Task A_second_daemon_on_the_same_home_is_told_how_to_stop_the_first()
    {
        await _node.StartAsync();
        Dictionary<string, string?> second = new(_node.Variables) { ["PILOT_SOCKET"] = _node.SocketPath + "2" };
        Outcome refused = await Programs.RunAsync(Programs.Pilotctl, ["--json", "daemon", "start"], second);
        Assert.Equal((1, "already_exists"), (refused.Exit, refused.Code));
        Assert.Contains($"(pid {_node.Pid}, socket {_node.SocketPath})", refused.Json.GetProperty("message").GetString(), StringComparison.Ordinal);
        string hint = refused.Json.GetProperty("hint").GetString()!;
        Assert.Contains("pilotctl daemon stop", hint, StringComparison.Ordinal);
        string command = hint[(hint.IndexOf(": pilotctl ", StringComparison.Ordinal) + ": pilotctl ".Length)..];
        Outcome stop = await Programs.RunAsync("/bin/sh", ["-c", $"{Programs.Pilotctl} {command}"], second);
        Assert.True(stop.Exit == 0, stop.Everything);
        Assert.False(Programs.IsAlive(_node.Pid));
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("{}")]
    public async Task A_trust_file_that_says_nothing_is_named_and_kept(string content)
    {
        await _node.StartAsync();
        await _node.CtlAsync("daemon", "stop");
        foreach (string name in new[] { "trust.json", "trust-ext.json" })
        {
            string file = Path.Combine(_node.Home, name);
            byte[]? good = File.Exists(file) ? await File.ReadAllBytesAsync(file) : null;
            await File.WriteAllTextAsync(file, content);
            Outcome start = await _node.JsonAsync("daemon", "start", "--listen", "127.0.0.1:0");
            Assert.True((start.Exit, start.Code) == (1, "internal"), start.Everything);
            Assert.Contains(name + " is corrupt", start.Json.GetProperty("message").GetString(), StringComparison.Ordinal);
            Assert.Equal(content, await File.ReadAllTextAsync(file));
            File.Delete(file);
            if (good is not null)
            {
                await File.WriteAllBytesAsync(file, good);
            }
        }
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
