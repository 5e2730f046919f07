using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Pilot.Cli.Output;
using Pilot.Ipc;

namespace Pilot.Client.Tests;

/// <summary>Commands against a daemon that answers as the contract says: envelopes, keys, human lines, codes, exit statuses.</summary>
public sealed class CliWithDaemonTests : IAsyncDisposable
{
    private const string Connection =
        """{"bytes_recv":6,"bytes_sent":6,"cong_win":40967,"dup_acks":0,"fast_retx":0,"id":19,"in_flight":0,"in_recovery":false,"local_port":49152,"ooo_buf":0,"peer_recv_win":2097152,"recv_win":2097152,"remote_addr":"0:0000.0000.0002","remote_port":7,"retransmits":0,"rttvar_ms":0,"sack_recv":0,"sack_sent":0,"segs_recv":1,"segs_sent":1,"srtt_ms":2,"ssthresh":524288,"state":"TIME_WAIT","unacked":0}""";

    private readonly FakeDaemon _daemon = new();

    public CliWithDaemonTests()
    {
        Reply(IpcCommand.Hello, """{"version":1,"daemon_version":"0.1.0","pid":42,"state":"ready","features":[]}""");
        Reply(
            IpcCommand.Info,
            $$"""{"address":"0:0000.0000.0001","authenticated_peers":1,"bytes_recv":25934665,"bytes_sent":26175098,"conn_list":[{{Connection}}],"connections":1,"email":"a@example.com","encrypt":true,"encrypted_peers":1,"handshake_pending_count":0,"hostname":"agent-a","identity":true,"node_id":1,"peer_list":[],"peers":1,"pkts_recv":7,"pkts_sent":8,"ports":2,"public_key":"6s5yjtnLHToL8H4JFHj2Q6Us5SZ6U//ThY3wXUhQosA=","tunnel_encryption_failure":0,"tunnel_encryption_success":9,"uptime_secs":89,"nat_type":"full-cone","endpoint":"192.0.2.1:4000"}""");
        Reply(IpcCommand.Health, """{"status":"ok","uptime_seconds":3661,"connections":0,"peers":0,"bytes_sent":0,"bytes_recv":1536}""");
        Reply(
            IpcCommand.Status,
            """{"state":"ready","pid":42,"version":"0.1.0","node_id":1,"address":"0:0000.0000.0001","hostname":"agent-a","uptime_secs":2,"peers":0,"connections":0,"registry":"127.0.0.1:9000","registry_connected":true,"beacon":"","endpoint":"","last_error":"","socket":"s","home":"h","log_file":"l"}""");
        Reply(IpcCommand.Peers, """{"peers":[{"node_id":2,"endpoint":"127.0.0.1:29102","encrypted":true,"authenticated":true,"hostname":"agent-b"}],"total":1}""");
        Reply(IpcCommand.Connections, $$"""{"connections":[{{Connection}}],"total":1}""");
        Reply(IpcCommand.Pending, """{"pending":[{"node_id":3,"public_key":"","justification":"hi \u001b[31m <b>","received_at":1795221428}]}""");
        Reply(IpcCommand.Trusted, """{"trusted":[{"node_id":2,"public_key":"","approved_at":1795221428,"mutual":true,"network":0,"hostname":"agent-b"}]}""");
        Reply(IpcCommand.Handshake, """{"node_id":2,"status":"sent"}""");
        Reply(IpcCommand.Approve, """{"node_id":3,"status":"approved"}""");
        Reply(IpcCommand.Reject, """{"node_id":3,"status":"rejected"}""");
        Reply(IpcCommand.Untrust, """{"node_id":2,"status":"revoked"}""");
        Reply(IpcCommand.Disconnect, """{"conn_id":9,"closed":false}""");
        Reply(IpcCommand.Ping, """{"node_id":2,"rtt_ms":0.4,"total_ms":2,"path":"direct","endpoint":"127.0.0.1:29102"}""");
        Reply(IpcCommand.Listen, """{"port":1000,"backlog":64}""");
        _daemon.Replies[IpcCommand.Resolve] = r => r.Name == "agent-b"
            ? FakeDaemon.Data("""{"node_id":2,"address":"0:0000.0000.0002","hostname":"agent-b","public":true}""")
            : FakeDaemon.Fail(IpcErrorCode.NotFound, $"resolve_hostname: registry: hostname \"{r.Name}\" not found");
        _daemon.Replies[IpcCommand.Set] = r => FakeDaemon.Data(r.Hostname is { } name
            ? $$$"""{"hostname":{"type":"set_hostname_ok","node_id":1,"hostname":"{{{name}}}"}}"""
            : $$$"""{"visibility":{"type":"set_visibility_ok","node_id":1,"visibility":"{{{(r.Public == true ? "public" : "private")}}}"}}""");
        _daemon.Replies[IpcCommand.Dial] = r => r.Port == 7 ? FakeDaemon.Raw(1) : FakeDaemon.Fail(IpcErrorCode.Refused, "connection refused");
        _daemon.Streams[IpcCommand.Dial] = FakeDaemon.EchoAsync;
        _daemon.Replies[IpcCommand.ConnResult] = _ => FakeDaemon.Result("closed");
    }

