using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Pilot.Engine;
using Pilot.Ipc;
using Pilot.Protocol;

namespace Pilot.Daemon.Tests;

/// <summary>
/// Every kind of datagram (01 §4), forged and replayed at two running daemons from a wrong address and from the right one: their stream goes
/// on, no path moves, and the counters tell.
/// </summary>
public sealed class ForgeryTests : IAsyncLifetime
{
    private readonly TempDirectory _directory = new();
    private readonly FakeRegistry _registry = new();
    private readonly Crossing _crossing = new();
    private readonly FakeBeacon _beacon = new();
    private readonly Socket _attacker = Crossing.Open();
    private readonly Socket _trap = Crossing.Open();
    private TestDaemon _a = null!;
    private TestDaemon _b = null!;

    public async ValueTask InitializeAsync()
    {
        _a = await TestDaemon.StartAsync(Settings("a"));
        _b = await TestDaemon.StartAsync(Settings("b"));
        _crossing.Start(_a.Context.LocalEndpoint.Port, _b.Context.LocalEndpoint.Port);
        _registry.Script = request => (string)request["type"]! != "resolve" ? null : new JsonObject
        {
            ["type"] = "resolve_ok",
            ["node_id"] = (uint)request["node_id"]!,
            ["real_addr"] = ((uint)request["node_id"]! == _b.NodeId ? _crossing.SideOfA : _crossing.SideOfB).LocalEndPoint!.ToString(),
        };
        using var a = await _a.ConnectAsync();
        using var b = await _b.ConnectAsync();
        Assert.True((await a.CallAsync($$"""{"cmd":"handshake","node":{{_b.NodeId}}}""")).Ok);
        Assert.True((await b.CallAsync($$"""{"cmd":"handshake","node":{{_a.NodeId}}}""")).Ok);
        await UntilAsync(async () => await TrustsAsync(a) && await TrustsAsync(b));
    }

    public async ValueTask DisposeAsync()
    {
        await _a.DisposeAsync();
        await _b.DisposeAsync();
        await _registry.DisposeAsync();
        await _beacon.DisposeAsync();
        await _crossing.DisposeAsync();
        foreach (var socket in new[] { _attacker, _trap })
        {
            socket.Dispose();
        }

        _directory.Dispose();
    }

    [Fact]
    public async Task Nothing_forged_or_replayed_disturbs_two_daemons()
    {
        using var stream = await _a.ConnectAsync();
        Assert.True((await stream.CallAsync($$"""{"cmd":"dial","to":{{_b.NodeId}},"port":7}""")).Raw);
        await EchoAsync(stream, 300_000);
        await UntilAsync(async () => (await PeersAsync(_a)).Contains("direct", StringComparison.Ordinal) && (await PeersAsync(_b)).Contains("direct", StringComparison.Ordinal));
        var peers = (Canonical(await PeersAsync(_a)), Canonical(await PeersAsync(_b)));
        var before = (await CountersAsync(_a), await CountersAsync(_b));
        var mapping = _a.Context.Session.Endpoint;
        Assert.NotEmpty(mapping);

        var echo = EchoAsync(stream, 3_000_000);
        foreach (var (target, peer, rightSocket) in new[] { (_a, _b, _crossing.SideOfA), (_b, _a, _crossing.SideOfB) })
        {
            Attack(target, peer, rightSocket);
            var (_, replays, failures) = target == _a ? before.Item1 : before.Item2;
            await UntilAsync(async () => await CountersAsync(target) is var now && now.Replays > replays && now.Failures > failures);
        }

        await echo;
        await EchoAsync(stream, 300_000);
        Assert.Equal(peers, (Canonical(await PeersAsync(_a)), Canonical(await PeersAsync(_b))));
        Assert.Equal(mapping, _a.Context.Session.Endpoint);
        Assert.Equal(0, _trap.Available); // nobody was made to punch there
        foreach (var (now, then) in new[] { (await CountersAsync(_a), before.Item1), (await CountersAsync(_b), before.Item2) })
        {
            Assert.True(now.Refused >= then.Refused + 20, $"refused {now.Refused - then.Refused}");
            Assert.True(now.Replays >= then.Replays + 5, $"replays {now.Replays - then.Replays}");
            Assert.True(now.Failures >= then.Failures + 5, $"failures {now.Failures - then.Failures}");
        }
    }

    /// <summary>Past the crossing the two reach each other as well, and tell each other so in the tunnel: either endpoint is right, no third one is.</summary>
    private string Canonical(string peers) => peers
        .Replace($"127.0.0.1:{_a.Context.LocalEndpoint.Port} ", $"{_crossing.SideOfB.LocalEndPoint} ", StringComparison.Ordinal)
        .Replace($"127.0.0.1:{_b.Context.LocalEndpoint.Port} ", $"{_crossing.SideOfA.LocalEndPoint} ", StringComparison.Ordinal);

