using Pilot.Protocol;
using Pilot.Rendezvous.Beacon;

namespace Pilot.Rendezvous.Tests.Beacon;

/// <summary>What our beacon does for our nodes (docs/wire.md), and what it does not do for anybody else.</summary>
public sealed class BeaconExtensionTests : IBeaconSink, IBeaconDirectory
{
    private static readonly UdpEndpoint A = BeaconSession.At("203.0.113.7:40001");
    private static readonly UdpEndpoint B = BeaconSession.At("198.51.100.23:4000");
    private static readonly UdpEndpoint Attacker = BeaconSession.At("192.0.2.66:666");
    private static readonly UdpEndpoint One = BeaconSession.At("192.0.2.10:9001");
    private static readonly UdpEndpoint Two = BeaconSession.At("192.0.2.11:9001");
    private static readonly byte[] Key = new byte[32];

    private readonly Identity _identity = new(new byte[32]);
    private readonly List<(BeaconOrigin From, UdpEndpoint To, byte[] Bytes)> _sent = [];
    private readonly HashSet<uint> _proven = [];
    private readonly BeaconMachine _machine;
    private DateTimeOffset _now = new(2026, 11, 21, 0, 0, 0, TimeSpan.Zero);

    public BeaconExtensionTests()
    {
        _machine = new BeaconMachine(new BeaconOptions(), this, _now);
        _machine.SetPlaces(new BeaconPlaces(9002, 9003, 9004, BeaconSession.At("192.0.2.99:9005"), true, true));
    }

    void IBeaconSink.Send(UdpEndpoint destination, ReadOnlySpan<byte> datagram) => _sent.Add((BeaconOrigin.Main, destination, datagram.ToArray()));

    void IBeaconSink.Send(BeaconOrigin origin, UdpEndpoint destination, ReadOnlySpan<byte> datagram) => _sent.Add((origin, destination, datagram.ToArray()));

    bool IBeaconDirectory.MayPunch(uint requester, uint target) => true;

    bool IBeaconDirectory.HasProof(uint node, UInt128 address, DateTimeOffset since) => _proven.Contains(node);

    byte[]? IBeaconDirectory.KeyOf(uint node) => node == 5 ? _identity.PublicKey : null;

    [Fact]
    public void Token_is_echoed_and_a_signature_with_the_cookie_makes_the_node_known()
    {
        BeaconReplyExtension first = Discover(A, 5, token: 11, cookie: 0);
        Assert.Equal((11ul, (ushort)9002, 0), (first.Token, first.Port1, (int)(first.Capabilities & BeaconCapabilities.KnowsSender)));
        Assert.NotEqual(0ul, first.Cookie);
        BeaconReplyExtension second = Discover(A, 5, 12, first.Cookie, _identity);
        Assert.NotEqual(0, (int)(second.Capabilities & BeaconCapabilities.KnowsSender));

        // A signed entry goes to nobody who does not sign, whatever the registry saw at a shared address; its owner moves at once.
        _now += TimeSpan.FromSeconds(10);
        _proven.Add(5);
        Discover(Attacker, 5, 13, 0);
        Assert.Equal(A, Address(5));
        Discover(Attacker, 5, 13, first.Cookie, _identity); // recorded: the cookie is another address's
        Assert.Equal(A, Address(5));
        ulong cookie = Discover(B, 5, 14, 0).Cookie;
        Discover(B, 5, 15, cookie, _identity);
        Assert.Equal(B, Address(5));
    }

    [Fact]
    public void References_get_what_they_always_got()
    {
        Receive(A, "0100000005");
        Assert.Equal("0204cb0071079c41", Convert.ToHexStringLower(Assert.Single(_sent).Bytes));
    }

