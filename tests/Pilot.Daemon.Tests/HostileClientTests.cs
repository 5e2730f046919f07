using System.Net.Sockets;
using System.Text;
using Pilot.Ipc;

namespace Pilot.Daemon.Tests;

/// <summary>Clients that break the rules get a clear error, and nobody else notices them.</summary>
public sealed class HostileClientTests : IAsyncLifetime
{
    private readonly TempDirectory _directory = new();
    private readonly FakeRegistry _registry = new();
    private TestDaemon _daemon = null!;

    public async ValueTask InitializeAsync() => _daemon = await TestDaemon.StartAsync(TestDaemon.SettingsFor(_directory["h"], _registry.Address));

    public async ValueTask DisposeAsync()
    {
        await _daemon.DisposeAsync();
        await _registry.DisposeAsync();
        _directory.Dispose();
    }

    [Theory]
    [InlineData("{broken", IpcErrorCode.InvalidArgument)]
    [InlineData("{}", IpcErrorCode.InvalidArgument)]
    [InlineData("""{"cmd":5}""", IpcErrorCode.InvalidArgument)]
    [InlineData("""{"cmd":"dial","port":"x"}""", IpcErrorCode.InvalidArgument)]
    [InlineData("""{"cmd":"dial","to":1,"port":70000}""", IpcErrorCode.InvalidArgument)]
    [InlineData("""{"cmd":"dial","to":1}""", IpcErrorCode.InvalidArgument)]
    [InlineData("""{"cmd":"dial","port":7}""", IpcErrorCode.InvalidArgument)]
    [InlineData("""{"cmd":"dial","to":0,"port":7}""", IpcErrorCode.InvalidArgument)]
    [InlineData("""{"cmd":"dial","to":"no-such-host","port":7}""", IpcErrorCode.NotFound)]
    [InlineData("""{"cmd":"fly"}""", IpcErrorCode.UnknownCommand)]
    [InlineData("""{"cmd":"accept","port":4999}""", IpcErrorCode.NotFound)]
    [InlineData("""{"cmd":"listen","port":7}""", IpcErrorCode.PortInUse)]
    [InlineData("""{"cmd":"unlisten","port":7}""", IpcErrorCode.NotFound)]
    [InlineData("""{"cmd":"conn_result","conn":4711}""", IpcErrorCode.NotFound)]
    [InlineData("""{"cmd":"handshake","to":"Not_A_Name"}""", IpcErrorCode.InvalidArgument)]
    [InlineData("""{"cmd":"approve","node":77}""", IpcErrorCode.NotFound)]
    [InlineData("""{"cmd":"reject","node":77}""", IpcErrorCode.NotFound)]
    [InlineData("""{"cmd":"untrust","node":77}""", IpcErrorCode.NotFound)]
    [InlineData("""{"cmd":"subscribe","events":["x"]}""", IpcErrorCode.InvalidArgument)]
    [InlineData("""{"cmd":"send_to","to":1,"port":5,"data":"%%"}""", IpcErrorCode.InvalidArgument)]
    public async Task A_bad_request_gets_its_code_and_the_connection_stays_usable(string line, string code)
    {
        using var client = await _daemon.ConnectAsync();
        var reply = await client.CallAsync(line);
        Assert.False(reply.Ok);
        Assert.Equal(code, reply.Code);
        Assert.False(string.IsNullOrEmpty(reply.Error));
        Assert.True((await client.CallAsync("""{"cmd":"health"}""")).Ok);
    }

    [Fact]
    public async Task A_handshake_with_the_own_node_is_refused()
    {
        using var client = await _daemon.ConnectAsync();
        var reply = await client.CallAsync($$"""{"cmd":"handshake","node":{{_daemon.NodeId}}}""");
        Assert.Equal(IpcErrorCode.InvalidArgument, reply.Code);
        Assert.Equal("cannot handshake with self", reply.Error);
    }

    [Fact]
    public async Task An_oversize_line_ends_the_connection_with_a_reason()
    {
        using var client = await _daemon.ConnectAsync();
        await client.SendAsync("{\"cmd\":\"");
        var junk = Encoding.ASCII.GetBytes(new string('x', IpcProtocol.MaxLineLength + 1));
        try
        {
            await client.SendAsync(junk);
        }
        catch (SocketException)
        {
            // The daemon closed while we were still sending.
        }

        var reply = await client.ReadReplyAsync();
        Assert.Equal(IpcErrorCode.TooLarge, reply.Code);
        await AssertAliveAsync();
    }

