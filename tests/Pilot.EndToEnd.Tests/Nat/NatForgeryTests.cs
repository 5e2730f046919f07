using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Pilot.Client;
using Pilot.EndToEnd.Tests.Lab;
using Pilot.EndToEnd.Tests.Nat.Lab;
using Pilot.EndToEnd.Tests.Nat.Wire;
using Pilot.Ipc;

namespace Pilot.EndToEnd.Tests.Nat;

/// <summary>A stranger who may write any source address on a packet, and has heard some, changes no endpoint, no path and no relay flag.</summary>
public sealed class NatForgeryTests
{
    private const ushort Port = 4242;
    private const int Rounds = 20;

    [Fact]
    public async Task Forged_beacon_and_tunnel_messages_change_nothing_between_direct_peers()
    {
        await using LabPair pair = await LabPair.StartAsync(lab => lab.AddPublic("a"), lab => lab.AddPublic("b"));
        await pair.UntilRouteAsync(direct: true);
        Internet internet = pair.Lab.Internet;
        Site stranger = pair.Lab.AddPublic("stranger");
        Endpoint4 atStranger = new(Ipv4.Number(stranger.Outside), 6666);
        Endpoint4 beacon = Of(LabRendezvous.Beacon);
        await using RunningTransfer transfer = await RunningTransfer.StartAsync(pair.A, pair.B, Port);
        IReadOnlyList<byte[]> heard = await internet.CaptureAsync(pair.B.Site.Outside, pair.A.Site.Outside, () => transfer.FlowsAsync());
        IReadOnlyList<byte[]> told = await internet.CaptureAsync(NatLab.ServerAddress, pair.A.Site.Outside, async () => await pair.B.EchoAsync(pair.A));
        Assert.NotEmpty(heard);
        (string Endpoint, string Path, bool Relay, string Own) before = await ViewAsync(pair.A, pair.B);
        Endpoint4 a = Of((await pair.B.PeerAsync(pair.A))!.Endpoint);
        Endpoint4 b = Of(before.Endpoint);
        long toStranger = internet.UdpBytes(pair.A.Site.Outside, stranger.Outside);

        for (int round = 0; round < Rounds; round++)
        {
            foreach (byte[] message in Messages(pair.B.NodeId, atStranger))
            {
                foreach (Endpoint4 source in new[] { atStranger, beacon, b })
                {
                    internet.Inject(Ipv4.NewUdp(source, a, message));
                }
            }

            foreach (byte[] packet in heard.Concat(told).Take(200))
            {
                internet.Inject(packet); // as it was
                if (Ipv4.TryRead(packet, out Header4 header) && header.Protocol == Ipv4.Udp)
                {
                    byte[] moved = [.. packet];
                    Ipv4.SetSource(moved, header, atStranger);
                    internet.Inject(moved); // authentic bytes, another sender: only a fresh one would be evidence
                }
            }

            await transfer.FlowsAsync();
        }

        Assert.Equal(before, await ViewAsync(pair.A, pair.B));
        Assert.InRange(internet.UdpBytes(pair.A.Site.Outside, stranger.Outside) - toStranger, 0, 20_000); // key exchanges that were answered, no data
        (TimeSpan _, string path) = await pair.A.EchoAsync(pair.B);
        Assert.Equal(before.Path, path);
        await transfer.FinishAsync();
        Assert.Equal(before, await ViewAsync(pair.A, pair.B));
    }

    [Fact]
    public async Task Forged_beacon_messages_steal_no_relayed_traffic()
    {
        await using LabPair pair = await LabPair.StartAsync(lab => lab.AddBehind("a", NatRules.Symmetric), lab => lab.AddBehind("b", NatRules.Symmetric));
        await pair.UntilRouteAsync(direct: false);
        Site stranger = pair.Lab.AddPublic("stranger");
        using Socket socket = stranger.OpenUdp(6666);
        IPEndPoint beacon = IPEndPoint.Parse(LabRendezvous.Beacon);
        await using RunningTransfer transfer = await RunningTransfer.StartAsync(pair.A, pair.B, Port);
        long before = pair.Lab.Internet.UdpBytes(NatLab.ServerAddress, stranger.Outside);
        long sent = 0;
        for (int round = 0; round < Rounds; round++)
        {
            foreach (byte[] message in ToBeacon(pair.A.NodeId, pair.B.NodeId))
            {
                await socket.SendToAsync(message, beacon);
                pair.Lab.Internet.Inject(Ipv4.NewUdp(new Endpoint4(Ipv4.Number(pair.A.Site.Outside), 6666), Of(LabRendezvous.Beacon), message));
                sent += message.Length + 28;
            }

            await transfer.FlowsAsync();
        }

        // Answers to its own DISCOVERs may come (padded or not, never more than was sent); nobody's frames, nobody's endpoint.
        long answered = pair.Lab.Internet.UdpBytes(NatLab.ServerAddress, stranger.Outside) - before;
        byte[] buffer = new byte[2048];
        while (socket.Available > 0)
        {
            int length = socket.Receive(buffer);
            Assert.True(length > 0 && buffer[0] is not (4 or 6), $"the stranger got message {buffer[0]} ({length} bytes)");
        }

        Assert.True(answered <= sent * 36 / 28, $"{sent} bytes sent, {answered} answered"); // 5 bytes asked, 8 answered, 28 of headers each
        await pair.UntilRouteAsync(direct: false);
        await transfer.FinishAsync();
    }

