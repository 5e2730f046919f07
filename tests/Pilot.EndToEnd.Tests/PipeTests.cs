using System.Security.Cryptography;
using Pilot.Client;
using Pilot.EndToEnd.Tests.Lab;
using Pilot.Ipc;

namespace Pilot.EndToEnd.Tests;

/// <summary>Bytes of any kind and number through the commands and the library.</summary>
[Collection(TrustedPairCollection.Name)]
public sealed class PipeTests(TrustedPair pair)
{
    private const int Size = 20_000_003;

    [Fact]
    public async Task A_binary_pipe_arrives_whole_and_unchanged()
    {
        byte[] payload = Payload(Size);
        Task<Outcome> receiver = await pair.B.BackgroundAsync("recv", "1000");
        Outcome sent = await pair.A.CtlAsync(new MemoryStream(payload), "send", "agent-b", "1000", "--data", "-");
        Assert.True(sent.Exit == 0, sent.Everything);
        Outcome received = await receiver;
        Assert.Equal(0, received.Exit);
        Assert.Equal(SHA256.HashData(payload), SHA256.HashData(received.StdoutBytes));
    }

    [Fact]
    public async Task A_file_arrives_in_a_file()
    {
        byte[] payload = Payload(3_000_000);
        string source = Path.GetTempFileName();
        string target = Path.GetTempFileName();
        try
        {
            await File.WriteAllBytesAsync(source, payload, TestContext.Current.CancellationToken);
            Task<Outcome> receiver = await pair.A.BackgroundAsync("--json", "recv", "1000", "--out", target);
            Outcome sent = await pair.B.JsonAsync("send", pair.A.Address, "1000", "--file", source);
            Assert.True(sent.Exit == 0, sent.Everything);
            Assert.Equal(payload.Length, sent.Data.GetProperty("sent_bytes").GetInt32());
            Assert.Equal(payload.Length, (await receiver).Data.GetProperty("messages")[0].GetProperty("bytes").GetInt32());
            Assert.Equal(payload, await File.ReadAllBytesAsync(target, TestContext.Current.CancellationToken));
        }
        finally
        {
            File.Delete(source);
            File.Delete(target);
        }
    }

    [Fact]
    public async Task Connect_pipes_both_ways_at_once()
    {
        byte[] payload = Payload(10_000_000);
        Outcome echo = await pair.A.CtlAsync(new MemoryStream(payload), "connect", "agent-b", "7");
        Assert.True(echo.Exit == 0, echo.Stderr);
        Assert.Equal(SHA256.HashData(payload), SHA256.HashData(echo.StdoutBytes));
        Assert.Equal("line1\nline2\n", (await pair.A.CtlAsync(TestNode.Text("line1\nline2\n"), "connect", "agent-b", "7")).Stdout);
        Assert.Equal("invalid_argument", (await pair.A.CtlAsync(TestNode.Text(string.Empty), "--json", "connect", "agent-b", "7")).Code);
    }

    [Fact]
    public async Task A_peer_that_ends_its_side_first_still_gets_everything()
    {
        CancellationToken token = TestContext.Current.CancellationToken;
        byte[] payload = Payload(5_000_000);
        await using PilotClient b = pair.B.NewClient();
        await using PilotListener listener = await b.ListenAsync(0, cancellationToken: token);
        Task<PilotStream> accepting = listener.AcceptAsync(token);
        Task<Outcome> sending = pair.A.CtlAsync(new MemoryStream(payload), "send", "agent-b", $"{listener.Port}", "--data", "-");
        await using PilotStream accepted = await accepting;
        await accepted.WriteAsync("bye"u8.ToArray(), token);
        accepted.CompleteWrites();
        using MemoryStream all = new();
        await accepted.CopyToAsync(all, token);
        Assert.Equal(SHA256.HashData(payload), SHA256.HashData(all.ToArray()));
        Outcome sent = await sending;
        Assert.Equal((0, "bye\n"), (sent.Exit, sent.Stdout));
    }

