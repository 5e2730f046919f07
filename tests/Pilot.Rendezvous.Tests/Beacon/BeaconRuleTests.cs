using Pilot.Protocol;
using Pilot.Rendezvous.Beacon;
using Pilot.Rendezvous.Tests.Registry;

namespace Pilot.Rendezvous.Tests.Beacon;

/// <summary>The stricter rules (spec 04 sections 4.1, 4.2, 4.5).</summary>
public sealed class BeaconRuleTests
{
    private const string A = "203.0.113.7:40001";
    private const string B = "198.51.100.23:4000";
    private const string Attacker = "192.0.2.66:666";

    private readonly BeaconSession _session = new();

    private void Join(uint id, string address)
    {
        _session.Prove(id, address);
        _session.Discover(id, address);
    }

    [Fact]
    public void Start_probe_is_answered_and_not_stored()
    {
        Assert.Single(_session.Receive(A, "0100000000"));
        Assert.Equal(0, _session.Machine.NodeCount);
    }

    [Fact]
    public void Entry_expires_and_relay_stops()
    {
        Join(5, A);
        Join(9, B);
        for (int i = 0; i < 4; i++)
        {
            _session.Advance(25);
            _session.Discover(5, A);
        }

        Assert.Null(_session.AddressOf(9));
        Assert.Empty(_session.Receive(A, "05000000050000000950494c50"));
        Assert.Equal(1, _session.Machine.NodeCount);
    }

    [Fact]
    public void Another_address_takes_a_fresh_entry_only_with_proof_from_the_registry()
    {
        Join(5, A);
        _session.Advance(10);
        _session.Discover(5, Attacker);
        Assert.Equal(A, _session.AddressOf(5));

        // The daemon restarted: it registered again from its address and sends from a new port.
        _session.Prove(5, "203.0.113.7:1");
        _session.Discover(5, "203.0.113.7:50505");
        Assert.Equal("203.0.113.7:50505", _session.AddressOf(5));

        // An old proof does not count against a newer entry.
        _session.Advance(1);
        _session.Discover(5, "203.0.113.7:60606");
        Assert.Equal("203.0.113.7:50505", _session.AddressOf(5));
    }

    [Fact]
    public void Another_address_takes_an_entry_that_is_not_refreshed()
    {
        Join(5, A);
        _session.Advance(46);
        _session.Discover(5, "203.0.113.200:7");
        Assert.Equal("203.0.113.200:7", _session.AddressOf(5));
    }

    [Fact]
    public void Squatter_loses_an_id_to_its_proven_owner_at_once()
    {
        _session.Discover(5, Attacker);
        Join(5, A);
        Assert.Equal(A, _session.AddressOf(5));
        _session.Discover(5, Attacker);
        Assert.Equal(A, _session.AddressOf(5));
    }

    [Fact]
    public void Endpoint_is_not_told_to_strangers()
    {
        Join(5, A);
        Join(9, B);
        Assert.Empty(_session.Receive(A, "030000000500000009"));
        // Neither by the invented id of a friend who is away, nor from another address than the friend's.
        _session.Allowed.Add((7, 9));
        Assert.Empty(_session.Receive(Attacker, "030000000700000009"));
        _session.Allowed.Add((5, 9));
        Assert.Empty(_session.Receive(Attacker, "030000000500000009"));
        Assert.Equal(2, _session.Receive(A, "030000000500000009").Length);
    }

    [Fact]
    public void Punching_at_each_other_is_consent()
    {
        Join(5, A);
        Join(9, B);
        Assert.Empty(_session.Receive(A, "030000000500000009"));
        Assert.Equal([$"{B} 0404cb0071079c41", $"{A} 0404c63364170fa0"], _session.Receive(B, "030000000900000005"));
        _session.Advance(11);
        Assert.Empty(_session.Receive(B, "030000000900000005"));
    }

    [Fact]
    public void Relay_only_from_the_senders_own_address()
    {
        Join(5, A);
        Join(9, B);
        Assert.Empty(_session.Receive(Attacker, "05000000050000000950494c50"));
        Assert.Single(_session.Receive(A, "05000000050000000950494c50"));
        Assert.Equal(1, _session.Machine.RelayedCount);
    }

