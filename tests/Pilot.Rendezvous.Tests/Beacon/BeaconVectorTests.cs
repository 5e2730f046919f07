using System.Text.Json;
using Pilot.Rendezvous.Beacon;
using Pilot.Rendezvous.Tests.Registry;

namespace Pilot.Rendezvous.Tests.Beacon;

/// <summary>beacon.json as far as it concerns a beacon and its registry; the daemon's side is tested in Pilot.Protocol.Tests.</summary>
public sealed class BeaconVectorTests
{
    private const string Node5 = "203.0.113.7:40001";
    private const string Node6 = "[2001:db8::7]:40002";
    private const string Node9 = "198.51.100.23:4000";
    private const string OtherBeacon = "203.0.113.2:9002";

    private static string Hex(string name) => VectorFile.Find("beacon.json", name).Text("hex");

    private static BeaconSession WithNodes(BeaconRules rules)
    {
        var session = new BeaconSession(rules);
        foreach ((uint id, string address) in (ReadOnlySpan<(uint, string)>)[(5, Node5), (6, Node6), (9, Node9)])
        {
            session.Prove(id, address);
            session.Discover(id, address);
        }

        session.Machine.SetPeers([BeaconSession.At(OtherBeacon)]);
        foreach ((uint, uint) pair in (ReadOnlySpan<(uint, uint)>)[(5, 9), (5, 6), (6, 5)])
        {
            session.Allowed.Add(pair);
        }

        return session;
    }

    [Theory]
    [InlineData(BeaconRules.Reference)]
    [InlineData(BeaconRules.Strict)]
    public void Discover_is_answered_with_the_observed_address(BeaconRules rules)
    {
        foreach (string name in (string[])["discover_reply_ipv4", "discover_reply_trailing_bytes_ignored", "discover_reply_ipv6"])
        {
            JsonElement inputs = VectorFile.Find("beacon.json", name).GetProperty("inputs");
            string observed = inputs.Text("observed");
            Assert.Equal([$"{observed} {Hex(name)}"], WithNodes(rules).Receive(observed, inputs.Text("request_hex")));
        }
    }

    [Theory]
    [InlineData(BeaconRules.Reference)]
    [InlineData(BeaconRules.Strict)]
    public void Punch_commands_go_to_both_sides(BeaconRules rules)
    {
        BeaconSession session = WithNodes(rules);
        Assert.Equal(
            [$"{Node5} {Hex("punch_command_to_requester_ipv4")}", $"{Node9} {Hex("punch_command_to_target_ipv4")}"],
            session.Receive(Node5, Hex("punch_request_5_to_9")));
        Assert.Equal(
            [$"{Node5} {Hex("punch_command_to_requester_ipv6_target")}", $"{Node6} {Hex("punch_command_to_ipv6_node_ipv4_target")}"],
            session.Receive(Node5, "030000000500000006"));
    }

    [Theory]
    [InlineData(BeaconRules.Reference)]
    [InlineData(BeaconRules.Strict)]
    public void Relay_is_delivered(BeaconRules rules)
    {
        BeaconSession session = WithNodes(rules);
        Assert.Equal([$"{Node9} {Hex("relay_deliver_from_5")}"], session.Receive(Node5, Hex("relay_5_to_9")));
        JsonElement empty = VectorFile.Find("beacon.json", "relay_empty_payload");
        Assert.Equal([$"{Node9} {empty.Text("hex")}"], session.Receive(Node5, empty.GetProperty("inputs").Text("request_hex")));
    }