    [Fact]
    public async Task Library_streams_carry_data_both_ways()
    {
        CancellationToken token = TestContext.Current.CancellationToken;
        await using PilotClient a = pair.A.NewClient();
        await using PilotClient b = pair.B.NewClient();
        await using PilotListener listener = await b.ListenAsync(0, cancellationToken: token);
        Task<PilotStream> accepting = listener.AcceptAsync(token);
        await using PilotStream dialled = await a.DialAsync("agent-b", listener.Port, cancellationToken: token);
        await using PilotStream accepted = await accepting;
        Assert.True(dialled.PeerHalfCloses);
        Assert.StartsWith(pair.A.Address, accepted.Remote, StringComparison.Ordinal);
        await dialled.WriteAsync("question"u8.ToArray(), token);
        dialled.CompleteWrites();
        using StreamReader reader = new(accepted);
        Assert.Equal("question", await reader.ReadToEndAsync(token));
        await accepted.WriteAsync("answer"u8.ToArray(), token);
        accepted.CompleteWrites();
        using StreamReader back = new(dialled);
        Assert.Equal("answer", await back.ReadToEndAsync(token));
    }

    [Fact]
    public async Task A_peer_that_leaves_data_unread_is_not_an_orderly_end()
    {
        CancellationToken token = TestContext.Current.CancellationToken;
        await using PilotClient a = pair.A.NewClient();
        await using PilotClient b = pair.B.NewClient();
        await using PilotListener listener = await b.ListenAsync(0, cancellationToken: token);
        Task<PilotStream> accepting = listener.AcceptAsync(token);
        await using PilotStream dialled = await a.DialAsync("agent-b", listener.Port, cancellationToken: token);
        PilotStream accepted = await accepting;
        await dialled.WriteAsync(Payload(1 << 20), token);
        await accepted.ReadExactlyAsync(new byte[4], token);
        await accepted.DisposeAsync();
        Exception? end = await Record.ExceptionAsync(async () =>
        {
            while (true)
            {
                await dialled.WriteAsync(new byte[1 << 16], token);
            }
        });
        Assert.IsType<PilotStreamException>(end);
        Exception? read = await Record.ExceptionAsync(async () => _ = await dialled.ReadAsync(new byte[1], token));
        Assert.IsType<PilotStreamException>(read);
    }

    [Fact]
    public async Task Datagrams_and_streams_reach_listen()
    {
        CancellationToken token = TestContext.Current.CancellationToken;
        Task<Outcome> listener = await pair.B.BackgroundAsync("--json", "listen", "5000", "--count", "2", "--timeout", "20s");
        await using PilotClient a = pair.A.NewClient();
        await Wait.UntilAsync(
            "listen has seen a datagram and a stream",
            async () =>
            {
                // A datagram may be lost, and listen may not have subscribed yet: send until it has ended.
                await a.SendDatagramAsync("agent-b", 5000, "dg <1>"u8.ToArray(), cancellationToken: token);
                return listener.IsCompleted;
            });
        Outcome heard = await listener;
        Assert.Equal("dg <1>", heard.Data.GetProperty("messages")[0].GetProperty("data").GetString());
        Assert.Equal(pair.A.Address, heard.Data.GetProperty("messages")[0].GetProperty("src_addr").GetString());

        Task<Outcome> streams = await pair.B.BackgroundAsync("listen", "5000", "--count", "1", "--timeout", "20s");
        Assert.Equal(0, (await pair.A.CtlAsync("send", "agent-b", "5000", "--data", "custom-port-test")).Exit);
        Assert.Matches($@"^\[{pair.A.Address}:\d+\] custom-port-test\n$", (await streams).Stdout);
    }

    [Fact]
    public async Task A_sender_that_falls_silent_before_its_end_is_no_success()
    {
        CancellationToken token = TestContext.Current.CancellationToken;
        Task<Outcome> receiver = await pair.B.BackgroundAsync("--json", "recv", "1000", "--timeout", "3s");
        await using PilotClient a = pair.A.NewClient();
        await using PilotStream stream = await a.DialAsync("agent-b", 1000, cancellationToken: token);
        await stream.WriteAsync("half of it"u8.ToArray(), token);
        Outcome received = await receiver;
        Assert.True(received.Exit == 1, received.Everything);
        Assert.Equal("half of it", received.Data.GetProperty("messages")[0].GetProperty("data").GetString());
        Assert.Contains("no end of the stream", received.Data.GetProperty("messages")[0].GetProperty("error").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Too_large_a_datagram_is_refused_by_name()
    {
        await using PilotClient a = pair.A.NewClient();
        PilotException error = await Assert.ThrowsAsync<PilotException>(() => a.SendDatagramAsync("agent-b", 5000, new byte[IpcProtocol.MaxDatagram + 1]));
        Assert.Equal(IpcErrorCode.TooLarge, error.Code);
    }

    private static byte[] Payload(int size)
    {
        byte[] payload = new byte[size];
        new Random(size).NextBytes(payload);
        return payload;
    }
}
