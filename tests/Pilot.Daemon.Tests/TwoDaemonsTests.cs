using System.Diagnostics;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Pilot.Ipc;

namespace Pilot.Daemon.Tests;

/// <summary>Two whole daemons over loopback UDP.</summary>
public sealed class TwoDaemonsTests : IAsyncLifetime
{
    private readonly TempDirectory _directory = new();
    private readonly FakeRegistry _registry = new();
    private TestDaemon _a = null!;
    private TestDaemon _b = null!;

    public async ValueTask InitializeAsync()
    {
        _a = await TestDaemon.StartAsync(TestDaemon.SettingsFor(_directory["a"], _registry.Address) with { Hostname = "agent-a" });
        _b = await TestDaemon.StartAsync(TestDaemon.SettingsFor(_directory["b"], _registry.Address) with { Hostname = "agent-b" });
    }

    public async ValueTask DisposeAsync()
    {
        await _a.DisposeAsync();
        await _b.DisposeAsync();
        await _registry.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task Handshake_by_name_approve_and_talk()
    {
        using var a = await _a.ConnectAsync();
        using var b = await _b.ConnectAsync();
        var sent = (await a.CallAsync("""{"cmd":"handshake","to":"agent-b","justification":"please"}""")).GetData(IpcJson.Context.TrustActionData);
        Assert.Equal("sent", sent.Status);
        Assert.Equal("agent-b", sent.Hostname);

        PendingEntry? entry = null;
        await UntilAsync(async () =>
        {
            entry = (await b.CallAsync("""{"cmd":"pending"}""")).GetData(IpcJson.Context.PendingData).Pending.SingleOrDefault();
            return entry is not null;
        });
        Assert.Equal(_a.NodeId, entry!.NodeId);
        Assert.Equal("please", entry.Justification);
        Assert.Equal("agent-a", entry.Hostname);

        var approved = (await b.CallAsync("""{"cmd":"approve","to":"agent-a"}""")).GetData(IpcJson.Context.TrustActionData);
        Assert.Equal("approved", approved.Status);
        await TrustAsync(a, _b.NodeId);

        using var stream = await _a.ConnectAsync();
        var raw = await stream.CallAsync("""{"cmd":"dial","to":"agent-b","port":7}""");
        Assert.True(raw.Ok, raw.Error);
        Assert.True(raw.Raw);
        await stream.SendAsync("hello");
        stream.Socket.Shutdown(SocketShutdown.Send);
        Assert.Equal("hello", Encoding.UTF8.GetString(await stream.ReadToEndAsync()));
        var result = (await a.CallAsync($$"""{"cmd":"conn_result","conn":{{raw.Conn}}}""")).GetData(IpcJson.Context.ConnResultData);
        Assert.Equal("closed", result.Reason);

        // A client in a hurry: its first bytes come with the request and are sent without waiting for another occasion.
        using var hasty = await _a.ConnectAsync();
        await hasty.SendAsync("""{"cmd":"dial","to":"agent-b","port":7}""" + "\nearly");
        Assert.True((await hasty.ReadReplyAsync()).Raw);
        Assert.Equal("early", Encoding.UTF8.GetString(await hasty.ReadAsync(5)));
    }

    [Fact]
    public async Task Bulk_both_ways_with_half_close_arrives_whole()
    {
        await MutualAsync();
        using var listener = await _b.ConnectAsync();
        Assert.True((await listener.CallAsync("""{"cmd":"listen","port":5000}""")).Ok);
        using var server = await _b.ConnectAsync();
        await server.SendAsync("""{"cmd":"accept","port":5000}""" + "\n");
        using var client = await _a.ConnectAsync();
        Assert.True((await client.CallAsync($$"""{"cmd":"dial","to":{{_b.NodeId}},"port":5000}""")).Ok);
        Assert.True((await server.ReadReplyAsync()).Raw);

        var upload = RandomNumberGenerator.GetBytes(20_000_000);
        var download = RandomNumberGenerator.GetBytes(10_000_000);
        var sending = Task.Run(async () =>
        {
            await client.SendAsync(upload);
            client.Socket.Shutdown(SocketShutdown.Send);
        }, TestContext.Current.CancellationToken);
        var answering = Task.Run(async () =>
        {
            var received = await server.ReadToEndAsync();
            await server.SendAsync(download); // after the other direction has ended
            server.Socket.Shutdown(SocketShutdown.Send);
            return received;
        }, TestContext.Current.CancellationToken);
        Assert.Equal(SHA256.HashData(download), SHA256.HashData(await client.ReadToEndAsync()));
        Assert.Equal(SHA256.HashData(upload), SHA256.HashData(await answering));
        await sending;
    }

    [Fact]
    public async Task A_stranger_cannot_dial_a_private_node()
    {
        using var a = await _a.ConnectAsync();
        var reply = await a.CallAsync($$"""{"cmd":"dial","to":{{_b.NodeId}},"port":7}""");
        Assert.False(reply.Ok);
        Assert.Equal(IpcErrorCode.NotTrusted, reply.Code);
        var resolve = await a.CallAsync("""{"cmd":"resolve","name":"agent-b"}""");
        Assert.Equal(IpcErrorCode.NotFound, resolve.Code);
        // The connection is still in command mode.
        Assert.True((await a.CallAsync("""{"cmd":"health"}""")).Ok);
    }

    [Fact]
    public async Task A_port_without_listener_refuses()
    {
        await MutualAsync();
        using var a = await _a.ConnectAsync();
        var reply = await a.CallAsync($$"""{"cmd":"dial","to":{{_b.NodeId}},"port":4242}""");
        Assert.Equal(IpcErrorCode.Refused, reply.Code);
        Assert.Equal("connection refused", reply.Error);
    }

    [Fact]
    public async Task Datagrams_reach_the_subscriber_of_their_port()
    {
        await MutualAsync();
        using var b = await _b.ConnectAsync();
        Assert.True((await b.CallAsync("""{"cmd":"subscribe","datagrams":[6000]}""")).Ok);
        using var a = await _a.ConnectAsync();
        Assert.True((await a.CallAsync($$"""{"cmd":"send_to","to":{{_b.NodeId}},"port":6001,"text":"not this"}""")).Ok);
        Assert.True((await a.CallAsync($$"""{"cmd":"send_to","to":{{_b.NodeId}},"port":6000,"src_port":77,"text":"this"}""")).Ok);
        var line = await b.ReadLineAsync();
        var received = System.Text.Json.JsonSerializer.Deserialize(line!, IpcJson.Context.DatagramEvent)!;
        Assert.Equal("this", Encoding.UTF8.GetString(received.Data.Span));
        Assert.Equal(_a.Address, received.Src);
        Assert.Equal(77, received.SrcPort);
        Assert.Equal(6000, received.DstPort);
    }

    [Fact]
    public async Task A_datagram_that_the_registry_lets_nowhere_is_an_error()
    {
        using var a = await _a.ConnectAsync();
        var unknown = await a.CallAsync("""{"cmd":"send_to","to":4711,"port":6000,"text":"x"}""");
        Assert.Equal((IpcErrorCode.NotFound, "sendto: resolve node 4711: registry: node 4711: node not found"), (unknown.Code, unknown.Error));
        var stranger = await a.CallAsync($$"""{"cmd":"send_to","to":{{_b.NodeId}},"port":6000,"text":"x"}""");
        Assert.Equal(IpcErrorCode.NotTrusted, stranger.Code);
        Assert.Equal(IpcErrorCode.NotFound, (await a.CallAsync("""{"cmd":"send_to","to":"nobody","port":6000,"text":"x"}""")).Code);

        // A target whose daemon is gone is another matter: nobody promises that a datagram arrives.
        await MutualAsync();
        await _b.StopAsync();
        Assert.True((await a.CallAsync($$"""{"cmd":"send_to","to":{{_b.NodeId}},"port":6000,"text":"x"}""")).Ok);
    }

    [Fact]
    public async Task Ping_and_status_show_the_path()
    {
        await MutualAsync();
        using var a = await _a.ConnectAsync();
        var ping = (await a.CallAsync("""{"cmd":"ping","to":"agent-b"}""")).GetData(IpcJson.Context.PingData);
        Assert.Equal(PathName.Direct, ping.Path);
        Assert.True(ping.RttMs > 0);
        var info = (await a.CallAsync("""{"cmd":"info"}""")).GetData(IpcJson.Context.InfoData);
        var peer = Assert.Single(info.PeerList);
        Assert.True(peer.Encrypted);
        Assert.True(peer.Trusted);
        Assert.Equal(ping.Endpoint, peer.Endpoint);
    }

    [Fact]
    public async Task Trust_that_could_not_be_written_is_written_when_the_disk_allows()
    {
        // A request to a name that nobody has: no later event changes the state, so nothing else writes it.
        var file = Path.Combine(_a.Settings.Home, "trust-ext.json");
        var obstacle = Directory.CreateDirectory(file + ".tmp");
        using var a = await _a.ConnectAsync();
        Assert.True((await a.CallAsync("""{"cmd":"handshake","to":"nobody-there"}""")).Ok);
        Assert.False(File.Exists(file) && (await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken)).Contains("nobody-there", StringComparison.Ordinal));
        obstacle.Delete();
        await UntilAsync(async () => File.Exists(file) && (await File.ReadAllTextAsync(file)).Contains("nobody-there", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_node_reaches_itself()
    {
        using var a = await _a.ConnectAsync();
        var raw = await a.CallAsync("""{"cmd":"dial","to":"agent-a","port":7}""");
        Assert.True(raw.Ok, raw.Error);
        Assert.Equal(PathName.Loopback, raw.Path);
        await a.SendAsync("me");
        Assert.Equal("me", Encoding.UTF8.GetString(await a.ReadAsync(2)));

        // No datagram wakes the loop for this: it must not rest while the node has something to say to itself.
        var watch = Stopwatch.StartNew();
        for (var i = 0; i < 20; i++)
        {
            await a.SendAsync("again");
            await a.ReadAsync(5);
        }

        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(2), $"20 echoes took {watch.Elapsed}");
    }

    [Fact]
    public async Task Untrust_ends_streams_and_closes_the_gate()
    {
        await MutualAsync();
        using var stream = await _a.ConnectAsync();
        Assert.True((await stream.CallAsync($$"""{"cmd":"dial","to":{{_b.NodeId}},"port":7}""")).Raw);
        await stream.SendAsync("x");
        await stream.ReadAsync(1);
        using var b = await _b.ConnectAsync();
        var done = (await b.CallAsync($$"""{"cmd":"untrust","node":{{_a.NodeId}}}""")).GetData(IpcJson.Context.TrustActionData);
        Assert.Equal("revoked", done.Status);
        Assert.Empty(await stream.ReadToEndAsync());
        using var again = await _a.ConnectAsync();
        Assert.False((await again.CallAsync($$"""{"cmd":"dial","to":{{_b.NodeId}},"port":7,"timeout_ms":3000}""")).Ok);
    }

    [Fact]
    public async Task A_killed_client_ends_its_stream_at_the_other_side()
    {
        await MutualAsync();
        using var listener = await _b.ConnectAsync();
        await listener.CallAsync("""{"cmd":"listen","port":5001}""");
        using var server = await _b.ConnectAsync();
        await server.SendAsync("""{"cmd":"accept","port":5001}""" + "\n");
        var client = await _a.ConnectAsync();
        Assert.True((await client.CallAsync($$"""{"cmd":"dial","to":{{_b.NodeId}},"port":5001}""")).Raw);
        Assert.True((await server.ReadReplyAsync()).Raw);
        await client.SendAsync("last words");
        client.Dispose();
        Assert.Equal("last words", Encoding.UTF8.GetString(await server.ReadToEndAsync()));
    }

    [Fact]
    public async Task A_receiver_that_does_not_read_holds_only_its_own_stream()
    {
        await MutualAsync();
        using var listener = await _b.ConnectAsync();
        await listener.CallAsync("""{"cmd":"listen","port":5002}""");
        using var server = await _b.ConnectAsync();
        await server.SendAsync("""{"cmd":"accept","port":5002}""" + "\n");
        using var client = await _a.ConnectAsync();
        Assert.True((await client.CallAsync($$"""{"cmd":"dial","to":{{_b.NodeId}},"port":5002}""")).Raw);
        Assert.True((await server.ReadReplyAsync()).Raw);
        var data = RandomNumberGenerator.GetBytes(40_000_000); // more than all buffers on the way hold
        var sending = client.SendAsync(data);
        using var other = await _a.ConnectAsync();
        Assert.True((await other.CallAsync($$"""{"cmd":"dial","to":{{_b.NodeId}},"port":7}""")).Raw);
        await other.SendAsync("still here");
        Assert.Equal("still here", Encoding.UTF8.GetString(await other.ReadAsync(10)));
        Assert.False(sending.IsCompleted);
        Assert.Equal(SHA256.HashData(data), SHA256.HashData(await server.ReadAsync(data.Length)));
        await sending;
    }

    [Fact]
    public async Task A_restarted_daemon_keeps_identity_and_trust_and_is_reached_again()
    {
        await MutualAsync();
        var id = _b.NodeId;
        using (var before = await _a.ConnectAsync())
        {
            Assert.True((await before.CallAsync($$"""{"cmd":"ping","to":{{id}}}""")).Ok);
        }

        await _b.DisposeAsync();
        _b = await TestDaemon.StartAsync(_b.Settings);
        Assert.Equal(id, _b.NodeId);
        using var a = await _a.ConnectAsync();
        var raw = await a.CallAsync($$"""{"cmd":"dial","to":{{id}},"port":7}""");
        Assert.True(raw.Ok, raw.Error);
        await a.SendAsync("again");
        Assert.Equal("again", Encoding.UTF8.GetString(await a.ReadAsync(5)));
    }

    /// <summary>Trust by both sides asking.</summary>
    private async Task MutualAsync()
    {
        using var a = await _a.ConnectAsync();
        using var b = await _b.ConnectAsync();
        Assert.True((await a.CallAsync($$"""{"cmd":"handshake","node":{{_b.NodeId}}}""")).Ok);
        Assert.True((await b.CallAsync($$"""{"cmd":"handshake","node":{{_a.NodeId}}}""")).Ok);
        await TrustAsync(a, _b.NodeId);
        await TrustAsync(b, _a.NodeId);
    }

    private static Task TrustAsync(TestClient client, uint peer) => UntilAsync(async () =>
        (await client.CallAsync("""{"cmd":"trusted"}""")).GetData(IpcJson.Context.TrustedData).Trusted.Any(entry => entry.NodeId == peer));

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (!await condition())
        {
            await Task.Delay(20, limit.Token);
        }
    }
}
