using Pilot.Engine.Streams;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Tunnels;

public sealed class TunnelTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    [Fact]
    public void First_contact_takes_two_round_trips_and_confirms_key_and_path()
    {
        var (_, a, b) = Wire.Pair();
        NodeEvent result = a.Ping(b)!.Value;
        Assert.Equal(ConnectionError.None, result.Error);
        Assert.Equal(PathKind.Direct, result.Path.Kind);
        Assert.True(a.Peer(b)!.IsConfirmed);
        Assert.True(b.Peer(a)!.IsConfirmed);
    }

    [Fact]
    public void A_frame_between_nodes_of_ours_marks_them_as_ours()
    {
        var (_, a, b) = Wire.Pair();
        a.Ping(b);
        Assert.True(a.Peer(b)!.IsOurs);
        Assert.True(b.Peer(a)!.IsOurs);
    }

    [Fact]
    public void Lost_key_exchange_frames_are_repeated_until_the_tunnel_stands()
    {
        for (int lost = 1; lost <= 6; lost++)
        {
            var (wire, a, b) = Wire.Pair();
            int dropped = 0;
            int limit = lost;
            wire.Filter = (_, _, datagram) => TunnelFrame.Classify(datagram) != DatagramKind.AuthenticatedKeyExchange || dropped++ >= limit;
            Assert.Equal(ConnectionError.None, a.Ping(b)!.Value.Error);
        }
    }

    [Fact]
    public void A_restarted_peer_is_reached_again_within_three_seconds()
    {
        var (wire, a, b) = Wire.Pair();
        a.Ping(b);
        b.Restart(2);
        Instant before = wire.Now;
        Assert.Equal(ConnectionError.None, a.Ping(b)!.Value.Error);
        Assert.True(wire.Now - before < 3 * Second, $"took {wire.Now - before}");
    }

    [Fact]
    public void A_restarted_node_reaches_its_peer_at_once()
    {
        var (wire, a, b) = Wire.Pair();
        a.Ping(b);
        a.Restart(2);
        Instant before = wire.Now;
        Assert.Equal(ConnectionError.None, a.Ping(b)!.Value.Error);
        Assert.True(wire.Now - before < Second, $"took {wire.Now - before}");
    }

    [Fact]
    public void A_replayed_key_exchange_from_elsewhere_moves_nothing()
    {
        var (wire, a, b) = Wire.Pair();
        a.Ping(b);
        byte[] recorded = wire.Log.First(l => l.From == b.Endpoint && TunnelFrame.Classify(l.Datagram) == DatagramKind.AuthenticatedKeyExchange).Datagram;
        var attacker = UdpEndpoint.FromIPv4(0xC6336401, 6666);
        for (int i = 0; i < 50; i++)
        {
            wire.Inject(attacker, a.Endpoint, recorded);
            wire.RunFor(TimeSpan.FromMilliseconds(100));
        }

        Assert.Equal(b.Endpoint, a.Peer(b)!.Path!.Value.Endpoint);
        Assert.Equal(ConnectionError.None, a.Ping(b)!.Value.Error);
    }

    [Fact]
    public void Frames_of_an_ended_session_are_refused_although_its_key_exchange_is_replayed()
    {
        var (wire, a, b) = Wire.Pair();
        a.Ping(b);
        byte[] exchange = wire.Log.First(l => l.From == b.Endpoint && TunnelFrame.Classify(l.Datagram) == DatagramKind.AuthenticatedKeyExchange).Datagram;
        List<byte[]> frames = wire.Log.Where(l => l.From == b.Endpoint && TunnelFrame.Classify(l.Datagram) == DatagramKind.Encrypted).Select(l => l.Datagram).ToList();
        b.Restart(2);
        Assert.Equal(ConnectionError.None, b.Ping(a)!.Value.Error);
        wire.RunFor(TimeSpan.FromSeconds(60));
        var attacker = UdpEndpoint.FromIPv4(0xC6336401, 6666);
        for (int i = 0; i < 5; i++)
        {
            wire.Inject(attacker, a.Endpoint, exchange);
            foreach (byte[] frame in frames)
            {
                wire.Inject(attacker, a.Endpoint, frame);
            }

            wire.RunFor(TimeSpan.FromMilliseconds(20));
        }

        // A frame that opened would make its source a candidate, and a candidate is pinged.
        Assert.DoesNotContain(wire.Log, l => l.To == attacker && TunnelFrame.Classify(l.Datagram) == DatagramKind.Encrypted);
        Assert.Equal(ConnectionError.None, a.Ping(b)!.Value.Error);
        Assert.Equal(b.Endpoint, a.Peer(b)!.Path!.Value.Endpoint);
    }

    [Fact]
    public void A_forged_frame_with_a_huge_counter_silences_nothing()
    {
        var (wire, a, b) = Wire.Pair();
        a.Ping(b);
        byte[] forged = wire.Log.Last(l => l.From == b.Endpoint && TunnelFrame.Classify(l.Datagram) == DatagramKind.Encrypted).Datagram.ToArray();
        forged.AsSpan(12, 8).Fill(0xFF);
        wire.Inject(b.Endpoint, a.Endpoint, forged);
        wire.RunFor(Second);
        Assert.Equal(ConnectionError.None, b.Ping(a, Second)!.Value.Error);
    }

    [Fact]
    public void Replayed_frames_are_refused()
    {
        var (wire, a, b) = Wire.Pair();
        a.Ping(b);
        byte[] recorded = wire.Log.Last(l => l.From == b.Endpoint && TunnelFrame.Classify(l.Datagram) == DatagramKind.Encrypted).Datagram;
        wire.RunFor(Second);
        ulong received = a.Node.Statistics.PacketsReceived;
        wire.Inject(UdpEndpoint.FromIPv4(0xC6336401, 6666), a.Endpoint, recorded);
        wire.RunFor(Second);
        Assert.Equal(received, a.Node.Statistics.PacketsReceived);
        Assert.Equal(1UL, a.Node.Statistics.Replays);
        Assert.Equal(b.Endpoint, a.Peer(b)!.Path!.Value.Endpoint);
    }

    [Fact]
    public void A_private_node_is_silent_to_strangers()
    {
        var wire = new Wire();
        WireNode stranger = wire.Add(7);
        WireNode node = wire.Add(9);
        stranger.Trust(node);
        stranger.Node.Ping(wire.Now, 9, 1, TimeSpan.FromSeconds(5));
        wire.RunFor(TimeSpan.FromSeconds(1)); // the registry refuses to tell where it is
        Assert.DoesNotContain(wire.Log, l => l.To == node.Endpoint);

        // Even if the stranger knows.
        node.IsLeaked = true;
        stranger.Node.Ping(wire.Now, 9, 2, TimeSpan.FromSeconds(5));
        wire.RunFor(TimeSpan.FromSeconds(20));
        Assert.DoesNotContain(wire.Log, l => l.From == node.Endpoint);
        Assert.Contains(wire.Log, l => l.From == stranger.Endpoint && l.To == node.Endpoint);
        Assert.Empty(node.Node.GetPeers(wire.Now));
    }

    [Fact]
    public void A_public_node_answers_every_registered_node()
    {
        var wire = new Wire();
        WireNode a = wire.Add(7);
        WireNode b = wire.Add(9, isPublic: true);
        Assert.Equal(ConnectionError.None, a.Ping(b)!.Value.Error);
    }

    [Fact]
    public void A_refused_resolve_fails_at_once_with_the_registrys_words()
    {
        var wire = new Wire();
        WireNode a = wire.Add(7);
        WireNode b = wire.Add(9);
        NodeEvent result = a.Ping(b)!.Value;
        Assert.Equal(ConnectionError.NotFound, result.Error);
        Assert.Equal("resolve node 9: registry: request failed", result.Detail);
    }

    [Fact]
    public void A_signature_by_another_key_is_refused()
    {
        var (wire, a, b) = Wire.Pair();
        a.Ping(b);
        var impostor = new Identity(new byte[32]);
        byte[] key = new byte[32];
        X25519.GetPublicKey(Enumerable.Repeat((byte)5, 32).ToArray(), key);
        byte[] frame = new byte[TunnelFrame.MarkedKeyExchangeSize];
        int length = AuthenticatedKeyExchange.Write(frame, b.NodeId, key, impostor, ExchangeMark.Request, 0);
        int before = wire.Log.Count(l => l.From == a.Endpoint);
        wire.Inject(b.Endpoint, a.Endpoint, frame[..length]);
        wire.RunFor(TimeSpan.FromMilliseconds(200));
        Assert.Equal(before, wire.Log.Count(l => l.From == a.Endpoint));
    }

    [Fact]
    public void The_peers_new_address_is_followed_after_a_round_trip()
    {
        var (wire, a, b) = Wire.Pair();
        a.Ping(b);
        b.Endpoint = UdpEndpoint.FromIPv4(0xCB0071F0, 5555);
        Assert.Equal(ConnectionError.None, b.Ping(a)!.Value.Error);
        wire.RunFor(Second);
        Assert.Equal(ConnectionError.None, a.Ping(b)!.Value.Error);
        wire.RunFor(Second);
        Assert.Equal(b.Endpoint, a.Peer(b)!.Path!.Value.Endpoint);
    }

    [Fact]
    public void A_tunnel_is_rekeyed_after_an_hour_of_use_without_losing_the_peer()
    {
        var (wire, a, b) = Wire.Pair();
        a.Ping(b);
        byte[] first = wire.Log.First(l => l.From == a.Endpoint && TunnelFrame.Classify(l.Datagram) == DatagramKind.AuthenticatedKeyExchange).Datagram[8..40];
        for (int i = 0; i < 14; i++)
        {
            wire.RunFor(TimeSpan.FromMinutes(5));
            Assert.Equal(ConnectionError.None, a.Ping(b, 2 * Second)!.Value.Error);
        }

        byte[] last = wire.Log.Last(l => l.From == a.Endpoint && TunnelFrame.Classify(l.Datagram) == DatagramKind.AuthenticatedKeyExchange).Datagram[8..40];
        Assert.NotEqual(first, last);
    }

    [Fact]
    public void Nonces_never_repeat_under_one_prefix()
    {
        var (wire, a, b) = Wire.Pair();
        for (uint i = 0; i < 5; i++)
        {
            a.Ping(b);
            (i % 2 == 0 ? a : b).Restart(i + 2);
            wire.RunFor(Second);
        }

        var nonces = wire.Log.Where(l => TunnelFrame.Classify(l.Datagram) == DatagramKind.Encrypted)
            .Select(l => (l.From, Convert.ToHexString(l.Datagram.AsSpan(8, 12)))).ToList();
        Assert.Equal(nonces.Count, nonces.Distinct().Count());
    }

    [Fact]
    public void Plaintext_and_unauthenticated_frames_change_nothing()
    {
        var (wire, a, b) = Wire.Pair();
        a.Ping(b);
        byte[] packet = new byte[64];
        int length = Packet.Write(packet.AsSpan(4), new PacketHeader { Protocol = PacketProtocol.Control, Source = PilotAddress.OfNode(9), Destination = PilotAddress.OfNode(7), SourcePort = 5 }, "hello"u8);
        "PILT"u8.CopyTo(packet);
        int sent = wire.Log.Count(l => l.From == a.Endpoint);
        wire.Inject(b.Endpoint, a.Endpoint, packet[..(4 + length)]);
        wire.Inject(b.Endpoint, a.Endpoint, [.. "PILK"u8, 0, 0, 0, 9, .. new byte[32]]);
        wire.Inject(b.Endpoint, a.Endpoint, [6, 0, 0, 0, 9, .. packet[..(4 + length)]]);
        wire.Inject(b.Endpoint, a.Endpoint, [4, 4, 1, 2, 3, 4, 0, 80]);
        wire.RunFor(Second);
        Assert.Equal(sent, wire.Log.Count(l => l.From == a.Endpoint));
    }
}
