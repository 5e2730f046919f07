using System.Text;
using System.Text.Json;
using Pilot.Cli.CommandLine;
using Pilot.Cli.Commands;
using Pilot.Cli.Output;
using Pilot.Cli.State;
using Pilot.Ipc;

namespace Pilot.Client.Tests;

/// <summary>What the commands say about NAT, paths and reachability.</summary>
public sealed class CliNetworkTests : IAsyncDisposable
{
    private const string Mapped = """{"state":"mapped","protocol":"pcp","gateway":"192.168.1.1","external":"203.0.113.7:4000","behind_another_nat":false,"expires_in_secs":7000,"error":""}""";
    private const string Unmapped = """{"state":"no answer","protocol":"","gateway":"192.168.1.1","external":"","behind_another_nat":false,"error":""}""";

    private readonly FakeDaemon _daemon = new();
    private readonly Lock _gate = new();
    private string[] _paths = ["""{"node_id":2,"path":"direct","endpoint":"203.0.113.7:4000","used":true}"""];
    private int _asked;

    public CliNetworkTests()
    {
        Reply(IpcCommand.Hello, """{"version":1,"daemon_version":"0.1.0","pid":42,"state":"ready","features":[]}""");
        Reply(IpcCommand.Info, """{"nat_type":"port-restricted cone","endpoint":"203.0.113.7:40123","beacon":"beacon-1:9001","public":false}""");
        _daemon.Replies[IpcCommand.Dial] = _ => FakeDaemon.Raw(1);
        _daemon.Streams[IpcCommand.Dial] = FakeDaemon.EchoAsync;
        _daemon.Replies[IpcCommand.ConnResult] = _ => FakeDaemon.Result("closed");
        _daemon.Replies[IpcCommand.Path] = _ => FakeDaemon.Data(Next());
    }

    public ValueTask DisposeAsync() => _daemon.DisposeAsync();

