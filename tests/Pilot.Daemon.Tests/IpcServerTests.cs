using System.Buffers;
using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Pilot.Daemon.Ipc;
using Pilot.Daemon.Loop;
using Pilot.Engine;
using Pilot.Ipc;

namespace Pilot.Daemon.Tests;

/// <summary>The server alone, with commands made up by the test.</summary>
public sealed class IpcServerTests : IDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly Commands _commands = new();
    private readonly RunningServer _server;

    public IpcServerTests() => _server = new RunningServer(_directory["s"], _commands);

    public void Dispose()
    {
        _server.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public async Task A_client_that_leaves_its_replies_unread_is_cut()
    {
        using var client = await TestClient.ConnectAsync(_directory["s"]);
        await client.SendAsync("{\"cmd\":\"large\"}\n");
        Assert.True(await _commands.Closed.Task.WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task A_client_that_asks_faster_than_it_reads_waits_and_loses_nothing()
    {
        const int Requests = 5; // together far more than may lie unread
        using var server = new RunningServer(_directory["slow"], new Commands(), TimeSpan.FromMinutes(1));
        using var client = await TestClient.ConnectAsync(_directory["slow"]);
        await client.SendAsync(string.Concat(Enumerable.Repeat("{\"cmd\":\"large\",\"id\":1}\n", Requests)));
        for (var i = 0; i < Requests; i++)
        {
            Assert.Equal(Commands.LargeReply, (await client.ReadAsync(Commands.LargeReply)).Length);
        }

        Assert.True((await client.CallAsync("""{"cmd":"quick"}""")).Ok);
    }

    [Fact]
    public async Task Commands_of_a_client_that_goes_away_are_cancelled()
    {
        var client = await TestClient.ConnectAsync(_directory["s"]);
        await client.SendAsync("{\"cmd\":\"wait\",\"id\":1}\n");
        await _commands.Waiting.Task.WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
        client.Dispose();
        Assert.True(await _commands.Cancelled.Task.WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Commands_with_an_id_do_not_wait_for_each_other()
    {
        using var client = await TestClient.ConnectAsync(_directory["s"]);
        await client.SendAsync("{\"cmd\":\"wait\",\"id\":\"slow\"}\n{\"cmd\":\"quick\",\"id\":\"fast\"}\n");
        Assert.Equal("fast", (await client.ReadReplyAsync()).Id!.Value.GetString());
        _commands.Release.SetResult();
        Assert.Equal("slow", (await client.ReadReplyAsync()).Id!.Value.GetString());
    }

    [Fact]
    public async Task A_defect_in_a_command_is_an_internal_error_and_nothing_more()
    {
        using var client = await TestClient.ConnectAsync(_directory["s"]);
        Assert.Equal(IpcErrorCode.Internal, (await client.CallAsync("""{"cmd":"defect"}""")).Code);
        Assert.True((await client.CallAsync("""{"cmd":"quick"}""")).Ok);
    }

    [Fact]
    public async Task After_a_hand_over_the_socket_belongs_to_the_taker_with_all_early_bytes()
    {
        using var client = await TestClient.ConnectAsync(_directory["s"]);
        await client.SendAsync("{\"cmd\":\"raw\",\"id\":9}\nearly");
        var reply = await client.ReadReplyAsync();
        Assert.True(reply.Raw);
        Assert.True(reply.HasId(9));
        var taken = await _commands.Taken.Task.WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
        var early = taken.Early;
        using (var socket = new Socket(new SafeSocketHandle(taken.Socket.Descriptor, ownsHandle: true)))
        {
            var received = early.Length > 0 ? early : new byte[5];
            if (early.Length == 0)
            {
                socket.Blocking = true;
                Assert.Equal(5, socket.Receive(received));
            }

            Assert.Equal("early"u8.ToArray(), received);
            socket.Blocking = true;
            socket.Send("back"u8);
            Assert.Equal("back"u8.ToArray(), await client.ReadAsync(4));
        }
    }

    [Fact]
    public async Task A_client_that_writes_without_end_leaves_the_others_their_turn()
    {
        using var loud = await TestClient.ConnectAsync(_directory["s"]);
        using var quiet = await TestClient.ConnectAsync(_directory["s"]);
        await loud.SendAsync(string.Concat(Enumerable.Repeat("{\"cmd\":\"count\",\"id\":1}\n", 2000)));
        Assert.True((await quiet.CallAsync("""{"cmd":"quick"}""")).Ok);
        for (var i = 0; i < 2000; i++)
        {
            Assert.Equal(1, (await loud.ReadReplyAsync()).Id!.Value.GetInt32());
        }

        // One row as the bytes come, and one that was put off from the turn before or to the end of this one.
        Assert.InRange(_commands.MostInOneTurn, 1, 2 * IpcSession.MaxLinesInRow);
    }

    [Fact]
    public void A_path_that_is_too_long_is_a_clear_error()
    {
        var exception = Assert.Throws<FatalException>(() => IpcSocket.Open(_directory[new string('x', 120)]));
        Assert.Contains("too long", exception.Message, StringComparison.Ordinal);
    }

    private sealed class RunningServer : IDisposable
    {
        private readonly EventLoop _loop = new("ipc test", NullLogger.Instance);
        private readonly IpcSocket _socket;
        private readonly IpcServer _server;

        public RunningServer(string path, Commands commands, TimeSpan? writeDeadline = null)
        {
            commands.Loop = _loop;
            _socket = IpcSocket.Open(path);
            _server = new IpcServer(_loop, _socket, commands, NullLogger.Instance) { WriteDeadline = writeDeadline ?? TimeSpan.FromMilliseconds(50) };
            _loop.Start();
        }

        public void Dispose()
        {
            _loop.Stop();
            _server.Close();
            _socket.Dispose();
            _loop.Dispose();
        }
    }

    private sealed class Commands : ICommandHandler
    {
        public const int LargeReply = 8_000_000;
        private Instant _turn;
        private int _inTurn;

        public EventLoop? Loop { get; set; }

        public int MostInOneTurn { get; private set; }

        public TaskCompletionSource<bool> Closed { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource<bool> Cancelled { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource Waiting { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource Release { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource<HandedOver> Taken { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public async Task<CommandOutcome> ExecuteAsync(IpcRequest request, IpcSession session, CancellationToken cancellation)
        {
            switch (request.Cmd)
            {
                case "large":
                    return new CommandOutcome.Line(new byte[LargeReply]);
                case "wait":
                    Waiting.TrySetResult();
                    cancellation.Register(() => Cancelled.TrySetResult(true));
                    await Release.Task.WaitAsync(cancellation);
                    break;
                case "count":
                    if (Loop!.Now != _turn)
                    {
                        (_turn, _inTurn) = (Loop.Now, 0);
                    }

                    MostInOneTurn = Math.Max(MostInOneTurn, ++_inTurn);
                    break;
                case "defect":
                    throw new InvalidOperationException("made up");
                case "raw":
                    return new CommandOutcome.HandOver(
                        new RawReply { Conn = 1, Local = "l", Remote = "r" }, Take, () => Taken.SetCanceled(CancellationToken.None));
                default:
                    break;
            }

            var reply = new ArrayBufferWriter<byte>();
            IpcLine.WriteSuccess(reply, request.Id, new EmptyData(), IpcJson.Context.EmptyData);
            return new CommandOutcome.Line(reply.WrittenMemory);
        }

        private void Take(in HandedOver client)
        {
            Loop!.Unwatch(client.Token);
            Taken.SetResult(client);
        }

        public bool IsSubscribed(IpcSession session) => false;

        public void SessionClosed(IpcSession session) => Closed.TrySetResult(true);
    }
}