    private void Attack(TestDaemon target, TestDaemon peer, Socket rightSocket)
    {
        var captured = (target == _a ? _crossing.ToA : _crossing.ToB).ToArray();
        Assert.Contains(captured, static frame => TunnelFrame.Classify(frame) == DatagramKind.AuthenticatedKeyExchange);
        Assert.Contains(captured, static frame => TunnelFrame.Classify(frame) == DatagramKind.Encrypted);
        var to = new IPEndPoint(IPAddress.Loopback, target.Context.LocalEndpoint.Port);
        foreach (var frame in Replays(captured).Concat(Forgeries(captured, target.NodeId, peer.NodeId)))
        {
            _attacker.SendTo(frame, to);
            rightSocket.SendTo(frame, to);

            // From the real beacon, which forwards for everybody; and as if from it.
            byte[] relayed = [.. new byte[BeaconRelayDeliver.HeaderSize], .. frame];
            BeaconRelayDeliver.WriteHeader(relayed, peer.NodeId);
            _beacon.Socket.SendTo(relayed, to);
            _attacker.SendTo(relayed, to);
        }

        foreach (var message in BeaconMessages(target.NodeId))
        {
            _attacker.SendTo(message, to);
        }
    }

    private static IEnumerable<byte[]> Replays(byte[][] captured) =>
        captured.Where(static frame => TunnelFrame.Classify(frame) == DatagramKind.AuthenticatedKeyExchange).Take(4)
            .Concat(captured.Where(static frame => TunnelFrame.Classify(frame) == DatagramKind.Encrypted).Take(10))
            .Concat(captured.Where(static frame => TunnelFrame.Classify(frame) == DatagramKind.Encrypted).TakeLast(10));

    private static IEnumerable<byte[]> Forgeries(byte[][] captured, uint target, uint peer)
    {
        var exchange = captured.First(static frame => TunnelFrame.Classify(frame) == DatagramKind.AuthenticatedKeyExchange);
        var sealedFrame = captured.Last(static frame => TunnelFrame.Classify(frame) == DatagramKind.Encrypted);

        // PILA: another identity, a spoilt signature, a key under a foreign signature, cut.
        var own = new byte[TunnelFrame.MarkedKeyExchangeSize];
        foreach (var mark in new[] { ExchangeMark.None, ExchangeMark.Request, ExchangeMark.Answer })
        {
            var length = AuthenticatedKeyExchange.Write(own, peer, RandomNumberGenerator.GetBytes(32), Identity.Create(), mark, 1);
            yield return own[..length];
        }

        yield return Changed(exchange, 80);
        yield return Changed(exchange, 10);
        yield return exchange[..100];

        // PILS: every byte is covered, the nonce and the claimed sender too; counters far ahead must not close the window.
        foreach (var at in new[] { 5, 9, 13, 19, 25, sealedFrame.Length - 1 })
        {
            yield return Changed(sealedFrame, at);
        }

        var ahead = sealedFrame.ToArray();
        BinaryPrimitives.WriteUInt64BigEndian(ahead.AsSpan(12), ulong.MaxValue - 1);
        yield return ahead;
        yield return [.. sealedFrame.AsSpan(0, 20), .. RandomNumberGenerator.GetBytes(60)];
        yield return sealedFrame[..30];

        // PILK, PILP, PILT: a reset of every stream, in plain text.
        var unauthenticated = new byte[TunnelFrame.UnauthenticatedKeyExchangeSize];
        KeyExchange.Write(unauthenticated, peer, RandomNumberGenerator.GetBytes(32));
        yield return unauthenticated;
        yield return [.. "PILP"u8, .. new byte[8]];
        for (var port = 49152; port < 49160; port++)
        {
            var reset = new byte[TunnelFrame.PlaintextOverhead + Packet.HeaderSize];
            "PILT"u8.CopyTo(reset);
            Packet.Write(
                reset.AsSpan(TunnelFrame.PlaintextOverhead),
                new PacketHeader
                {
                    Flags = PacketFlags.Rst, Protocol = PacketProtocol.Stream, Source = PilotAddress.OfNode(peer), Destination = PilotAddress.OfNode(target),
                    SourcePort = 7, DestinationPort = (ushort)port,
                },
                []);
            yield return reset;
        }

        yield return "PILX and more"u8.ToArray();
    }

