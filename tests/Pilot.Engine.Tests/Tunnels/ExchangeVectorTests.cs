using System.Text.Json;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Tunnels;

/// <summary>
/// The scripts of kind "exchange" against our node as node b. Where the vector says what a correct node must do
/// instead of the recorded reference, that is asserted. Our X25519 key is fresh, so answers are compared by what they
/// are and by their signature, not byte for byte.
/// </summary>
public sealed class ExchangeVectorTests
{
    private const uint NodeA = 0x00010203;
    private const uint NodeB = 0xF2910004;
    private static readonly UdpEndpoint Sender = UdpEndpoint.FromIPv4(0x7F000001, 7000);
    private static readonly UdpEndpoint Beacon = UdpEndpoint.FromIPv4(0x7F000002, 9001);

    // RFC 8032 section 7.1, tests 1 and 2.
    private static readonly Identity IdentityA = new(Convert.FromHexString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
    private static readonly Identity IdentityB = new(Convert.FromHexString("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"));

    /// <summary>Vector and step → answers to the sender and to the beacon: A = PILA, P = PILP.</summary>
    private static readonly Dictionary<(string, int), (string Direct, string Relayed)> Expected = new()
    {
        [("exchange-pila-reply-rule", 0)] = ("A", ""),
        [("exchange-pila-reply-rule", 1)] = ("A", ""), // repairs a lost answer, at a limited rate
        [("exchange-pila-reply-rule", 2)] = ("A", ""),
        [("exchange-pila-reply-rule", 3)] = ("A", ""),
        [("exchange-relay", 0)] = ("", "A"),
        [("exchange-relay", 3)] = ("A", ""),
        [("exchange-attack-identity-substitution", 0)] = ("A", ""),
        [("exchange-attack-plaintext-and-spoofed-source", 1)] = ("A", ""),
        [("exchange-punch", 0)] = ("PPP", ""),
    };

    public static TheoryData<string> Names() => [.. Load().Where(v => Kind(v) == "exchange").Select(v => v.GetProperty("name").GetString()!)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Our_node_answers_as_a_correct_node_must(string name)
    {
        var now = new Instant(TimeSpan.FromHours(1).Ticks);
        var node = new Node(new NodeOptions { IsPublic = true }, IdentityB, new SeededRandom(5), now, DateTimeOffset.UnixEpoch.AddDays(20_000));
        node.SetRegistered(now, NodeB);
        node.SetBeacons(now, [Beacon]);
        int index = 0;
        foreach (JsonElement step in Load().Single(v => v.GetProperty("name").GetString() == name).GetProperty("expect").GetProperty("steps").EnumerateArray())
        {
            string hex = step.GetProperty("send_hex").GetString()!;
            byte[] datagram = hex.Contains('+') ? [.. Convert.FromHexString(hex[..12]), (byte)(Sender.Port >> 8), (byte)Sender.Port] : Convert.FromHexString(hex);
            bool fromBeacon = TunnelFrame.Classify(datagram) == DatagramKind.Beacon;
            node.ReceiveDatagram(now, fromBeacon ? Beacon : Sender, datagram);
            var (direct, relayed, delivered) = Drain(node, ref now);
            var expected = Expected.GetValueOrDefault((name, index), ("", ""));
            Assert.True(expected == (direct, relayed), $"{name} step {index} ({step.GetProperty("step").GetString()}): expected {expected}, was {(direct, relayed)}");
            Assert.False(delivered);
            now += TimeSpan.FromSeconds(1.1);
            index++;
        }
    }

    [Fact]
    public void Every_exchange_vector_is_known_here()
    {
        Assert.Equal(8, Load().Count(v => Kind(v) == "exchange"));
        Assert.All(Expected.Keys, key => Assert.Contains(Load(), v => v.GetProperty("name").GetString() == key.Item1));
    }

    private static (string Direct, string Relayed, bool Delivered) Drain(Node node, ref Instant now)
    {
        string direct = "";
        string relayed = "";
        bool delivered = false;
        byte[] buffer = new byte[1 << 17];
        for (int i = 0; i < 20; i++)
        {
            while (node.TryGetEvent(out NodeEvent e))
            {
                delivered |= e.Kind == NodeEventKind.Datagram;
                if (e.Kind == NodeEventKind.LookupNeeded)
                {
                    node.CompleteLookup(now, e.NodeId, new LookupAnswer(true, e.NodeId == NodeA ? IdentityA.PublicKey : null, []));
                }
            }

            int length;
            while ((length = node.Transmit(now, buffer, out Transmit transmit)) > 0)
            {
                byte[] datagram = buffer[..length];
                if (BeaconRelay.TryParse(datagram, out BeaconRelay relay) && transmit.Destination == Beacon)
                {
                    relayed += Letter(relay.Frame);
                }
                else if (transmit.Destination == Sender)
                {
                    direct += Letter(datagram);
                }
            }

            now += TimeSpan.FromMilliseconds(5);
            node.HandleTimeout(now);
        }

        return (direct, relayed, delivered);
    }

    private static string Letter(ReadOnlySpan<byte> frame)
    {
        switch (TunnelFrame.Classify(frame))
        {
            case DatagramKind.AuthenticatedKeyExchange:
                Assert.True(AuthenticatedKeyExchange.TryParse(frame, out AuthenticatedKeyExchange exchange));
                Assert.Equal(NodeB, exchange.NodeId);
                Assert.Equal(IdentityB.PublicKey, exchange.Ed25519PublicKey.ToArray());
                Assert.True(exchange.VerifySignature());
                return "A";
            case DatagramKind.Punch:
                return "P";
            default:
                return "";
        }
    }

    private static string Kind(JsonElement vector) => vector.GetProperty("kind").GetString()!;

    private static List<JsonElement> Load()
    {
        using JsonDocument document = JsonDocument.Parse(typeof(ExchangeVectorTests).Assembly.GetManifestResourceStream("Vectors/wire-exchange.json")!);
        return [.. document.RootElement.Clone().EnumerateArray()];
    }
}
