using Pilot.Ipc;
using Pilot.Protocol;
using Pilot.Protocol.Registry;

namespace Pilot.Daemon.Tests;

/// <summary>What a daemon tells its registry, and when (00 §3).</summary>
public sealed class RegistrationTests : IAsyncLifetime
{
    private readonly TempDirectory _directory = new();
    private readonly FakeRegistry _registry = new();

    public ValueTask InitializeAsync() => default;

    public async ValueTask DisposeAsync()
    {
        await _registry.DisposeAsync();
        _directory.Dispose();
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(9_999, 1)]
    [InlineData(10_000, 1)]
    [InlineData(10_001, 2)]
    public void A_wait_is_not_cut_to_nothing(long ticks, int milliseconds) =>
        Assert.Equal(TimeSpan.FromMilliseconds(milliseconds), Registry.RegistrySession.WholeMilliseconds(TimeSpan.FromTicks(ticks)));

    [Fact]
    public async Task The_start_registers_sets_visibility_and_hostname_and_polls()
    {
        await using var daemon = await TestDaemon.StartAsync(Settings() with { Hostname = "agent-a", Email = "user@example.com" });
        await _registry.WaitForAsync("poll_handshakes");
        Assert.Equal(["register", "lookup", "set_visibility", "set_hostname", "poll_handshakes"], _registry.Types.Take(5));
        var register = _registry.Requests.First();
        Assert.Equal("user@example.com", (string?)register["owner"]);
        Assert.Equal($"127.0.0.1:{daemon.Context.LocalEndpoint.Port}", (string?)register["listen_addr"]);
        Assert.False((bool)_registry.Requests.Single(request => (string)request["type"]! == "set_visibility")["public"]!);
    }

    [Fact]
    public async Task A_registry_of_ours_gets_signatures_that_cannot_be_repeated_beside_the_others()
    {
        _registry.Session = [.. Enumerable.Range(0, 16).Select(i => (byte)i)];
        await using var daemon = await TestDaemon.StartAsync(Settings());
        await _registry.WaitForAsync("poll_handshakes");
        var key = Convert.FromBase64String((string)_registry.Requests.First()["public_key"]!);
        var last = 0L;
        foreach (var body in _registry.Bodies)
        {
            Assert.True(RegistryRequest.TryParse(body, out var request));
            if (request!.Type == "lookup")
            {
                Assert.False(request.Has(RequestProof.SignatureMember));
                continue;
            }

            Assert.True(Ed25519.Verify(key, RequestProof.GetSignedBytes(_registry.Session, request), Convert.FromBase64String(request.GetString(RequestProof.SignatureMember))));
            Assert.True(request.TryGetInteger(RequestProof.SequenceMember, out var sequence) && sequence > last);
            last = sequence;
            Assert.Equal(request.Type != "register", request.HasString("signature")); // what a reference registry reads
        }

        Assert.Matches("^pilot-daemon/[0-9]+[.][0-9]+[.][0-9]+$", (string)_registry.Requests.First()["software"]!);
    }

    [Fact]
    public async Task A_registry_that_forgot_the_node_is_told_everything_again()
    {
        await using var daemon = await TestDaemon.StartAsync(Settings() with { Hostname = "agent-a", Public = true, KeepAlive = TimeSpan.FromMilliseconds(100) });
        using var client = await daemon.ConnectAsync();
        Assert.True((await client.CallAsync("""{"cmd":"set","tags":["x"],"task_exec":true}""")).Ok);
        await _registry.WaitForAsync("heartbeat");
        _registry.Forget();
        var before = _registry.Types.Count;
        await _registry.WaitForAsync("register", 2);
        await _registry.WaitForAsync("set_task_exec", 2);
        var after = _registry.Types.Skip(before).SkipWhile(type => type != "register").Where(type => type is not "heartbeat" and not "poll_handshakes");
        Assert.Equal(["register", "lookup", "set_visibility", "set_hostname", "set_tags", "set_task_exec"], after.Take(6));
        Assert.True((bool)_registry.Requests.Last(request => (string)request["type"]! == "set_visibility")["public"]!);
    }

    [Fact]
    public async Task A_lost_connection_is_greeted_with_a_heartbeat_not_a_registration()
    {
        await using var daemon = await TestDaemon.StartAsync(Settings());
        await _registry.WaitForAsync("poll_handshakes");
        _registry.Cut();
        await _registry.WaitForAsync("heartbeat");
        Assert.Single(_registry.Types, type => type == "register");
    }