    private IEnumerable<byte[]> BeaconMessages(uint target)
    {
        var trap = UdpEndpoint.FromBytes([127, 0, 0, 1], (ushort)((IPEndPoint)_trap.LocalEndPoint!).Port);
        var buffer = new byte[64];
        yield return buffer[..new BeaconDiscoverReply(trap).Write(buffer)];
        yield return buffer[..new BeaconPunchCommand(trap).Write(buffer)];
        yield return buffer[..new BeaconDiscover(target).Write(buffer)];
        yield return [(byte)BeaconMessageType.PunchRequest, 0, 0, 0, 1, 0, 0, 0, 2];
        yield return [(byte)BeaconMessageType.Relay, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3];
        yield return [(byte)BeaconMessageType.Sync, 0, 0, 0, 1, 0, 1, 0, 0, 0, 2];
    }

    private static byte[] Changed(byte[] frame, int at)
    {
        var copy = frame.ToArray();
        copy[at] ^= 0x40;
        return copy;
    }

    private static async Task EchoAsync(TestClient stream, int length)
    {
        var data = RandomNumberGenerator.GetBytes(length);
        var sending = stream.SendAsync(data);
        Assert.Equal(SHA256.HashData(data), SHA256.HashData(await stream.ReadAsync(length)));
        await sending;
    }

    private static async Task<string> PeersAsync(TestDaemon daemon)
    {
        using var client = await daemon.ConnectAsync();
        var peers = (await client.CallAsync("""{"cmd":"peers"}""")).GetData(IpcJson.Context.PeersData).Peers;
        return string.Join(';', peers.Select(static peer => $"{peer.NodeId} {peer.Endpoint} {Kind(peer.Path)} {peer.Encrypted} {peer.Authenticated} {peer.Trusted}"));
    }

    // Whether it took a punch is known only when both sides have measured their NAT, which may be in the middle of the test.
    private static string? Kind(string? path) => path == PathName.HolePunch ? PathName.Direct : path;

    private static Task<(ulong Refused, ulong Replays, ulong Failures)> CountersAsync(TestDaemon daemon) => daemon.Context.Host.Loop.AskAsync(() =>
        (daemon.Context.Host.Node.Statistics.Refused, daemon.Context.Host.Node.Statistics.Replays, daemon.Context.Host.Node.Statistics.DecryptionFailures));

    private static async Task<bool> TrustsAsync(TestClient client) =>
        (await client.CallAsync("""{"cmd":"trusted"}""")).GetData(IpcJson.Context.TrustedData).Trusted.Count == 1;

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (!await condition())
        {
            await Task.Delay(20, limit.Token);
        }
    }

    private Configuration.DaemonSettings Settings(string name) =>
        TestDaemon.SettingsFor(_directory[name], _registry.Address) with { Beacons = [_beacon.Address] };

    /// <summary>The way between the two: each sees the other at a socket of the crossing, which keeps what goes through.</summary>
    private sealed class Crossing : IAsyncDisposable
    {
        private const int MaxKept = 20_000;
        private readonly CancellationTokenSource _stop = new();
        private Task _running = Task.CompletedTask;

        public Socket SideOfA { get; } = Open();

        public Socket SideOfB { get; } = Open();

        public ConcurrentQueue<byte[]> ToA { get; } = new();

        public ConcurrentQueue<byte[]> ToB { get; } = new();

        public static Socket Open()
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp) { ReceiveBufferSize = 4 << 20 };
            socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            return socket;
        }

        public void Start(int portOfA, int portOfB) => _running = Task.WhenAll(
            PassAsync(SideOfA, portOfA, SideOfB, portOfB, ToB), PassAsync(SideOfB, portOfB, SideOfA, portOfA, ToA));

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _running;
            SideOfA.Dispose();
            SideOfB.Dispose();
            _stop.Dispose();
        }

        private async Task PassAsync(Socket from, int sourcePort, Socket to, int targetPort, ConcurrentQueue<byte[]> kept)
        {
            var buffer = new byte[65536];
            var target = new IPEndPoint(IPAddress.Loopback, targetPort);
            try
            {
                while (true)
                {
                    var received = await from.ReceiveFromAsync(buffer, new IPEndPoint(IPAddress.Any, 0), _stop.Token);
                    if (((IPEndPoint)received.RemoteEndPoint).Port == sourcePort)
                    {
                        if (kept.Count < MaxKept)
                        {
                            kept.Enqueue(buffer[..received.ReceivedBytes]);
                        }

                        await to.SendToAsync(buffer.AsMemory(0, received.ReceivedBytes), target, _stop.Token);
                    }
                }
            }
            catch (OperationCanceledException)
            {
                // the test is over
            }
        }
    }
}
