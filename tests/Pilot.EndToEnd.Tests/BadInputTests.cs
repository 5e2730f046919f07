using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Pilot.Client;
using Pilot.EndToEnd.Tests.Lab;
using Pilot.Ipc;

namespace Pilot.EndToEnd.Tests;

/// <summary>Bad input gets a clear error, and the daemon goes on.</summary>
[Collection(TrustedPairCollection.Name)]
public sealed class BadInputTests(TrustedPair pair)
{
    [Theory]
    [InlineData("not_found", "ping", "invalid-address", "--count", "1")]
    [InlineData("not_found", "connect", "no-such-host", "--message", "x")]
    [InlineData("not_found", "ping", "0:9999.9999.9999", "--count", "1", "--timeout", "3s")]
    [InlineData("invalid_argument", "send", "agent-b", "99999", "--data", "x")]
    [InlineData("invalid_argument", "send", "agent-b", "-1", "--data", "x")]
    [InlineData("invalid_argument", "send", "agent-b", "7", "--data", "")]
    [InlineData("not_found", "send", "agent-b", "7", "--file", "/nonexistent/file.txt")]
    [InlineData("connection_failed", "send", "agent-b", "9999", "--data", "x", "--timeout", "5s")]
    [InlineData("invalid_argument", "ping", "agent-b", "--count", "0")]
    [InlineData("invalid_argument", "bench", "agent-b", "x")]
    [InlineData("connection_failed", "recv", "7", "--timeout", "1s")]
    [InlineData("not_found", "approve", "77")]
    [InlineData("not_found", "reject", "77")]
    [InlineData("not_found", "untrust", "77")]
    [InlineData("invalid_argument", "disconnect", "x")]
    [InlineData("not_found", "handshake", "99999", "hello")]
    public async Task Wrong_arguments_have_their_code(string code, params string[] arguments)
    {
        long started = Stopwatch.GetTimestamp();
        Outcome outcome = await pair.A.JsonAsync(arguments);
        Assert.True(outcome.Exit == 1 && outcome.Code == code, outcome.Everything);
        Assert.Empty(outcome.StdoutBytes);
        Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(15));
        Outcome human = await pair.A.CtlAsync(arguments);
        Assert.Contains("error: ", human.Stderr, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_unknown_connection_id_is_no_error() =>
        Assert.Equal(424242, (await pair.A.JsonAsync("disconnect", "424242")).Data.GetProperty("conn_id").GetInt32());

    [Fact]
    public async Task A_result_that_cannot_be_written_is_an_error()
    {
        Assert.SkipUnless(File.Exists("/dev/full"), "this system has no /dev/full");
        Outcome human = await ShellAsync("info > /dev/full");
        Assert.True(human.Exit == 1 && human.Stderr.StartsWith("error: ", StringComparison.Ordinal), human.Everything);
        Outcome json = await ShellAsync("--json ping agent-b --count 1 > /dev/full");
        Assert.Equal((1, "internal"), (json.Exit, json.Code));
        Assert.Equal(1, (await ShellAsync("info >&-")).Exit);
        Assert.Equal(0, (await ShellAsync("info 2> /dev/full")).Exit);
    }

    [Fact]
    public async Task Closed_standard_descriptors_are_not_taken_for_what_the_runtime_opened_in_their_place()
    {
        Assert.Equal(1, (await ShellAsync("--json find nobody 2>&-")).Exit);
        Assert.Equal(2, (await ShellAsync("no-such-command 2>&-")).Exit);
        Outcome sent = await ShellAsync("send agent-b 7 --data - --timeout 20s <&-");
        Assert.True(sent.Exit == 0, sent.Everything);
    }

    [Fact]
    public async Task Half_of_an_unquoted_text_is_not_sent()
    {
        string[][] lines =
        [
            ["send", "agent-b", "7", "--data", "hello", "world"], ["connect", "agent-b", "7", "more", "--message", "x"], ["find", "agent-b", "agent-a"],
            ["handshake", "agent-b", "good", "morning"], ["info", "now"], ["daemon", "start", "-hostname", "x"], ["ping", "agent-b", "3"],
        ];
        foreach (string[] line in lines)
        {
            Outcome outcome = await pair.A.JsonAsync(line);
            Assert.Equal((1, "invalid_argument"), (outcome.Exit, outcome.Code));
            Assert.StartsWith("unexpected argument \"", outcome.Json.GetProperty("message").GetString(), StringComparison.Ordinal);
        }

        Assert.Equal(0, (await pair.A.CtlAsync("set-private", $"{pair.A.NodeId}")).Exit);
        Assert.Contains("Usage: pilotctl daemon start", (await pair.A.CtlAsync("help", "daemon", "start")).Stdout, StringComparison.Ordinal);
    }

    private Task<Outcome> ShellAsync(string line) =>
        Programs.RunAsync("/bin/sh", ["-c", $"exec '{Programs.Pilotctl}' {line}"], pair.A.Variables);

    [Fact]
    public async Task A_second_daemon_on_the_same_state_or_socket_is_refused_with_the_reason()
    {
        Outcome same = await pair.A.JsonAsync("daemon", "start");
        Assert.Equal((1, "already_exists"), (same.Exit, same.Code));
        Assert.Equal($"daemon is already running (pid {pair.A.Pid})", same.Json.GetProperty("message").GetString());

        // Same state, another socket: the lock decides.
        Dictionary<string, string?> otherSocket = new(pair.A.Variables) { ["PILOT_SOCKET"] = pair.A.SocketPath + "2" };
        Outcome state = await Programs.RunAsync(Programs.Pilotctl, ["--json", "daemon", "start"], otherSocket);
        Assert.Equal((1, "already_exists"), (state.Exit, state.Code));

        // Same socket, other state: the daemon program itself refuses, whoever starts it.
        string home = Directory.CreateTempSubdirectory("pilot").FullName;
        Outcome socket = await Programs.RunAsync(
            Programs.Daemon, ["-home", home, "-socket", pair.A.SocketPath, "-listen", "127.0.0.1:0"], pair.A.Variables, limit: TimeSpan.FromSeconds(20));
        Directory.Delete(home, recursive: true);
        Assert.NotEqual(0, socket.Exit);
        Assert.Contains("already", socket.Stderr, StringComparison.Ordinal);
        Assert.Equal(0, (await pair.A.CtlAsync("daemon", "status", "--check")).Exit);
    }

    [Fact]
    public async Task Broken_lines_are_answered_or_closed_and_hurt_nobody()
    {
        foreach (string line in new[] { "{\"cmd\":", "{}", "[1,2]", "{\"cmd\":\"no_such\"}", "{\"cmd\":5}", "{\"cmd\":\"dial\",\"port\":99999999,\"to\":\"2\"}" })
        {
            using Socket socket = await ConnectAsync();
            await socket.SendAsync(Encoding.UTF8.GetBytes(line + "\n"));
            string answer = await AnswerAsync(socket);
            if (answer.Length > 0)
            {
                using JsonDocument reply = JsonDocument.Parse(answer);
                Assert.False(reply.RootElement.GetProperty("ok").GetBoolean());
            }
        }

        // A line above the limit ends the connection.
        using (Socket socket = await ConnectAsync())
        {
            byte[] endless = new byte[(1 << 20) + 100];
            endless.AsSpan().Fill((byte)'{');
            try
            {
                await socket.SendAsync(endless);
            }
            catch (SocketException)
            {
                // Closed while we were still sending.
            }

            Assert.Equal(0, (await pair.A.CtlAsync("health")).Exit);
        }

        Assert.Equal(0, (await pair.A.CtlAsync("ping", "agent-b", "--count", "1")).Exit);
    }

    [Fact]
    public async Task A_client_that_stops_reading_stops_only_itself()
    {
        CancellationToken token = TestContext.Current.CancellationToken;
        await using PilotClient a = pair.A.NewClient();
        await using PilotStream stuck = await a.DialAsync("agent-b", 7, cancellationToken: token);
        using CancellationTokenSource full = new(TimeSpan.FromSeconds(3));
        byte[] chunk = new byte[1 << 20];
        long written = 0;
        try
        {
            // The echo comes back and is never read: the windows fill and writing stops.
            while (written < 512L << 20)
            {
                await stuck.WriteAsync(chunk, full.Token);
                written += chunk.Length;
            }

            Assert.Fail("nothing pushed back");
        }
        catch (OperationCanceledException)
        {
            Assert.True(written > 0);
        }

        Outcome other = await pair.A.JsonAsync("bench", "agent-b", "4");
        Assert.True(other.Exit == 0 && other.Data.GetProperty("verified").GetBoolean(), other.Everything);

        // A command connection that never reads its answers, either.
        using Socket silent = await ConnectAsync();
        silent.SendTimeout = 2000;
        byte[] question = Encoding.UTF8.GetBytes("{\"cmd\":\"info\"}\n");
        try
        {
            for (int i = 0; i < 20_000; i++)
            {
                silent.Send(question);
            }
        }
        catch (SocketException)
        {
            // Pushed back or closed: both protect the daemon.
        }

        Assert.Equal(0, (await pair.A.CtlAsync("health")).Exit);
    }

    private async Task<Socket> ConnectAsync()
    {
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(pair.A.SocketPath));
        return socket;
    }

    private static async Task<string> AnswerAsync(Socket socket)
    {
        byte[] buffer = new byte[65536];
        using CancellationTokenSource limit = new(TimeSpan.FromSeconds(10));
        try
        {
            int count = await socket.ReceiveAsync(buffer, limit.Token);
            return Encoding.UTF8.GetString(buffer, 0, count);
        }
        catch (SocketException)
        {
            return string.Empty;
        }
    }
}
