using System.Text.Json;
using System.Text.RegularExpressions;
using Pilot.EndToEnd.Tests.Lab;

namespace Pilot.EndToEnd.Tests;

/// <summary>The examples of the product pages, as written, with a local rendezvous.</summary>
[Collection(TrustedPairCollection.Name)]
public sealed partial class ProductPageTests(TrustedPair pair)
{
    [Fact]
    public void Daemon_start_says_who_and_where()
    {
        Assert.Matches(
            $@"^Daemon running \(pid {pair.A.Pid}\)\n  Address:  0:0000\.\w{{4}}\.\w{{4}}\n  Hostname: agent-a\n  Socket:   {Regex.Escape(pair.A.SocketPath)}\n  Logs:     .*pilot\.log\n$",
            pair.FirstStart.Stdout);
        Assert.Contains("✓ Identity generated: Ed25519\n", pair.FirstStart.Stderr, StringComparison.Ordinal);
        Assert.Contains($"✓ Registered as agent-a ({pair.A.Address})\n", pair.FirstStart.Stderr, StringComparison.Ordinal);
        Assert.Contains($"✓ Daemon listening on {pair.A.SocketPath}\n", pair.FirstStart.Stderr, StringComparison.Ordinal);
    }

    [Fact]
    public void Handshake_by_name_reveals_nothing_until_the_peer_answers() =>
        Assert.StartsWith("handshake request sent to agent-a\n", pair.FirstHandshake.Stdout, StringComparison.Ordinal);

    [Fact]
    public async Task Connect_with_a_message_shows_the_direct_tunnel()
    {
        Task<Outcome> receiver = await pair.A.BackgroundAsync("recv", "1000");
        Outcome sent = await pair.B.CtlAsync("connect", "agent-a", "--message", "hello, peer");
        Assert.True(sent.Exit == 0, sent.Everything);
        Assert.Matches(TunnelLine(), sent.Stderr);
        Outcome received = await receiver;
        Assert.Equal((0, "hello, peer\n"), (received.Exit, received.Stdout));
    }