    [Fact]
    public void Probes_come_from_elsewhere_and_only_to_who_shows_a_cookie()
    {
        ulong cookie = Discover(A, 5, 1, 0).Cookie;
        Probe(A, new BeaconProbe(BeaconProbeKind.OtherPort, 7, cookie, A));
        Assert.Equal([(BeaconOrigin.Hidden, A), (BeaconOrigin.Main, A)], _sent.Select(s => (s.From, s.To)));
        Assert.True(_sent.Sum(s => s.Bytes.Length) <= BeaconProbe.Size);
        Probe(A, new BeaconProbe(BeaconProbeKind.OtherAddress, 7, cookie, A));
        Assert.Equal(BeaconOrigin.HiddenElsewhere, _sent[0].From);
        Probe(A, new BeaconProbe(BeaconProbeKind.ToldPort, 7, cookie, A));
        Assert.Equal(BeaconOrigin.Told, _sent[0].From);
        Probe(Attacker, new BeaconProbe(BeaconProbeKind.OtherPort, 7, cookie, A));
        Assert.Empty(_sent);
        Probe(A, new BeaconProbe(BeaconProbeKind.OtherPort, 7, cookie ^ 2, A));
        Assert.Empty(_sent);
        Probe(A, new BeaconProbe(BeaconProbeKind.OtherPort, 7, cookie, B));
        Assert.Empty(_sent);
        _now += TimeSpan.FromMinutes(11);
        Probe(A, new BeaconProbe(BeaconProbeKind.OtherPort, 7, cookie, A));
        Assert.Empty(_sent);
    }

    [Fact]
    public void Punch_commands_carry_token_and_node_and_refusals_say_nothing()
    {
        ulong cookie = Discover(A, 5, 1, 0).Cookie;
        Discover(A, 5, 11, cookie, _identity);
        Punch(A, 5, 9, 11);
        Assert.True(BeaconPunchRefused.TryParse(Assert.Single(_sent).Bytes, out BeaconPunchRefused refused));
        Assert.Equal(new BeaconPunchRefused(11, 9), refused);

        _proven.Add(9);
        Receive(B, "0100000009");
        Punch(A, 5, 9, 11);
        Assert.Equal([A, B], _sent.Select(s => s.To));
        Assert.True(BeaconPunchCommandExtension.TryParse(_sent[0].Bytes, out BeaconPunchCommandExtension command));
        Assert.Equal(new BeaconPunchCommandExtension(11, 9), command);
        Assert.Equal(8, _sent[1].Bytes.Length); // toward a reference
    }

    [Fact]
    public void An_address_that_shows_nothing_gets_no_more_than_it_sent()
    {
        ulong cookie = Discover(A, 5, 1, 0).Cookie;
        Discover(A, 5, 11, cookie, _identity);
        Receive(B, "0100000009"); // B may never have sent this
        for (int i = 0; i < 50; i++)
        {
            byte[] relay = new byte[109];
            BeaconRelay.WriteHeader(relay, 5, 9);
            Receive(A, Convert.ToHexStringLower(relay));
            Assert.Empty(_sent);
        }

        Assert.Equal(50, _machine.Counters.DroppedUnverified);
        _proven.Add(9);
        Receive(B, "0100000009");
        byte[] again = new byte[109];
        BeaconRelay.WriteHeader(again, 5, 9);
        Receive(A, Convert.ToHexStringLower(again));
        Assert.Single(_sent);
    }