    [Fact]
    public void Status_has_the_lines_of_the_product_page()
    {
        Reply(IpcCommand.Info, """{"nat_type":"full-cone","endpoint":"34.148.103.117:4000"}""");
        Reply(IpcCommand.Status, $$"""{"state":"ready","pid":42,"uptime_secs":61,"peers":1,"connections":2,"registry":"r:9000","registry_connected":true,"port_mapping":{{Unmapped}}}""");
        Assert.StartsWith(
            "NAT type:  full-cone\nEndpoint:  34.148.103.117:4000\nStrategy:  direct (STUN endpoint reachable by all peers)\nMapping:   none (gateway 192.168.1.1 speaks no PCP, NAT-PMP or UPnP)\nState:     ready (pid 42, up 00:01:01)\n",
            Run("status").Stdout,
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("port-restricted cone", Unmapped, "hole-punch (coordinated by the beacon)")]
    [InlineData("port-restricted cone", Mapped, "direct (port mapped by pcp, reachable by all peers)")]
    [InlineData("symmetric", Unmapped, "relay via beacon (hole-punch not possible towards other strict NATs)")]
    [InlineData("blocked", Unmapped, "none (no beacon answers: UDP does not come back)")]
    [InlineData("unknown", "null", "unknown (not measured yet)")]
    public void The_strategy_follows_from_nat_and_mapping(string nat, string mapping, string strategy)
    {
        Reply(IpcCommand.Info, $$"""{"nat_type":"{{nat}}","endpoint":"203.0.113.7:40123"}""");
        Reply(IpcCommand.Status, $$"""{"state":"ready","port_mapping":{{mapping}}}""");
        Assert.Equal(strategy, Run("--json", "status").Data.GetProperty("strategy").GetString());
    }

    [Fact]
    public void Netcheck_is_one_screen()
    {
        Reply(
            IpcCommand.Net,
            $$"""
              {"udp":true,"ipv4":true,"ipv6":false,"nat":{"type":"port-restricted cone","mapping":"endpoint-independent","filtering":"address-and-port-dependent","preserves_port":true,"hairpins":false,"binding_lifetime_secs":60,"endpoint_v4":"203.0.113.7:40123","endpoint_v6":""},"port_mapping":{{Unmapped}},"beacons":[{"name":"beacon-1","endpoint":"198.51.100.1:9001","answering":true,"current":true,"extended":true,"rtt_ms":34.21},{"name":"beacon-2","endpoint":"198.51.100.2:9001","answering":false,"current":false,"extended":false},{"name":"beacon-3","endpoint":"","answering":false,"current":false,"extended":false}],"endpoint":"203.0.113.7:40123","other_endpoints":[],"lan_endpoints":[],"registry":"r:9000","registry_connected":true}
              """.ReplaceLineEndings(string.Empty));
        Assert.Equal(
            """
            UDP:           yes
            IPv4:          yes, seen as 203.0.113.7:40123
            IPv6:          no
            NAT type:      port-restricted cone
              mapping:     endpoint-independent
              filtering:   address-and-port-dependent
              port kept:   yes
              hairpinning: no
              lifetime:    at least 60 s without traffic
            Port mapping:  none (gateway 192.168.1.1 speaks no PCP, NAT-PMP or UPnP)
            Beacons:       beacon-1 (198.51.100.1:9001): 34.2ms, in use
                           beacon-2 (198.51.100.2:9001): no answer
                           beacon-3: address unknown
            Registry:      r:9000 (connected)

            Peers reach this node directly by hole punching; those behind symmetric NATs by relay.

            """.ReplaceLineEndings("\n"),
            Run("netcheck").Stdout);
        JsonElement data = Run("--json", "netcheck").Data;
        Assert.Equal((true, "hole-punch (coordinated by the beacon)"), (data.GetProperty("udp").GetBoolean(), data.GetProperty("strategy").GetString()));
        Assert.Equal(34.21, data.GetProperty("beacons")[0].GetProperty("rtt_ms").GetDouble());
    }

    [Fact]
    public void Ping_names_the_path_of_every_reply_and_tells_when_it_changes()
    {
        _paths = [RelayPath, RelayPath, DirectPath];
        Assert.Matches(
            @"^PING 0:0000\.0000\.0002\nseq=0 bytes=6 time=\S+ via relay beacon-1\nseq=1 bytes=6 time=\S+ via relay beacon-1\npath changed: via relay beacon-1 → direct 203\.0\.113\.7:4000\nseq=2 bytes=6 time=\S+ direct 203\.0\.113\.7:4000\n3 sent, 3 received, 0% loss, .*, path direct\n$",
            Run("ping", "2", "--count", "3", "--interval", "0").Stdout);
        _asked = 0;
        JsonElement data = Run("--json", "ping", "2", "--count", "3", "--interval", "0").Data;
        Assert.Equal(["relay", "relay", "direct"], data.GetProperty("results").EnumerateArray().Select(r => r.GetProperty("path").GetString()));
        Assert.Equal(("beacon-1", 1), (data.GetProperty("results")[0].GetProperty("via").GetString(), data.GetProperty("path_changes").GetInt32()));
    }

    [Fact]
    public void Ping_until_direct_ends_with_the_first_direct_reply_or_fails()
    {
        _paths = [RelayPath, RelayPath, RelayPath, RelayPath, RelayPath, DirectPath];
        CliRun run = Run("--json", "ping", "2", "--until-direct", "--interval", "0");
        Assert.Equal((0, 6, true), (run.Exit, run.Data.GetProperty("received").GetInt32(), run.Data.GetProperty("direct").GetBoolean()));
        _paths = [RelayPath];
        run = Run("--json", "ping", "2", "--until-direct", "--interval", "0", "--count", "3");
        Assert.Equal((1, 3, false), (run.Exit, run.Data.GetProperty("received").GetInt32(), run.Data.GetProperty("direct").GetBoolean()));
    }

    [Fact]
    public void Ping_with_an_older_daemon_shows_the_path_of_the_dial()
    {
        _daemon.Replies[IpcCommand.Path] = _ => FakeDaemon.Fail(IpcErrorCode.UnknownCommand, "unknown command: path");
        CliRun run = Run("--json", "ping", "2", "--count", "1");
        Assert.Equal((0, "direct"), (run.Exit, run.Data.GetProperty("path").GetString()));
    }

    [Fact]
    public void Peers_shows_path_round_trip_loss_and_bytes()
    {
        Reply(
            IpcCommand.Peers,
            """{"peers":[{"node_id":2,"endpoint":"203.0.113.7:4000","encrypted":true,"authenticated":true,"path":"hole-punch","rtt_ms":34.2,"loss":0.05,"bytes_sent":2048,"bytes_recv":10},{"node_id":3,"endpoint":"","encrypted":false,"authenticated":false}],"total":2}""");
        string text = Run("peers").Stdout;
        Assert.Matches(@"(?m)^NODE ID +ENDPOINT +ENCRYPTED +AUTH +PATH +RTT +LOSS +SENT +RECV$", text);
        Assert.Matches(@"(?m)^2 +203\.0\.113\.7:4000 +yes \(AES-256-GCM\) +yes \(Ed25519\) +hole-punch +34\.2ms +5% +2\.0 KB +10 B$", text);
        Assert.Matches(@"(?m)^3 +no +no +- +- +- +0 B +0 B$", text);
    }

    [Theory]
    [InlineData("live", "starting", false, false, 0)]
    [InlineData("ready", "starting", false, false, 1)]
    [InlineData("ready", "ready", false, false, 0)]
    [InlineData("reachable", "ready", false, true, 1)]
    [InlineData("reachable", "ready", true, false, 1)]
    [InlineData("reachable", "ready", true, true, 0)]
    public void Daemon_status_checks_what_is_asked(string level, string state, bool isConnected, bool isAnswering, int exit)
    {
        Reply(IpcCommand.Status, $$"""{"state":"{{state}}","registry_connected":{{Json(isConnected)}},"beacon_answering":{{Json(isAnswering)}},"last_error":""}""");
        CliRun run = Run("daemon", "status", "--check", level);
        Assert.Equal((exit, string.Empty, exit == 0), (run.Exit, run.Stdout, run.Stderr.Length == 0));
        Assert.Equal((0, ""), (Run("daemon", "status", "--check").Exit, Run("daemon", "status", "--check").Stdout));
        CliRun json = Run("--json", "daemon", "status", $"--check={level}");
        Assert.Equal((exit, exit == 0 ? "ok" : "error"), (json.Exit, json.Envelope.GetProperty("status").GetString()));
        Assert.Equal(1, Run("daemon", "status", "--check", "well").Exit);
    }

    [Fact]
    public void Nothing_is_live_without_a_daemon()
    {
        CliRun run = CliRun.Start(_daemon.Home, _daemon.SocketPath + "x", "daemon", "status", "--check", "live");
        Assert.Equal((1, "error: not live: no daemon answers"), (run.Exit, run.Stderr.Split('\n')[0]));
        Assert.Equal((1, ""), (CliRun.Start(_daemon.Home, _daemon.SocketPath + "x", "daemon", "status", "--check").Exit, ""));
    }

    [Fact]
    public async Task Connect_tells_each_step_when_the_daemon_reports_it()
    {
        Punches(2, "requested", "received");
        Reply(IpcCommand.Ping, """{"node_id":2,"rtt_ms":34,"total_ms":90,"path":"hole-punch","endpoint":"203.0.113.9:4000"}""");
        (string stdout, string stderr) = await ConnectAsync();
        Assert.Equal("Discovering NAT type... port-restricted cone\nRequesting hole-punch via beacon...\n✓ Punch sent → peer punched back\n", stderr);
        Assert.Equal("✓ Direct tunnel established. RTT: 34ms\n", stdout);
    }

    [Fact]
    public async Task Connect_over_a_tunnel_that_is_there_claims_no_punch()
    {
        Punches(3, "requested", "received"); // of another peer
        Reply(IpcCommand.Ping, """{"node_id":2,"rtt_ms":34,"total_ms":90,"path":"hole-punch","endpoint":"203.0.113.9:4000"}""");
        Assert.Equal("Discovering NAT type... port-restricted cone\n", (await ConnectAsync()).Stderr);
    }

    [Theory]
    [InlineData("symmetric", "Hole-punch not possible. Switching to relay...")]
    [InlineData("port-restricted cone", "No direct path yet. Switching to relay...")]
    public async Task Connect_by_relay_says_so_after_direct_had_its_time(string nat, string line)
    {
        Reply(IpcCommand.Info, $$"""{"nat_type":"{{nat}}","endpoint":"203.0.113.7:40123","beacon":"beacon-1:9001"}""");
        Punches(2);
        Reply(IpcCommand.Ping, """{"node_id":2,"rtt_ms":68,"total_ms":90,"path":"relay","endpoint":"198.51.100.1:9001","via":"beacon-1"}""");
        (string stdout, string stderr) = await ConnectAsync();
        Assert.Equal($"Discovering NAT type... {nat}\n{line}\n", stderr);
        Assert.Equal("✓ Relay tunnel via beacon. RTT: 68ms\n✓ All data encrypted end-to-end. Relay cannot decrypt.\n", stdout);
    }

    [Fact]
    public async Task Connect_waits_for_the_direct_path_of_a_tunnel_that_begins_relayed()
    {
        Punches(2);
        int pings = 0;
        _daemon.Replies[IpcCommand.Ping] = _ => FakeDaemon.Data(Interlocked.Increment(ref pings) < 3
            ? """{"node_id":2,"rtt_ms":68,"total_ms":90,"path":"relay","endpoint":"198.51.100.1:9001","via":"beacon-1"}"""
            : """{"node_id":2,"rtt_ms":30,"total_ms":30,"path":"direct","endpoint":"203.0.113.9:4000"}""");
        Assert.Equal("✓ Direct tunnel established. RTT: 30ms\n", (await ConnectAsync()).Stdout);
    }

    private const string RelayPath = """{"node_id":2,"path":"relay","endpoint":"198.51.100.1:9001","via":"beacon-1","used":true}""";
    private const string DirectPath = """{"node_id":2,"path":"direct","endpoint":"203.0.113.7:4000","used":true}""";

    private static string Json(bool value) => value ? "true" : "false";

    private string Next()
    {
        lock (_gate)
        {
            return _paths[Math.Min(_asked++, _paths.Length - 1)];
        }
    }

    /// <summary>The daemon reports these steps of a punch after it was asked for a ping, and before it answers what follows on the connection.</summary>
    private void Punches(uint node, params string[] steps)
    {
        Reply(IpcCommand.Subscribe, """{"events":["punch"]}""");
        _daemon.Streams[IpcCommand.Subscribe] = async (socket, _) =>
        {
            await socket.ReceiveAsync(new byte[200]); // the mark
            foreach (string step in steps)
            {
                await FakeDaemon.SendAllAsync(socket, Encoding.UTF8.GetBytes($$"""{"event":"punch","node_id":{{node}},"step":"{{step}}","endpoint":"198.51.100.1:9001"}""" + "\n"));
            }

            await FakeDaemon.SendAllAsync(socket, "{\"id\":1,\"ok\":true,\"data\":{}}\n"u8.ToArray());
            await socket.ReceiveAsync(new byte[1]);
        };
    }

    private async Task<(string Stdout, string Stderr)> ConnectAsync()
    {
        using MemoryStream stdout = new();
        using MemoryStream stderr = new();
        CommandSpec spec = CommandTable.Find("connect")!;
        CommandContext context = new(
            spec, ParsedArguments.Parse(spec, ["2"]), new CliOutput(json: false, stdout, stderr, stderrIsTerminal: false), new PilotHome(_daemon.Home), name => name == "PILOT_SOCKET" ? _daemon.SocketPath : null);
        Assert.Equal(0, await TunnelSetup.RunAsync(context, "0:0000.0000.0002", null, TimeSpan.FromSeconds(10)));
        return (Encoding.UTF8.GetString(stdout.ToArray()), Encoding.UTF8.GetString(stderr.ToArray()));
    }

    private void Reply(string command, string data) => _daemon.Replies[command] = _ => FakeDaemon.Data(data);

    private CliRun Run(params string[] arguments) => CliRun.Start(_daemon.Home, _daemon.SocketPath, arguments);
}