    [Fact]
    public async Task A_client_of_the_binary_protocol_is_told_and_closed()
    {
        using var client = await _daemon.ConnectAsync();
        await client.SendAsync(new byte[] { 0, 0, 0, 1, 0x0D });
        Assert.Contains("binary protocol", (await client.ReadReplyAsync()).Error!, StringComparison.Ordinal);
        Assert.Null(await client.ReadLineAsync());
    }

    [Fact]
    public async Task Clients_that_never_read_do_not_hold_up_others()
    {
        var deaf = new List<TestClient>();
        try
        {
            for (var i = 0; i < 8; i++)
            {
                var client = await _daemon.ConnectAsync();
                deaf.Add(client);
                client.Socket.Blocking = false;
                var request = "{\"cmd\":\"info\"}\n"u8.ToArray();
                // As much as fits: the replies fill both sides.
                for (var sent = 0; sent < 20_000; sent++)
                {
                    client.Socket.Send(request, SocketFlags.None, out var error);
                    if (error != SocketError.Success)
                    {
                        break;
                    }
                }
            }

            await AssertAliveAsync();
            using var info = await _daemon.ConnectAsync();
            Assert.True((await info.CallAsync("""{"cmd":"info"}""")).Ok);
        }
        finally
        {
            deaf.ForEach(client => client.Dispose());
        }
    }

    [Fact]
    public async Task Half_open_clients_and_half_lines_do_no_harm()
    {
        var idle = new List<TestClient>();
        for (var i = 0; i < 200; i++)
        {
            var client = await _daemon.ConnectAsync();
            idle.Add(client);
            await client.SendAsync(i % 2 == 0 ? "{\"cmd\":" : "{");
        }

        await AssertAliveAsync();
        idle.ForEach(client => client.Dispose());
        await AssertAliveAsync();
    }

    [Fact]
    public async Task Replies_still_come_after_the_client_ended_its_direction()
    {
        using var client = await _daemon.ConnectAsync();
        await client.SendAsync("{\"cmd\":\"health\"}\n{\"cmd\":\"info\",\"id\":5}\n{\"cmd\":\"status\"}\n");
        client.Socket.Shutdown(SocketShutdown.Send);
        var lines = Encoding.UTF8.GetString(await client.ReadToEndAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(3, lines.Length);
        Assert.All(lines, line => Assert.Contains("\"ok\":true", line, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Requests_without_id_are_answered_in_order()
    {
        using var client = await _daemon.ConnectAsync();
        await client.SendAsync("{\"cmd\":\"resolve\",\"to\":\"nobody\"}\n{\"cmd\":\"info\"}\n{\"cmd\":\"health\"}\n");
        Assert.Equal(IpcErrorCode.NotFound, (await client.ReadReplyAsync()).Code);
        Assert.NotNull((await client.ReadReplyAsync()).GetData(IpcJson.Context.InfoData).PublicKey);
        Assert.Equal("ok", (await client.ReadReplyAsync()).GetData(IpcJson.Context.HealthData).Status);
    }

    [Fact]
    public async Task A_lost_listener_frees_its_port_and_its_waiting_accepts()
    {
        var listener = await _daemon.ConnectAsync();
        Assert.True((await listener.CallAsync("""{"cmd":"listen","port":5005}""")).Ok);
        using var waiter = await _daemon.ConnectAsync();
        await waiter.SendAsync("{\"cmd\":\"accept\",\"port\":5005}\n");
        using var second = await _daemon.ConnectAsync();
        Assert.Equal(IpcErrorCode.PortInUse, (await second.CallAsync("""{"cmd":"listen","port":5005}""")).Code);
        listener.Dispose();
        Assert.Equal(IpcErrorCode.Cancelled, (await waiter.ReadReplyAsync()).Code);
        Assert.True((await second.CallAsync("""{"cmd":"listen","port":5005}""")).Ok);
        var any = (await second.CallAsync("""{"cmd":"listen","port":0}""")).GetData(IpcJson.Context.ListenData);
        Assert.True(any.Port >= 49152);
    }

    [Fact]
    public async Task An_accept_gives_up_at_its_limit_and_the_connection_goes_on()
    {
        using var listener = await _daemon.ConnectAsync();
        await listener.CallAsync("""{"cmd":"listen","port":5006}""");
        using var waiter = await _daemon.ConnectAsync();
        Assert.Equal(IpcErrorCode.Timeout, (await waiter.CallAsync("""{"cmd":"accept","port":5006,"timeout_ms":30}""")).Code);
        Assert.True((await waiter.CallAsync("""{"cmd":"health"}""")).Ok);
    }

    private async Task AssertAliveAsync()
    {
        using var client = await _daemon.ConnectAsync();
        Assert.True((await client.CallAsync("""{"cmd":"health"}""").WaitAsync(TimeSpan.FromSeconds(10))).Ok);
    }
}