    public ValueTask DisposeAsync() => _daemon.DisposeAsync();

    public static TheoryData<string, string> Commands() => new()
    {
        { "info", "info" }, { "health", "health" }, { "status", "" }, { "daemon status", "daemon status" }, { "peers", "peers" },
        { "peers --search agent-b", "peers" }, { "connections", "connections" }, { "pending", "pending" }, { "trust", "trust" },
        { "trust list", "trust" }, { "trust pending", "pending" }, { "handshake agent-b hello", "handshake" }, { "handshake 2", "handshake" },
        { "handshake 0:0000.0000.0002", "handshake" }, { "trust add agent-b", "handshake" }, { "trust remove agent-b", "reject" },
        { "approve 3", "approve" }, { "trust approve agent-c", "approve" }, { "reject 3 no", "reject" }, { "untrust 2", "untrust" },
        { "find agent-b", "find" }, { "set-hostname agent-x", "set-hostname" }, { "clear-hostname", "clear-hostname" },
        { "set-public 1", "set-public" }, { "set-private", "set-private" }, { "disconnect 9", "disconnect" },
        { "ping agent-b --count 2 --interval 0", "ping" }, { "connect agent-b 7 --message x", "connect" }, { "send 2 7 --data x", "send" },
        { "bench 2 0.1", "bench" }, { "listen 5000 --count 1 --timeout 10ms", "listen" },
    };

    [Theory]
    [MemberData(nameof(Commands))]
    public void Every_command_prints_one_envelope_with_the_keys_of_the_contract(string line, string contract)
    {
        if (line.StartsWith("listen", StringComparison.Ordinal))
        {
            Reply(IpcCommand.Subscribe, """{"datagrams":[5000],"events":[]}""");
            _daemon.Streams[IpcCommand.Subscribe] = async (socket, _) => await socket.ReceiveAsync(new byte[1]);
            _daemon.Replies[IpcCommand.Accept] = _ => FakeDaemon.Fail(IpcErrorCode.Cancelled, "later");
            _daemon.Replies[IpcCommand.Listen] = _ => FakeDaemon.Fail(IpcErrorCode.PortInUse, "port 5000 already bound");
        }

        CliRun run = Run([.. line.Split(' '), "--json"]);
        Assert.Equal((0, string.Empty), (run.Exit, run.Stderr));
        Assert.EndsWith("}\n", run.Stdout, StringComparison.Ordinal);
        Assert.Single(run.Stdout.TrimEnd('\n').Split('\n'));
        Assert.Equal("ok", run.Envelope.GetProperty("status").GetString());
        AssertSorted(run.Envelope);
        if (contract.Length > 0)
        {
            foreach (JsonElement key in CliOfflineTests.Embedded("cli-keys.json").GetProperty(contract).EnumerateArray())
            {
                Assert.True(run.Data.TryGetProperty(key.GetString()!, out _), $"{line}: no {key.GetString()}");
            }
        }

        CliRun human = Run(line.Split(' '));
        Assert.Equal(0, human.Exit);
        Assert.DoesNotContain('\u001b', human.Stdout);
    }