    [Fact]
    public async Task A_taken_hostname_does_not_keep_the_node_from_working()
    {
        _registry.Script = request => (string)request["type"]! == "set_hostname" ? FakeRegistry.Error("hostname \"agent-a\" already in use by node 9") : null;
        await using var daemon = await TestDaemon.StartAsync(Settings() with { Hostname = "agent-a" });
        using var client = await daemon.ConnectAsync();
        var status = (await client.CallAsync("""{"cmd":"status"}""")).GetData(IpcJson.Context.StatusData);
        Assert.Equal(DaemonState.Ready, status.State);
        Assert.Equal(string.Empty, status.Hostname);
        Assert.Contains("already in use", status.LastError, StringComparison.Ordinal);
        var set = await client.CallAsync("""{"cmd":"set","hostname":"agent-a"}""");
        Assert.Equal(IpcErrorCode.AlreadyExists, set.Code);
        Assert.Equal("set_hostname: registry: hostname \"agent-a\" already in use by node 9", set.Error);
    }

    [Fact]
    public async Task A_name_that_no_registry_takes_is_said_until_another_is_set()
    {
        await using var daemon = await TestDaemon.StartAsync(Settings() with { Hostname = "bad name" });
        using var client = await daemon.ConnectAsync();
        var status = (await client.CallAsync("""{"cmd":"status"}""")).GetData(IpcJson.Context.StatusData);
        Assert.Equal(DaemonState.Ready, status.State);
        Assert.Equal("hostname \"bad name\" is not used: hostname must be lowercase alphanumeric with hyphens, start/end with alphanumeric", status.LastError);
        Assert.DoesNotContain("set_hostname", _registry.Types);
        Assert.True((await client.CallAsync("""{"cmd":"set","hostname":"good-name"}""")).Ok);
        status = (await client.CallAsync("""{"cmd":"status"}""")).GetData(IpcJson.Context.StatusData);
        Assert.Equal(("good-name", string.Empty), (status.Hostname, status.LastError));
    }

    [Fact]
    public async Task Without_a_registry_the_daemon_answers_and_says_why_it_is_not_ready()
    {
        string address;
        await using (var gone = new FakeRegistry())
        {
            address = gone.Address;
        }

        await using var daemon = await TestDaemon.StartAsync(TestDaemon.SettingsFor(_directory["h"], address), waitUntilReady: false);
        using var client = await daemon.ConnectAsync();
        StatusData status;
        do
        {
            status = (await client.CallAsync("""{"cmd":"status"}""")).GetData(IpcJson.Context.StatusData);
            Assert.Equal(DaemonState.Starting, status.State);
        }
        while (!status.LastError.Contains(address, StringComparison.Ordinal));
        Assert.Equal(IpcErrorCode.RegistryUnavailable, (await client.CallAsync("""{"cmd":"dial","to":5,"port":7}""")).Code);

        // It registers by itself as soon as the registry is there.
        await using var back = new FakeRegistry(int.Parse(address.AsSpan(address.LastIndexOf(':') + 1), System.Globalization.CultureInfo.InvariantCulture));
        await daemon.Context.Session.Registered.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task A_second_daemon_on_the_same_state_or_socket_is_refused_and_leaves_the_first_alone()
    {
        await using var daemon = await TestDaemon.StartAsync(Settings());
        var sameState = Settings() with { SocketPath = _directory["other"] };
        Assert.Contains("another daemon already uses the state directory", (await Assert.ThrowsAsync<FatalException>(() => TestDaemon.StartAsync(sameState))).Message, StringComparison.Ordinal);
        var sameSocket = TestDaemon.SettingsFor(_directory["h2"], _registry.Address) with { SocketPath = daemon.Settings.SocketPath };
        Assert.Contains("another daemon already serves the socket", (await Assert.ThrowsAsync<FatalException>(() => TestDaemon.StartAsync(sameSocket))).Message, StringComparison.Ordinal);
        using var client = await daemon.ConnectAsync();
        Assert.True((await client.CallAsync("""{"cmd":"health"}""")).Ok);
    }

    [Fact]
    public async Task A_socket_left_by_a_crash_is_replaced_and_a_clean_stop_removes_it()
    {
        var settings = Settings();
        Directory.CreateDirectory(_directory["h"]);
        using (var dead = new System.Net.Sockets.Socket(System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, System.Net.Sockets.ProtocolType.Unspecified))
        {
            dead.Bind(new System.Net.Sockets.UnixDomainSocketEndPoint(settings.SocketPath + "x"));
            File.Move(settings.SocketPath + "x", settings.SocketPath);
        }

        Assert.True(File.Exists(settings.SocketPath));
        var daemon = await TestDaemon.StartAsync(settings);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(settings.SocketPath));
        await daemon.DisposeAsync();
        Assert.False(File.Exists(settings.SocketPath));
        Assert.False(File.Exists(_directory["h/pilot.pid"]));
        Assert.False(File.Exists(_directory["h/pilot.socket"]));
    }

    private Configuration.DaemonSettings Settings() => TestDaemon.SettingsFor(_directory["h"], _registry.Address);
}
