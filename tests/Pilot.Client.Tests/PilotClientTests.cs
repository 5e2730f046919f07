using System.Buffers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Pilot.Ipc;

namespace Pilot.Client.Tests;

public sealed class PilotClientTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Requests_share_one_connection_and_answers_find_their_caller()
    {
        await using FakeDaemon daemon = new();
        daemon.Replies[IpcCommand.Resolve] = r => FakeDaemon.Data(
            $"{{\"node_id\":{r.To!.Length},\"address\":\"0:0000.0000.0001\",\"hostname\":\"{r.To}\",\"public\":false}}");
        await using PilotClient client = daemon.NewClient();
        ResolveData[] answers = await Task.WhenAll(Enumerable.Range(1, 50).Select(n => client.ResolveAsync(new string('x', n), Token)));
        Assert.Equal(Enumerable.Range(1, 50).Select(n => (uint)n), answers.Select(a => a.NodeId));
    }

    [Fact]
    public async Task A_refusal_has_its_code()
    {
        await using FakeDaemon daemon = new();
        daemon.Replies[IpcCommand.Approve] = _ => FakeDaemon.Fail(IpcErrorCode.NotFound, "nothing pending");
        await using PilotClient client = daemon.NewClient();
        PilotException error = await Assert.ThrowsAsync<PilotException>(() => client.ApproveAsync("5", Token));
        Assert.Equal((IpcErrorCode.NotFound, "nothing pending", false), (error.Code, error.Message, error.IsTransient));
    }

    [Fact]
    public async Task Without_daemon_the_exception_says_so()
    {
        await using PilotClient client = new(new PilotClientOptions { SocketPath = Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString("N")) });
        Assert.Equal(PilotErrorCode.NotRunning, (await Assert.ThrowsAsync<PilotNotRunningException>(() => client.GetInfoAsync(Token))).Code);
        Assert.Equal(
            PilotErrorCode.NotRunning,
            Assert.Throws<PilotNotRunningException>(() => client.Request(new IpcRequest { Cmd = IpcCommand.Info })).Code);
    }

    [Fact]
    public async Task A_lost_connection_fails_the_waiting_and_the_next_request_connects_again()
    {
        await using FakeDaemon daemon = new();
        daemon.Replies[IpcCommand.Dial] = _ => FakeDaemon.Raw(1); // ends the fake's command mode: the connection closes
        daemon.Replies[IpcCommand.Hello] = _ => FakeDaemon.Data("{\"version\":1,\"daemon_version\":\"x\",\"pid\":7,\"state\":\"ready\",\"features\":[]}");
        await using PilotClient client = daemon.NewClient();
        Assert.Equal(7, (await client.HelloAsync(Token)).Pid);
        PilotException lost = await Assert.ThrowsAsync<PilotException>(
            async () =>
            {
                await client.RequestAsync(new IpcRequest { Cmd = IpcCommand.Dial }, Token);
                await client.RequestAsync(new IpcRequest { Cmd = IpcCommand.Dial }, Token);
            });
        Assert.Contains(lost.Code, new[] { PilotErrorCode.ConnectionLost, PilotErrorCode.Protocol });
        Assert.Equal(7, (await client.HelloAsync(Token)).Pid);
    }

    [Fact]
    public async Task Bytes_go_both_ways_and_half_close_ends_the_echo()
    {
        await using FakeDaemon daemon = new();
        daemon.Replies[IpcCommand.Dial] = _ => FakeDaemon.Raw(1);
        daemon.Streams[IpcCommand.Dial] = FakeDaemon.EchoAsync;
        daemon.Replies[IpcCommand.ConnResult] = _ => FakeDaemon.Result("closed");
        await using PilotClient client = daemon.NewClient();
        await using PilotStream stream = await client.DialAsync("agent-b", 7, TimeSpan.FromSeconds(5), cancellationToken: Token);
        Assert.Equal(("0:0000.0000.0002", PathName.Direct, 0.4), (stream.RemoteAddress, stream.Path, stream.RoundTrip!.Value.TotalMilliseconds));

        byte[] payload = new byte[3_000_000];
        new Random(1).NextBytes(payload);
        Task writing = Task.Run(
            async () =>
            {
                await stream.WriteAsync(payload, Token);
                await stream.CompleteWritesAsync();
            },
            Token);
        using MemoryStream echo = new();
        await stream.CopyToAsync(echo, Token);
        await writing;
        Assert.Equal(payload, echo.ToArray());
        Assert.Throws<InvalidOperationException>(() => stream.Write([1]));
        Assert.Equal((ushort)7, daemon.Requests.First(r => r.Cmd == IpcCommand.Dial).Port);
    }

    [Theory]
    [InlineData("reset")]
    [InlineData("timeout")]
    [InlineData("untrusted")]
    [InlineData("shutdown")]
    public async Task An_end_that_is_not_the_peers_FIN_is_an_exception_with_its_reason(string reason)
    {
        await using FakeDaemon daemon = new();
        daemon.Replies[IpcCommand.Dial] = _ => FakeDaemon.Raw(1);
        daemon.Streams[IpcCommand.Dial] = (socket, _) => FakeDaemon.SendAllAsync(socket, "partial"u8.ToArray());
        daemon.Replies[IpcCommand.ConnResult] = _ => FakeDaemon.Result(reason);
        await using PilotClient client = daemon.NewClient();
        await using PilotStream stream = await client.DialAsync("2", 7, cancellationToken: Token);
        byte[] buffer = new byte[7];
        await stream.ReadExactlyAsync(buffer, Token);
        PilotStreamException error = await Assert.ThrowsAsync<PilotStreamException>(async () => _ = await stream.ReadAsync(buffer, Token));
        Assert.Equal(reason, error.Code);
        Assert.Equal(reason, Assert.Throws<PilotStreamException>(() => _ = stream.Read(buffer)).Code);
    }

    [Fact]
    public async Task A_stream_can_be_opened_and_used_on_the_calling_thread()
    {
        await using FakeDaemon daemon = new();
        daemon.Replies[IpcCommand.Dial] = _ => FakeDaemon.Raw(1);
        daemon.Streams[IpcCommand.Dial] = FakeDaemon.EchoAsync;
        daemon.Replies[IpcCommand.ConnResult] = _ => FakeDaemon.Result("closed");
        await using PilotClient client = daemon.NewClient();
        await Task.Factory.StartNew(
            () =>
            {
                using PilotStream stream = client.Dial("agent-b", 7, TimeSpan.FromSeconds(5));
                stream.Write("hello"u8);
                Span<byte> echo = stackalloc byte[5];
                stream.ReadExactly(echo);
                Assert.Equal("hello"u8, echo);
                stream.CompleteWrites();
                Assert.Equal(0, stream.Read(echo));
            },
            Token,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        IpcRequest request = daemon.Requests.First(r => r.Cmd == IpcCommand.Dial);
        Assert.Equal(("agent-b", (ushort?)7, 5000), (request.To, request.Port, request.TimeoutMs));
    }

    [Fact]
    public async Task Blocking_calls_tell_a_refusal_and_a_daemon_that_is_not_there()
    {
        await using FakeDaemon daemon = new();
        daemon.Replies[IpcCommand.Dial] = _ => FakeDaemon.Fail(IpcErrorCode.Refused, "connection refused");
        daemon.Replies[IpcCommand.Listen] = _ => FakeDaemon.Data("{\"port\":1000,\"backlog\":64}");
        daemon.Replies[IpcCommand.Accept] = _ => FakeDaemon.Raw(3);
        daemon.Streams[IpcCommand.Accept] = (socket, _) => FakeDaemon.SendAllAsync(socket, "hi"u8.ToArray());
        await using PilotClient client = daemon.NewClient();
        Assert.Equal(IpcErrorCode.Refused, Assert.Throws<PilotException>(() => client.Dial("2", 7)).Code);
        await using PilotListener listener = await client.ListenAsync(1000, cancellationToken: Token);
        using (PilotStream stream = listener.Accept())
        {
            byte[] buffer = new byte[2];
            stream.ReadExactly(buffer);
            Assert.Equal("hi"u8, buffer);
        }

        await using PilotClient nobody = new(new PilotClientOptions { SocketPath = Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString("N")) });
        Assert.Throws<PilotNotRunningException>(() => nobody.Dial("2", 7));
    }

    [Fact]
    public async Task Bytes_behind_the_reply_line_belong_to_the_stream()
    {
        await using FakeDaemon daemon = new();
        daemon.Replies[IpcCommand.Accept] = _ => FakeDaemon.Raw(3) + "}\nearly bytes{\"rest\":true"; // one segment: line, then data
        daemon.Replies[IpcCommand.Listen] = _ => FakeDaemon.Data("{\"port\":1000,\"backlog\":64}");
        daemon.Streams[IpcCommand.Accept] = (_, _) => Task.CompletedTask;
        daemon.Replies[IpcCommand.ConnResult] = _ => FakeDaemon.Result("closed");
        await using PilotClient client = daemon.NewClient();
        await using PilotListener listener = await client.ListenAsync(0, cancellationToken: Token);
        Assert.Equal((ushort)1000, listener.Port);
        await using PilotStream stream = await listener.AcceptAsync(Token);
        using StreamReader reader = new(stream);
        Assert.StartsWith("early bytes{", await reader.ReadToEndAsync(Token), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Datagrams_come_as_events()
    {
        await using FakeDaemon daemon = new();
        daemon.Replies[IpcCommand.Subscribe] = _ => FakeDaemon.Data("{\"datagrams\":[6000],\"events\":[]}");
        daemon.Streams[IpcCommand.Subscribe] = async (socket, _) =>
        {
            ArrayBufferWriter<byte> line = new();
            IpcLine.WriteObject(line, new DatagramEvent { Src = "0:0000.0000.0002", SrcPort = 9, DstPort = 6000, Data = new byte[] { 1, 2, 255 } }, IpcJson.Context.DatagramEvent);
            await FakeDaemon.SendAllAsync(socket, line.WrittenMemory);
            await socket.ReceiveAsync(new byte[1]);
        };
        await using PilotClient client = daemon.NewClient();
        await foreach (DatagramEvent datagram in client.SubscribeDatagramsAsync([6000], cancellationToken: Token))
        {
            Assert.Equal(("0:0000.0000.0002", 9, 6000), (datagram.Src, datagram.SrcPort, datagram.DstPort));
            Assert.Equal([1, 2, 255], datagram.Data.ToArray());
            break;
        }
    }

    [Fact]
    public async Task Cancelling_a_dial_leaves_at_once()
    {
        await using FakeDaemon daemon = new();
        daemon.Replies[IpcCommand.Dial] = _ =>
        {
            daemon.Replies[IpcCommand.Dial] = _ => FakeDaemon.Raw(1);
            return "\"event\":\"progress\",\"stage\":\"tunnel\",\"elapsed_ms\":1";
        };
        await using PilotClient client = daemon.NewClient();
        using CancellationTokenSource stop = new();
        List<string> stages = [];
        Task<PilotStream> dial = client.DialAsync("2", 7, progress: p => { stages.Add(p.Stage); stop.Cancel(); }, cancellationToken: stop.Token);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => dial);
        Assert.Equal(["tunnel"], stages);
    }

    [Fact]
    public void The_short_way_writes_the_same_line_as_the_serializer()
    {
        IpcRequest[] requests =
        [
            new() { Cmd = IpcCommand.Info },
            new()
            {
                Cmd = "x", Id = JsonDocument.Parse("[1,\"a\"]").RootElement, Version = 1, To = "a\"\\\n\u0001é😀", Node = uint.MaxValue, Name = "", Port = 65535,
                SrcPort = 1, Backlog = -1, TimeoutMs = 5, Progress = true, Data = "AA==", Text = "</>", Datagrams = [1, 2], Events = ["trust", "peer"],
                Conn = 3, Justification = "j", Reason = "r", Hostname = "", Public = false, Tags = [], TaskExec = true,
            },
        ];
        foreach (IpcRequest request in requests)
        {
            ArrayBufferWriter<byte> expected = new();
            IpcLine.WriteRequest(expected, request);
            string line = Encoding.UTF8.GetString(DirectJson.Write(request).Span);
            Assert.EndsWith("}\n", line, StringComparison.Ordinal);
            Assert.True(JsonElement.DeepEquals(JsonDocument.Parse(expected.WrittenMemory).RootElement, JsonDocument.Parse(line).RootElement), line);
        }
    }
}