    [Fact]
    public async Task Connect_to_a_peer_where_nobody_listens_shows_the_tunnel_and_says_so()
    {
        Outcome sent = await pair.B.CtlAsync("connect", "agent-a", "--message", "hello, peer");
        Assert.Equal(1, sent.Exit);
        Assert.Matches(TunnelLine(), sent.Stderr);
        Assert.Contains("pilotctl recv 1000", sent.Stderr, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Connect_without_message_builds_the_tunnel_and_says_how()
    {
        Outcome human = await Programs.RunAsync("/bin/sh", ["-c", $"'{Programs.Pilotctl}' connect agent-a </dev/null"], pair.B.Variables);
        Assert.Equal(0, human.Exit);
        Assert.Matches(@"^✓ Direct tunnel established\. RTT: \d+ms\n$", human.Stdout);
        Assert.Contains("Discovering NAT type... ", human.Stderr, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Send_and_recv_count_messages()
    {
        Task<Outcome> receiver = await pair.B.BackgroundAsync("recv", "1000", "--count", "5", "--timeout", "30s");
        for (int i = 0; i < 5; i++)
        {
            Outcome sent = await pair.A.CtlAsync("send", "agent-b", "1000", "--data", $"hello {i}");
            Assert.True(sent.Exit == 0, sent.Everything);
            Assert.Contains("sent 7 bytes (no response)", sent.Stderr, StringComparison.Ordinal);
        }

        Assert.Equal("hello 0\nhello 1\nhello 2\nhello 3\nhello 4\n", (await receiver).Stdout);
    }

    [Fact]
    public async Task Recv_in_json_has_the_documented_members()
    {
        Task<Outcome> receiver = await pair.B.BackgroundAsync("--json", "recv", "1000", "--count", "1");
        await pair.A.CtlAsync("send", "agent-b", "1000", "--data", "hello");
        Outcome outcome = await receiver;
        JsonElement message = outcome.Data.GetProperty("messages")[0];
        Assert.Equal(
            (0, 1000, "hello", 5),
            (message.GetProperty("seq").GetInt32(), message.GetProperty("port").GetInt32(), message.GetProperty("data").GetString(), message.GetProperty("bytes").GetInt32()));
        Assert.False(outcome.Data.GetProperty("timeout").GetBoolean());
    }

    [Fact]
    public async Task Find_nonexistent_is_the_documented_error()
    {
        Outcome outcome = await pair.A.JsonAsync("find", "nonexistent");
        Assert.Equal((1, 0, "not_found"), (outcome.Exit, outcome.StdoutBytes.Length, outcome.Code));
        Assert.Contains("not found", outcome.Json.GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.Contains("handshake nonexistent", outcome.Json.GetProperty("hint").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ping_by_name_answers()
    {
        Outcome json = await pair.A.JsonAsync("ping", "agent-b", "--count", "3", "--interval", "10ms");
        Assert.True(json.Exit == 0, json.Everything);
        Assert.Equal(3, json.Data.GetProperty("received").GetInt32());
        Outcome human = await pair.A.CtlAsync("ping", pair.B.Address, "--count", "1");
        Assert.Matches(@"^PING 0:0000\.\w+\.\w+\nseq=0 bytes=6 time=[\d.]+[mµ]?s (lan|direct) 127\.0\.0\.1:\d+\n1 sent, 1 received, 0% loss", human.Stdout);
    }

    [Fact]
    public async Task Status_and_netcheck_say_how_this_node_is_reached()
    {
        Outcome status = await pair.A.CtlAsync("status");
        Assert.Matches(@"^NAT type:  [\w -]+\nEndpoint:  127\.0\.0\.1:\d+\nStrategy:  \w", status.Stdout);
        Outcome net = await pair.A.JsonAsync("netcheck");
        Assert.True(net.Exit == 0, net.Everything);
        Assert.True(net.Data.GetProperty("udp").GetBoolean());
        Assert.True(net.Data.GetProperty("beacons")[0].GetProperty("answering").GetBoolean());
        Assert.Equal("off", net.Data.GetProperty("port_mapping").GetProperty("state").GetString());
        Assert.Matches(@"^UDP:           yes\n", (await pair.A.CtlAsync("netcheck")).Stdout);
        foreach (string level in new[] { "live", "ready", "reachable" })
        {
            Assert.Equal(0, (await pair.A.CtlAsync("daemon", "status", "--check", level)).Exit);
        }

        Outcome peers = await pair.A.JsonAsync("peers");
        JsonElement peer = Assert.Single(peers.Data.GetProperty("peers").EnumerateArray(), p => p.GetProperty("node_id").GetUInt32() == pair.B.NodeId);
        Assert.True(peer.GetProperty("paths").GetArrayLength() > 0);
        Assert.True(peer.GetProperty("bytes_sent").GetInt64() > 0);
    }

    [Fact]
    public async Task Bench_verifies_every_byte_both_ways()
    {
        Outcome outcome = await pair.A.JsonAsync("bench", "agent-b", "20");
        Assert.True(outcome.Exit == 0, outcome.Everything);
        Assert.Equal((20L << 20, true), (outcome.Data.GetProperty("recv_bytes").GetInt64(), outcome.Data.GetProperty("verified").GetBoolean()));
        Outcome human = await pair.A.CtlAsync("bench", "agent-b");
        Assert.Matches(@"  Sent:     1\.0 MB in .* MB/s\)\n  Echoed:   1\.0 MB in .* MB/s round-trip\)\n$", human.Stdout);
    }

    [Fact]
    public async Task Info_and_trust_show_the_peer()
    {
        Outcome info = await pair.A.CtlAsync("info");
        Assert.Matches(@"  Node ID:     \d+\n  Address:     0:.*\n  Hostname:    agent-a\n", info.Stdout);
        Assert.Matches("Encryption:.*enabled", info.Stdout);
        Outcome trust = await pair.A.CtlAsync("trust");
        Assert.Matches($@"(?m)^{pair.B.NodeId} +yes ", trust.Stdout);
        Assert.Equal("already_trusted", (await pair.A.JsonAsync("handshake", "agent-b")).Data.GetProperty("status").GetString());
    }

    [Fact]
    public async Task Names_and_visibility_follow_the_commands()
    {
        Outcome set = await pair.B.CtlAsync("set-hostname", "agent-b2");
        Assert.Equal("hostname set: agent-b2\n", set.Stdout);
        Assert.Equal(0, (await pair.A.CtlAsync("find", "agent-b2")).Exit);
        Assert.Equal("hostname cleared\n", (await pair.B.CtlAsync("clear-hostname")).Stdout);
        Assert.Equal("not_found", (await pair.A.JsonAsync("find", "agent-b2")).Code);
        Assert.Equal("already_exists", (await pair.B.JsonAsync("set-hostname", "agent-a")).Code);
        Assert.Equal("invalid_argument", (await pair.B.JsonAsync("set-hostname", new string('a', 64))).Code);
        Assert.Equal(0, (await pair.B.CtlAsync("set-hostname", "agent-b")).Exit);

        Assert.Equal("public", (await pair.B.JsonAsync("set-public", "1")).Data.GetProperty("visibility").GetString());
        Assert.Contains("\"public\": true", (await pair.B.CtlAsync("lookup", $"{pair.B.NodeId}")).Stdout, StringComparison.Ordinal);
        Assert.Equal("private", (await pair.B.JsonAsync("set-private")).Data.GetProperty("visibility").GetString());
        Assert.Contains("\"public\": false", (await pair.B.CtlAsync("lookup", $"{pair.B.NodeId}")).Stdout, StringComparison.Ordinal);
        Assert.Equal("not_found", (await pair.B.JsonAsync("lookup", "99999")).Code);
    }

    [Fact]
    public async Task The_own_node_answers_itself()
    {
        Outcome ping = await pair.A.JsonAsync("ping", pair.A.Address, "--count", "1");
        Assert.True(ping.Exit == 0, ping.Everything);
        Assert.Equal(0, (await pair.A.CtlAsync("find", "agent-a")).Exit);
        Outcome self = await pair.A.JsonAsync("handshake", $"{pair.A.NodeId}", "self-test");
        Assert.Equal((1, "invalid_argument"), (self.Exit, self.Code));
    }

    [GeneratedRegex("^resolved \"agent-a\" → 0:\\w{4}\\.\\w{4}\\.\\w{4}\n✓ direct tunnel · \\d+ms · no relay\n")]
    private static partial Regex TunnelLine();
}