    private static async Task<(string Endpoint, string Path, bool Relay, string Own)> ViewAsync(LabAgent agent, LabAgent peer)
    {
        PeerData data = (await agent.PeerAsync(peer))!;
        return (data.Endpoint, data.Path ?? string.Empty, data.Relay, (await agent.Client.GetInfoAsync()).Endpoint ?? string.Empty);
    }

    private static Endpoint4 Of(string endpoint)
    {
        IPEndPoint parsed = IPEndPoint.Parse(endpoint);
        return new Endpoint4(Ipv4.Number(parsed.Address.MapToIPv4()), (ushort)parsed.Port);
    }

    /// <summary>What a daemon might believe: spec 04 section 3, spec 01 section 4.</summary>
    private static IEnumerable<byte[]> Messages(uint peer, Endpoint4 stranger)
    {
        byte[] address = new byte[6];
        BinaryPrimitives.WriteUInt32BigEndian(address, stranger.Address);
        BinaryPrimitives.WriteUInt16BigEndian(address.AsSpan(4), stranger.Port);
        byte[] node = new byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(node, peer);
        byte[] exchange = [.. "PILA"u8, .. node, .. RandomNumberGenerator.GetBytes(128)];
        byte[] data = [.. "PILS"u8, .. node, .. RandomNumberGenerator.GetBytes(4), .. "\u007f\u007f\u007f\u007f\u007f\u007f\u007f\u007f"u8, .. RandomNumberGenerator.GetBytes(60)];
        yield return [2, 4, .. address]; // DISCOVER_REPLY
        yield return [4, 4, .. address]; // PUNCH_COMMAND
        yield return [6, .. node, 0]; // RELAY_DELIVER, one byte
        yield return [6, .. node, .. exchange];
        yield return [6, .. node, .. data];
        yield return exchange;
        yield return [.. "PILK"u8, .. node, .. RandomNumberGenerator.GetBytes(32)];
        yield return data;
        yield return [.. "PILP"u8];
        yield return [2, 4, .. address, .. "PXB1"u8, .. RandomNumberGenerator.GetBytes(40)]; // our extensions (docs/wire.md)
        yield return [4, 4, .. address, .. "PXB1"u8, .. node, .. RandomNumberGenerator.GetBytes(20)];
        for (byte type = 8; type <= 15; type++)
        {
            yield return [type, .. node, .. address, .. RandomNumberGenerator.GetBytes(30)];
            yield return [type, .. RandomNumberGenerator.GetBytes(40)];
        }
    }

    /// <summary>What a beacon might believe of a stranger who claims to be one of the two.</summary>
    private static IEnumerable<byte[]> ToBeacon(uint a, uint b)
    {
        byte[] nodes = new byte[8];
        BinaryPrimitives.WriteUInt32BigEndian(nodes, a);
        BinaryPrimitives.WriteUInt32BigEndian(nodes.AsSpan(4), b);
        yield return [1, .. nodes[..4]]; // DISCOVER as A
        yield return [1, .. nodes[4..]]; // DISCOVER as B
        yield return [3, .. nodes]; // PUNCH_REQUEST as A for B
        yield return [3, 0, 0, 0x7f, 0xff, .. nodes[4..]]; // as somebody else for B
        yield return [5, .. nodes, .. "PILS"u8, .. RandomNumberGenerator.GetBytes(80)]; // RELAY as A to B
        yield return [7, 0, 0, 0, 9, 0, 1, .. nodes[4..]]; // SYNC: B is here
        yield return [1, .. nodes[4..], .. "PXB1"u8, .. RandomNumberGenerator.GetBytes(90)]; // our extensions (docs/wire.md): as if signed
        yield return [3, .. nodes, .. "PXB1"u8, .. RandomNumberGenerator.GetBytes(20)];
        for (byte type = 8; type <= 15; type++)
        {
            yield return [type, .. nodes, .. RandomNumberGenerator.GetBytes(40)];
        }
    }
}