    [Fact]
    public void Info_for_people_has_the_lines_that_scripts_parse()
    {
        string text = Run("info").Stdout;
        Assert.StartsWith("Pilot Protocol Daemon\n  Node ID:     1\n  Address:     0:0000.0000.0001\n  Hostname:    agent-a\n  Uptime:      00:01:29\n", text, StringComparison.Ordinal);
        Assert.Contains("  Encryption:  enabled (X25519 + AES-256-GCM), 1/1 peers encrypted, 1 authenticated\n", text, StringComparison.Ordinal);
        Assert.Contains("  Identity:    persistent (Ed25519 6s5yjtnLHToL8H4J...)\n", text, StringComparison.Ordinal);
        Assert.Contains("  Traffic:     25.0 MB sent / 24.7 MB recv\n", text, StringComparison.Ordinal);
        Assert.Contains("  ID    LOCAL   REMOTE ADDR             RPORT   STATE        CWND      FLIGHT    SRTT", text, StringComparison.Ordinal);
        Assert.Contains("  19    49152   0:0000.0000.0002        7       TIME_WAIT    40.0 KB   0 B       2ms", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Connect_shows_the_true_path_on_stderr_and_the_answer_on_stdout()
    {
        CliRun run = Run("connect", "agent-b", "7", "--message", "hello, peer");
        Assert.Equal((0, "hello, peer\n"), (run.Exit, run.Stdout));
        Assert.Equal("resolved \"agent-b\" → 0:0000.0000.0002\n✓ direct tunnel · 1ms · no relay\n", run.Stderr);
        JsonElement data = Run("--json", "connect", "agent-b", "7", "--message", "hello <b>&").Data;
        Assert.Equal(("hello <b>&", "direct", 0.4), (data.GetProperty("response").GetString(), data.GetProperty("path").GetString(), data.GetProperty("rtt_ms").GetDouble()));
    }

    [Fact]
    public void A_refused_dial_is_connection_failed_with_the_cause()
    {
        CliRun run = Run("--json", "send", "2", "9999", "--data", "y");
        Assert.Equal((1, string.Empty), (run.Exit, run.Stdout));
        Assert.Equal("connection_failed", run.Envelope.GetProperty("code").GetString());
        Assert.StartsWith("cannot connect to 0:0000.0000.0002 port 9999", run.Envelope.GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.Equal("the peer answers, but nothing listens there; on the peer: pilotctl recv 9999", run.Envelope.GetProperty("hint").GetString());
        _daemon.Replies[IpcCommand.Dial] = _ => FakeDaemon.Fail(IpcErrorCode.Timeout, "dial timeout");
        CliRun silent = Run("--json", "send", "2", "9999", "--data", "y");
        Assert.Equal("connection_failed", silent.Envelope.GetProperty("code").GetString());
        Assert.Equal("check that 0:0000.0000.0002 is reachable: pilotctl ping 0:0000.0000.0002", silent.Envelope.GetProperty("hint").GetString());
    }

    [Fact]
    public void Unknown_names_are_not_found()
    {
        CliRun find = Run("--json", "find", "nonexistent");
        Assert.Equal(
            "{\"code\":\"not_found\",\"hint\":\"establish trust first: pilotctl handshake nonexistent \\\"reason\\\"\",\"message\":\"cannot find \\\"nonexistent\\\" — hostname not found or no mutual trust\",\"status\":\"error\"}\n",
            find.Stderr);
        CliRun ping = Run("--json", "ping", "0:9999.9999.9999", "--count", "1");
        Assert.Equal((1, "not_found"), (ping.Exit, ping.Envelope.GetProperty("code").GetString()));
    }

    [Fact]
    public void What_troubles_a_registered_daemon_is_shown()
    {
        Reply(
            IpcCommand.Status,
            """{"state":"ready","pid":42,"node_id":1,"address":"0:0000.0000.0001","hostname":"","registry_connected":true,"last_error":"hostname \"bad name\" is not used"}""");
        Assert.Contains("\n  Trouble:     hostname \"bad name\" is not used\n", Run("daemon", "status").Stdout, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("invalid_argument", "invalid hostname: hostname too long (max 63 chars)", "invalid_argument")]
    [InlineData("already_exists", "hostname \"agent-b\" already in use by node 2", "already_exists")]
    [InlineData("registry_unavailable", "registry away", "connection_failed")]
    [InlineData("permission_denied", "denied", "permission_denied")]
    public void Daemon_codes_become_the_codes_of_the_contract(string code, string text, string expected)
    {
        _daemon.Replies[IpcCommand.Set] = _ => FakeDaemon.Fail(code, "set_hostname: registry: " + text);
        CliRun run = Run("--json", "set-hostname", "agent-b");
        Assert.Equal((1, expected), (run.Exit, run.Envelope.GetProperty("code").GetString()));
        Assert.Equal("set-hostname: set_hostname: daemon: set_hostname: registry: " + text, run.Envelope.GetProperty("message").GetString());
    }

    [Fact]
    public void Ping_without_any_answer_exits_1()
    {
        _daemon.Replies[IpcCommand.Dial] = _ => FakeDaemon.Fail(IpcErrorCode.Timeout, "dial timeout");
        CliRun run = Run("--json", "ping", "2", "--count", "2", "--interval", "0");
        Assert.Equal((1, "ok", 0, 100), (run.Exit, run.Envelope.GetProperty("status").GetString(), run.Data.GetProperty("received").GetInt32(), run.Data.GetProperty("loss").GetInt32()));
        Assert.Equal("dial: daemon: dial timeout", run.Data.GetProperty("results")[1].GetProperty("error").GetString());
    }

    [Fact]
    public void Bench_notices_a_changed_byte()
    {
        _daemon.Streams[IpcCommand.Dial] = async (socket, _) =>
        {
            byte[] buffer = new byte[4096];
            int count = await socket.ReceiveAsync(buffer);
            buffer[count / 2] ^= 1;
            await FakeDaemon.SendAllAsync(socket, buffer.AsMemory(0, count));
            await FakeDaemon.EchoAsync(socket, new IpcRequest());
        };
        CliRun run = Run("--json", "bench", "2", "1");
        Assert.Equal((1, "internal"), (run.Exit, run.Envelope.GetProperty("code").GetString()));
    }

    [Theory]
    [InlineData("hello", "hello\n")]
    [InlineData("two\nlines", "two\nlines")]
    [InlineData("line\n", "line\n")]
    public void Recv_prints_a_line_as_a_line_and_everything_else_exactly(string payload, string expected)
    {
        Incoming(Encoding.UTF8.GetBytes(payload));
        Assert.Equal((0, expected), (Run("recv", "1000").Exit, Run("recv", "1000").Stdout));
    }

    [Fact]
    public void Recv_keeps_binary_data_exact()
    {
        byte[] payload = new byte[200_000];
        new Random(2).NextBytes(payload);
        Incoming(payload);
        string file = Path.Combine(_daemon.Home, "out.bin");
        Assert.Equal(0, Run("recv", "1000", "--out", file).Exit);
        Assert.Equal(payload, File.ReadAllBytes(file));
        JsonElement message = Run("--json", "recv", "1000").Data.GetProperty("messages")[0];
        Assert.Equal(payload, message.GetProperty("data_base64").GetBytesFromBase64());
        Assert.Equal((0, 1000, payload.Length), (message.GetProperty("seq").GetInt32(), message.GetProperty("port").GetInt32(), message.GetProperty("bytes").GetInt32()));
        Assert.Contains('\uFFFD', message.GetProperty("data").GetString()!);
    }

    [Fact]
    public void Recv_reports_a_stream_that_was_cut()
    {
        Incoming("half"u8.ToArray());
        _daemon.Replies[IpcCommand.ConnResult] = _ => FakeDaemon.Result("reset");
        CliRun run = Run("--json", "recv", "1000");
        Assert.Equal(1, run.Exit);
        Assert.Contains("reset", run.Data.GetProperty("messages")[0].GetProperty("error").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Recv_that_gets_nothing_is_not_an_error()
    {
        _daemon.Replies[IpcCommand.Accept] = _ => FakeDaemon.Fail(IpcErrorCode.Timeout, "timeout");
        CliRun run = Run("--json", "recv", "1000", "--timeout", "1s");
        Assert.Equal((0, "{\"data\":{\"messages\":[],\"timeout\":true},\"status\":\"ok\"}\n"), (run.Exit, run.Stdout));
        Assert.Equal("timeout\n", Run("recv", "1000", "--timeout", "1s").Stderr);
    }

    [Fact]
    public void A_peer_without_half_close_ends_its_answer_by_silence()
    {
        _daemon.Replies[IpcCommand.Dial] = _ => FakeDaemon.Raw(1, halfClose: false);
        _daemon.Replies[IpcCommand.ConnResult] = _ => FakeDaemon.Result("open", open: true);
        _daemon.Streams[IpcCommand.Dial] = async (socket, _) =>
        {
            byte[] buffer = new byte[64];
            int count = await socket.ReceiveAsync(buffer);
            await FakeDaemon.SendAllAsync(socket, buffer.AsMemory(0, count));
            while (await socket.ReceiveAsync(buffer) > 0 || socket.Connected)
            {
                await Task.Delay(10);
                if (socket.Poll(0, SelectMode.SelectError))
                {
                    break;
                }
            }
        };
        CliRun run = Run("send", "2", "7", "--data", "hi", "--timeout", "20s");
        Assert.Equal((0, "hi\n"), (run.Exit, run.Stdout));
    }

    [Fact]
    public void Send_without_an_answer_in_time_is_a_timeout()
    {
        _daemon.Replies[IpcCommand.ConnResult] = _ => FakeDaemon.Result("open", open: true);
        _daemon.Streams[IpcCommand.Dial] = async (socket, _) => await Task.Delay(Timeout.Infinite, TestContext.Current.CancellationToken);
        CliRun run = Run("--json", "send", "2", "7", "--data", "hi", "--timeout", "200ms");
        Assert.Equal((1, "timeout", "no response within 200ms"), (run.Exit, run.Envelope.GetProperty("code").GetString(), run.Envelope.GetProperty("message").GetString()));
    }

    [Fact]
    public void Json_text_is_written_as_the_reference_writes_it()
    {
        JsonMap map = new() { ["b"] = 1.5, ["a"] = "<&>\u2028\"\\\n\u0001é😀", ["c"] = new List<object?>(), ["d"] = 1e21, ["e"] = 1e-7, ["f"] = 100000.0, ["g"] = new JsonMap() };
        Assert.Equal(
            "{\"a\":\"\\u003c\\u0026\\u003e\\u2028\\\"\\\\\\n\\u0001é😀\",\"b\":1.5,\"c\":[],\"d\":1e+21,\"e\":1e-7,\"f\":100000,\"g\":{}}",
            JsonText.Compact(map));
        Assert.Equal("{\n  \"a\": [\n    1\n  ],\n  \"b\": {\n    \"x\": null\n  }\n}", JsonText.Indented(new JsonMap { ["b"] = new JsonMap { ["x"] = null }, ["a"] = new[] { 1 } }));
    }

    private static void AssertSorted(JsonElement element)
    {
        if (element.ValueKind == JsonValueKind.Object)
        {
            string[] names = [.. element.EnumerateObject().Select(p => p.Name)];
            Assert.Equal(names.Order(StringComparer.Ordinal), names);
            foreach (JsonProperty property in element.EnumerateObject())
            {
                AssertSorted(property.Value);
            }
        }
    }

    private void Incoming(byte[] payload)
    {
        _daemon.Replies[IpcCommand.Accept] = _ => FakeDaemon.Raw(1);
        _daemon.Streams[IpcCommand.Accept] = (socket, _) => FakeDaemon.SendAllAsync(socket, payload);
    }

    private void Reply(string command, string data) => _daemon.Replies[command] = _ => FakeDaemon.Data(data);

    private CliRun Run(params string[] arguments) => CliRun.Start(_daemon.Home, _daemon.SocketPath, arguments);
}
