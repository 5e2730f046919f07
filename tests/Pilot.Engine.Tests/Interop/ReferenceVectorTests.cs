using System.Text.Json;
using Pilot.Engine.Tests.Simulation;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Interop;

/// <summary>The double of the whole node is held against the captures of the real reference, byte for byte, so that the tests with it mean something.</summary>
public sealed class ReferenceVectorTests
{
    private const uint NodeA = 0x00010203;
    private const uint NodeB = 0xF2910004;
    private static readonly UdpEndpoint Sender = UdpEndpoint.FromIPv4(0x7F000001, 7000);
    private static readonly UdpEndpoint Beacon = UdpEndpoint.FromIPv4(0x7F000002, 9001);

    // RFC 8032 section 7.1, tests 1 and 2; RFC 7748 section 6.1, Bob.
    private static readonly Identity IdentityA = new(Convert.FromHexString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
    private static readonly Identity IdentityB = new(Convert.FromHexString("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"));
    private static readonly byte[] PrivateB = Convert.FromHexString("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");

    public static TheoryData<string> Exchanges() => [.. Named("exchange")];

    public static TheoryData<string> Replays() => [.. Named("replay-reference-behaviour")];

    [Theory]
    [MemberData(nameof(Exchanges))]
    public void Answers_as_captured(string name)
    {
        var now = new Instant(TimeSpan.TicksPerHour);
        List<(UdpEndpoint To, byte[] Bytes)> sent = [];
        List<string> routed = [];
        var node = new ReferenceNode(
            NodeB, IdentityB, PrivateB, new ReferenceSwitches(), new KnownKeys(), Beacon, new SimRandom(1), now, SimNetwork.Epoch,
            (to, bytes) => sent.Add((to, bytes)))
        {
            Routed = (header, payload) =>
                routed.Add($"proto {(int)header.Protocol} src {header.Source} dst {header.Destination} payload {Convert.ToHexStringLower(payload)}"),
        };
        foreach (JsonElement step in Vector(name).GetProperty("expect").GetProperty("steps").EnumerateArray())
        {
            string hex = step.GetProperty("send_hex").GetString()!;
            byte[] datagram = hex.Contains('+') ? [.. Convert.FromHexString(hex[..12]), (byte)(Sender.Port >> 8), (byte)Sender.Port] : Convert.FromHexString(hex);
            sent.Clear();
            routed.Clear();
            node.Receive(now, Sender, datagram);
            Assert.Equal(Texts(step, "replies_to_sender_hex"), Sent(sent, Sender));
            Assert.Equal(Texts(step, "sent_to_beacon_hex"), Sent(sent, Beacon));
            Assert.Equal(Texts(step, "packets_passed_to_router"), routed);
            Assert.Equal(step.GetProperty("key_for_a").GetBoolean(), node.HasKey(NodeA));
            Assert.Equal(step.GetProperty("a_authenticated").GetBoolean(), node.IsAuthenticated(NodeA));
            Assert.Equal(step.GetProperty("relay_flag_for_a").GetBoolean(), node.IsRelayed(NodeA));
            now += TimeSpan.FromMilliseconds(1);
        }
    }

    [Theory]
    [MemberData(nameof(Replays))]
    public void Its_window_moves_as_captured(string name)
    {
        var window = new ReferenceWindow();
        foreach (JsonElement step in Vector(name).GetProperty("expect").GetProperty("steps").EnumerateArray())
        {
            ulong counter = ulong.Parse(step.GetProperty("counter").GetString()!);
            bool isForged = step.GetProperty("forged_tag").GetBoolean();
            bool isTaken = window.Take(counter);
            if (isTaken && isForged)
            {
                window.Forget(counter);
            }

            Assert.Equal(step.GetProperty("delivered").GetBoolean(), isTaken && !isForged);
            Assert.Equal(step.GetProperty("highest_after").GetString(), window.Highest.ToString());
        }
    }

    private static IEnumerable<string> Sent(List<(UdpEndpoint To, byte[] Bytes)> sent, UdpEndpoint to) =>
        [.. sent.Where(item => item.To == to).Select(item => Convert.ToHexStringLower(item.Bytes))];

    private static IEnumerable<string> Texts(JsonElement step, string member) => [.. step.GetProperty(member).EnumerateArray().Select(item => item.GetString()!)];

    private static IEnumerable<string> Named(string kind) =>
        Load().Where(vector => vector.GetProperty("kind").GetString() == kind).Select(vector => vector.GetProperty("name").GetString()!);

    private static JsonElement Vector(string name) => Load().Single(vector => vector.GetProperty("name").GetString() == name);

    private static List<JsonElement> Load()
    {
        using Stream stream = typeof(ReferenceVectorTests).Assembly.GetManifestResourceStream("Vectors/wire-exchange.json")!;
        return [.. JsonDocument.Parse(stream).RootElement.EnumerateArray()];
    }

    private sealed class KnownKeys : IReferenceRegistry
    {
        public byte[]? Lookup(uint nodeId) => nodeId switch { NodeA => IdentityA.PublicKey, NodeB => IdentityB.PublicKey, _ => null };

        public UdpEndpoint? Resolve(uint requester, uint target) => null;

        public bool CheckTrust(uint nodeId, uint peer) => false;

        public bool RequestHandshake(uint from, uint to, string justification) => false;

        public bool RespondHandshake(uint responder, uint requester, bool accept) => false;

        public bool ReportTrust(uint self, uint peer) => false;

        public bool RevokeTrust(uint self, uint peer) => false;

        public void Heartbeat(uint nodeId)
        {
        }

        public (IReadOnlyList<(uint From, string Justification)> Requests, IReadOnlyList<(uint From, bool Accept)> Responses) Poll(uint nodeId) => ([], []);
    }
}