    [Theory]
    [InlineData(BeaconRules.Reference)]
    [InlineData(BeaconRules.Strict)]
    public void Sync_is_learned_from_another_beacon(BeaconRules rules)
    {
        BeaconSession session = WithNodes(rules);
        foreach (string name in (string[])["sync_3_nodes", "sync_empty", "sync_skips_locally_known", "sync_extra_ids_ignored", "sync_captured_1_node"])
        {
            Assert.Empty(session.Receive(OtherBeacon, Hex(name)));
            JsonElement expect = VectorFile.Find("beacon.json", name).GetProperty("expect");
            int learned = expect.TryGetProperty("peer_nodes_learned", out JsonElement count) ? count.GetInt32() : 1;
            Assert.Equal(learned, session.Machine.GossipCount);
        }

        session.Receive(OtherBeacon, Hex("sync_3_nodes"));
        Assert.Equal([$"{OtherBeacon} {Hex("relay_forwarded_between_beacons")}"], session.Receive(Node5, Hex("relay_forwarded_between_beacons")));
    }

    [Theory]
    [InlineData(BeaconRules.Reference)]
    [InlineData(BeaconRules.Strict)]
    public void What_a_beacon_must_drop_changes_and_sends_nothing(BeaconRules rules)
    {
        JsonElement[] vectors = [.. VectorFile.Load("beacon.json", "neg_").Where(v => v.GetProperty("inputs").Text("receiver") == "beacon")];
        Assert.Equal(13, vectors.Length);
        foreach (JsonElement vector in vectors)
        {
            BeaconSession session = WithNodes(rules);
            Assert.Empty(session.Receive(Node5, vector.Text("hex")));
            Assert.Equal(3, session.Machine.NodeCount);
            Assert.Equal(0, session.Machine.GossipCount);
        }
    }

    [Fact]
    public void State_effects_of_the_reference_policy()
    {
        BeaconSession session = WithNodes(BeaconRules.Reference);
        Assert.Empty(session.Receive("203.0.113.99:1", Hex("punch_request_unknown_target")));
        Assert.Equal(4, session.Machine.NodeCount);
        JsonElement forged = VectorFile.Find("beacon.json", "relay_sender_id_not_verified");
        Assert.Equal([$"{Node9} {forged.Text("hex")}"], session.Receive(Node5, forged.GetProperty("inputs").Text("request_hex")));

        JsonElement rebind = VectorFile.Find("beacon.json", "discover_rebinds_without_auth");
        string[] last = [];
        foreach (JsonElement row in rebind.GetProperty("inputs").GetProperty("sequence").EnumerateArray())
        {
            string[] parts = row.GetString()!.Split(' ');
            last = session.Receive(parts[0], parts[1]);
        }

        Assert.Equal([$"{rebind.GetProperty("expect").Text("delivered_to")} {rebind.Text("hex")}"], last);
    }

    [Fact]
    public void Strict_policy_refuses_the_forgeries_of_the_same_vectors()
    {
        BeaconSession session = WithNodes(BeaconRules.Strict);
        Assert.Empty(session.Receive(Node5, VectorFile.Find("beacon.json", "relay_sender_id_not_verified").GetProperty("inputs").Text("request_hex")));
        session.Receive("203.0.113.7:40078", "0100000009");
        Assert.Equal(Node9, session.AddressOf(9));
    }

    [Fact]
    public void Registry_answers_a_beacon()
    {
        var session = new RegistrySession();
        string Send(string name) => session.SendText(session.Connection("203.0.113.1"), VectorFile.Find("beacon.json", name).GetProperty("inputs").Text("request_text"))!;

        Assert.Null(JsonCompare.Difference(VectorFile.Find("beacon.json", "beacon_register_response").Text("text"), Send("beacon_register_response"), []));
        string list = session.SendText(session.Connection("203.0.113.1"), VectorFile.Find("beacon.json", "beacon_list_frame").Text("text"))!;
        Assert.Null(JsonCompare.Difference(VectorFile.Find("beacon.json", "beacon_list_response").Text("text"), list, []));
        foreach (string name in (string[])["neg_beacon_register_id_0", "neg_beacon_register_no_addr"])
        {
            Assert.Null(JsonCompare.Difference(VectorFile.Find("beacon.json", name).Text("text"), Send(name), []));
        }
    }
}