    [Fact]
    public void An_overloaded_beacon_tells_the_sender_once_a_second()
    {
        ulong cookie = Discover(A, 5, 1, 0).Cookie;
        Discover(A, 5, 11, cookie, _identity);
        _sent.Clear();
        for (int i = 0; i < 10; i++)
        {
            _machine.OnOverload(_now, 5, 3, this);
        }

        Assert.True(BeaconRelayStatus.TryParse(Assert.Single(_sent).Bytes, out BeaconRelayStatus status));
        Assert.Equal(11ul, status.Token);
        Assert.Equal(30, _machine.Counters.DroppedOverload);
        Assert.NotEqual(0, (int)(Discover(A, 5, 12, cookie).Capabilities & BeaconCapabilities.Overloaded));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Two_beacons_share_many_nodes_in_parts_punch_and_relay_across(bool sameKey)
    {
        var one = new BeaconMachine(new BeaconOptions { Key = Key, RequestsPerSecond = 100_000 }, null, _now);
        var two = new BeaconMachine(new BeaconOptions { Key = sameKey ? Key : [1, .. Key], RequestsPerSecond = 100_000 }, null, _now);
        one.SetPeers([Two]);
        two.SetPeers([One]);
        two.SetPlaces(new BeaconPlaces(0, 0, 0, default, true, false));
        void Exchange()
        {
            for (int round = 0; round < 4; round++)
            {
                var batch = _sent.ToArray();
                _sent.Clear();
                foreach ((BeaconOrigin from, UdpEndpoint to, byte[] bytes) in batch)
                {
                    if (to == One)
                    {
                        one.Handle(_now, Two, bytes, this);
                    }
                    else if (to == Two)
                    {
                        two.Handle(_now, One, bytes, this);
                    }
                    else
                    {
                        _sent.Add((from, to, bytes));
                    }
                }
            }
        }

        for (int i = 0; i < 3; i++)
        {
            _now += TimeSpan.FromSeconds(10);
            for (uint id = 100_000; id < 120_000; id++)
            {
                two.Handle(_now, B, Convert.FromHexString($"01{id:x8}"), this);
            }

            one.Handle(_now, A, Convert.FromHexString("0100000005"), this);
            _sent.Clear();
            one.Tick(_now, this);
            two.Tick(_now, this);
            Exchange();
        }

        Assert.Equal(sameKey ? 20_000 : 0, one.GossipCount);
        _sent.Clear();
        one.Handle(_now, A, Convert.FromHexString("030000000500019000"), this); // 102,400
        Exchange();
        Assert.Equal(sameKey ? [A, B] : [], _sent.Select(s => s.To).Order(Comparer<UdpEndpoint>.Create((x, y) => x == A ? -1 : 1)));
        _sent.Clear();
        one.Handle(_now, A, Convert.FromHexString("05000000050001900050494c50"), this);
        Exchange();
        Assert.Equal(sameKey ? ["060000000550494c50"] : Array.Empty<string>(), _sent.Select(s => Convert.ToHexStringLower(s.Bytes)));
        _sent.Clear();
        two.SayGoodbye(_now, this);
        Exchange();
        Assert.Equal(0, one.GossipCount);
    }

    private BeaconReplyExtension Discover(UdpEndpoint from, uint node, ulong token, ulong cookie, Identity? signer = null)
    {
        byte[] message = new byte[BeaconDiscoverExtension.SignedSize];
        int length = BeaconDiscoverExtension.Write(message, node, token, cookie, signer);
        _sent.Clear();
        _machine.Handle(_now, from, message.AsSpan(0, length), this);
        (_, UdpEndpoint to, byte[] bytes) = Assert.Single(_sent);
        Assert.Equal(from, to);
        Assert.True(bytes.Length <= length);
        Assert.True(BeaconReplyExtension.TryParse(bytes, out BeaconReplyExtension reply));
        return reply;
    }

    private void Probe(UdpEndpoint from, BeaconProbe probe)
    {
        byte[] message = new byte[BeaconProbe.Size];
        probe.Write(message);
        _sent.Clear();
        _machine.Handle(_now, from, message, this);
    }

    private void Punch(UdpEndpoint from, uint requester, uint target, ulong token)
    {
        byte[] message = new byte[BeaconPunchRequestExtension.Size];
        new BeaconPunchRequestExtension(token).Write(message, new BeaconPunchRequest(requester, target));
        _sent.Clear();
        _machine.Handle(_now, from, message, this);
    }

    private void Receive(UdpEndpoint from, string hex)
    {
        _sent.Clear();
        _machine.Handle(_now, from, Convert.FromHexString(hex), this);
    }

    private UdpEndpoint? Address(uint node) => _machine.TryGetAddress(_now, node, out UdpEndpoint address) ? address : null;
}