    [Fact]
    public void Gossip_only_from_peers_and_forwarded_once()
    {
        Join(5, A);
        Assert.Empty(_session.Receive(Attacker, "070000000200010000000064"[..22]));
        Assert.Equal(0, _session.Machine.GossipCount);
        _session.Machine.SetPeers([BeaconSession.At("192.0.2.10:9001"), BeaconSession.At("192.0.2.11:9001")]);
        _session.Receive("192.0.2.10:9001", "0700000002000100000064");
        Assert.Equal(1, _session.Machine.GossipCount);
        Assert.Single(_session.Receive(A, "05000000050000006450494c50"));
        // From a beacon it is delivered to local nodes, and never forwarded.
        Assert.Empty(_session.Receive("192.0.2.11:9001", "05000000070000006450494c50"));
        Assert.Single(_session.Receive("192.0.2.11:9001", "05000000070000000550494c50"));
        _session.Advance(31);
        Assert.Equal(0, _session.Machine.GossipCount);
    }

    [Fact]
    public void Sync_goes_to_the_peers_every_ten_seconds()
    {
        Join(5, A);
        _session.Machine.SetPeers([BeaconSession.At("192.0.2.10:9001")]);
        _session.Sent.Clear();
        _session.Advance(9);
        Assert.Empty(_session.Sent);
        _session.Advance(1);
        // A reference reads what it knows; what follows tells one of ours that parts are understood.
        (UdpEndpoint to, string hex) = Assert.Single(_session.Sent);
        Assert.Equal(BeaconSession.At("192.0.2.10:9001"), to);
        Assert.StartsWith("0700000000000100000005" + "50584231", hex);
    }

    [Fact]
    public void Requests_are_limited_per_address()
    {
        int answered = Enumerable.Range(0, 100).Sum(_ => _session.Receive(Attacker, "0100000001").Length);
        Assert.Equal(60, answered);
        Assert.Single(_session.Receive(A, "0100000002"));
        _session.Advance(1);
        Assert.Equal(20, Enumerable.Range(0, 100).Sum(_ => _session.Receive(Attacker, "0100000001").Length));
    }

    [Fact]
    public void Punch_commands_are_limited_per_target()
    {
        Join(5, A);
        Join(9, B);
        _session.Allowed.Add((5, 9));
        int sent = Enumerable.Range(0, 40).Sum(_ => _session.Receive(A, "030000000500000009").Length);
        Assert.Equal(2 * 10, sent);
    }

    [Fact]
    public void Relayed_bytes_are_limited_per_sender()
    {
        var session = new BeaconSession(options: new BeaconOptions { RelayBytesPerSecond = 1300 });
        session.Prove(5, A);
        session.Discover(5, A);
        session.Prove(9, B);
        session.Discover(9, B);
        Assert.Equal(100, Enumerable.Range(0, 200).Sum(_ => session.Receive(A, "05000000050000000950494c50").Length));
        session.Advance(1);
        Assert.Single(session.Receive(A, "05000000050000000950494c50"));
    }

    [Fact]
    public void Table_is_capped_and_the_unproven_give_way()
    {
        var session = new BeaconSession(options: new BeaconOptions { MaxNodes = 100 });
        session.Prove(5, A);
        session.Discover(5, A);
        for (uint i = 0; i < 1000; i++)
        {
            session.Discover(1000 + i, $"10.{i / 250}.{i % 250}.1:1");
        }

        Assert.Equal(100, session.Machine.NodeCount);
        Assert.Equal(A, session.AddressOf(5));
    }

    [Fact]
    public void Registry_of_the_same_process_proves_and_allows()
    {
        var registry = new RegistrySession();
        TestNode a = registry.Register("203.0.113.7");
        TestNode b = registry.Register("198.51.100.23");
        var machine = new BeaconMachine(new BeaconOptions(), registry.Machine, registry.Now);
        var sink = new BeaconSession();
        void Receive(string from, string hex) => machine.Handle(registry.Now, BeaconSession.At(from), Convert.FromHexString(hex), sink);

        Receive(A, $"01{a.Id:x8}");
        Receive(B, $"01{b.Id:x8}");
        sink.Sent.Clear();
        Receive(A, $"03{a.Id:x8}{b.Id:x8}");
        Assert.Empty(sink.Sent);
        b.Report(a.Id);
        Receive(A, $"03{a.Id:x8}{b.Id:x8}");
        Assert.Equal(2, sink.Sent.Count);
    }
}
