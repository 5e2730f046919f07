using System.Text;
using System.Text.Json;
using Pilot.Protocol.Registry;

namespace Pilot.Protocol.Tests.Golden;

/// <summary>beacon.json (spec 04 section 16).</summary>
internal static class BeaconVectors
{
    // Well-formed messages that a beacon drops because of its state.
    private static readonly string[] StateOnly = ["neg_relay_unknown_dest"];

    public static IReadOnlyList<VectorRule> Rules { get; } =
    [
        VectorRule.Here("message", IsMessage, Message),
        VectorRule.Here("refused", IsRefused, Refused),
        VectorRule.Here("punch packet", VectorRule.Named("punch_packet"), PunchPacket),
        VectorRule.Here("registry frame", VectorRule.Named("beacon_register_frame", "beacon_list_frame"), RegistryRequestFrame),
        VectorRule.Here("registry text", v => !v.HasHex && !v.Name.StartsWith("healthz", StringComparison.Ordinal), RegistryText),
        VectorRule.Elsewhere("healthz", VectorRule.Prefix("healthz"), "Pilot.Rendezvous.Tests"),
    ];

    private static bool IsMessage(Vector v) => v.HasHex && v.Valid && v.Name is not ("punch_packet" or "beacon_register_frame" or "beacon_list_frame");

    private static bool IsRefused(Vector v) => v.HasHex && !v.Valid;

    /// <summary>Valid messages decode and encode to the same bytes. What they do to a beacon's or node's state is checked in Rendezvous and Engine tests.</summary>
    private static void Message(Vector v)
    {
        byte[] message = v.Hex;
        byte[] written = new byte[message.Length + 32];
        int length;
        switch ((BeaconMessageType)message[0])
        {
            case BeaconMessageType.Discover:
                Assert.True(BeaconDiscover.TryParse(message, out BeaconDiscover discover));
                Assert.Equal(v.Expect.U32("node_id"), discover.NodeId);
                length = discover.Write(written);
                break;
            case BeaconMessageType.DiscoverReply:
                Assert.True(BeaconDiscoverReply.TryParse(message, out BeaconDiscoverReply reply));
                CheckEndpoint(v, reply.Observed);
                length = reply.Write(written);
                if (v.Name is "client_parse_reply_v4mapped_ipv6" or "client_parse_reply_trailing")
                {
                    // Accepted in a form that nobody writes: ours comes out canonical.
                    Assert.Equal("0204cb0071079c41", Convert.ToHexStringLower(written.AsSpan(0, length)));
                    return;
                }

                break;
            case BeaconMessageType.PunchRequest:
                Assert.True(BeaconPunchRequest.TryParse(message, out BeaconPunchRequest request));
                Assert.Equal(new BeaconPunchRequest(v.Inputs.U32("requester_id"), v.Inputs.U32("target_id")), request);
                length = request.Write(written);
                break;
            case BeaconMessageType.PunchCommand:
                Assert.True(BeaconPunchCommand.TryParse(message, out BeaconPunchCommand command));
                CheckEndpoint(v, command.Target);
                length = command.Write(written);
                break;
            case BeaconMessageType.Relay:
                Assert.True(BeaconRelay.TryParse(message, out BeaconRelay relay));
                Assert.Equal((v.Expect.U32("sender_id"), v.Expect.U32("dest_id")), (relay.Sender, relay.Destination));
                length = BeaconRelay.WriteHeader(written, relay.Sender, relay.Destination);
                relay.Frame.CopyTo(written.AsSpan(length));
                length += relay.Frame.Length;
                break;
            case BeaconMessageType.RelayDeliver:
                length = Deliver(v, message, written);
                break;
            case BeaconMessageType.Sync:
                length = Sync(v, message, written);
                break;
            default:
                throw new InvalidOperationException($"{v}: unknown message");
        }

        Assert.Equal(message, written[..length]);
    }

    private static int Deliver(Vector v, byte[] message, byte[] written)
    {
        if (v.Name == "relay_empty_payload")
        {
            // A beacon forwards it, a node drops it.
            Assert.False(BeaconRelayDeliver.TryParse(message, out _));
            Assert.True(BeaconRelay.TryParse(v.Inputs.HexOf("request_hex"), out BeaconRelay empty));
            Assert.True(empty.Frame.IsEmpty);
            return BeaconRelayDeliver.WriteHeader(written, empty.Sender);
        }

        Assert.True(BeaconRelayDeliver.TryParse(message, out BeaconRelayDeliver deliver));
        if (v.Expect.TryGetProperty("sender_id", out JsonElement sender))
        {
            Assert.Equal(sender.GetUInt32(), deliver.Sender);
            Assert.Equal(v.Expect.Str("payload_hex"), Convert.ToHexStringLower(deliver.Frame));
        }

        if (v.Inputs.TryGetProperty("request_hex", out JsonElement request))
        {
            // Forwarding in place: the RELAY's bytes from offset 4 on become the RELAY_DELIVER.
            byte[] inPlace = Convert.FromHexString(request.GetString()!);
            Assert.True(BeaconRelay.TryParse(inPlace, out BeaconRelay relay));
            BeaconRelayDeliver.WriteHeader(inPlace.AsSpan(4), relay.Sender);
            Assert.Equal(message, inPlace[4..]);
        }

        int length = BeaconRelayDeliver.WriteHeader(written, deliver.Sender);
        deliver.Frame.CopyTo(written.AsSpan(length));
        return length + deliver.Frame.Length;
    }

    private static int Sync(Vector v, byte[] message, byte[] written)
    {
        Assert.True(BeaconSync.TryParse(message, out BeaconSync sync));
        uint[] nodes = new uint[sync.Count];
        for (int i = 0; i < nodes.Length; i++)
        {
            nodes[i] = sync[i];
        }

        Assert.Equal(v.Inputs.U32("beacon_id"), sync.BeaconId);
        if (v.Inputs.TryGetProperty("nodes", out JsonElement expected))
        {
            Assert.Equal(expected.EnumerateArray().Select(n => n.GetUInt32()), nodes);
        }

        int length = BeaconSync.Write(written, sync.BeaconId, nodes);
        if (v.Name == "sync_extra_ids_ignored")
        {
            Assert.Equal([100u], nodes);
            message.AsSpan(length).CopyTo(written.AsSpan(length));
            length = message.Length;
        }

        return length;
    }

    private static void CheckEndpoint(Vector v, UdpEndpoint endpoint)
    {
        string text = v.Expect.TryGetProperty("endpoint", out JsonElement whole)
            ? whole.GetString()!
            : v.Expect.Str("ip").Contains(':', StringComparison.Ordinal)
                ? $"[{v.Expect.Str("ip")}]:{v.Expect.U16("port")}"
                : $"{v.Expect.Str("ip")}:{v.Expect.U16("port")}";
        Assert.Equal(text, endpoint.ToString());
        Assert.True(UdpEndpoint.TryParse(text, out UdpEndpoint parsed));
        Assert.Equal(endpoint, parsed);
    }

    /// <summary>Messages of the wrong direction are well-formed; the receiver's role decides. Here: none of the decoders of that receiver takes it.</summary>
    private static void Refused(Vector v)
    {
        byte[] message = v.Hex;
        if (StateOnly.Contains(v.Name))
        {
            Assert.True(BeaconRelay.TryParse(message, out BeaconRelay relay));
            Assert.NotEqual(0u, relay.Destination);
            return;
        }

        bool taken = v.Inputs.Str("receiver") switch
        {
            "beacon" => BeaconDiscover.TryParse(message, out _)
                || BeaconPunchRequest.TryParse(message, out _)
                || BeaconRelay.TryParse(message, out _)
                || BeaconSync.TryParse(message, out _),
            "daemon" => BeaconPunchCommand.TryParse(message, out _) || BeaconRelayDeliver.TryParse(message, out _),
            "daemon STUN client" => BeaconDiscoverReply.TryParse(message, out _),
            string other => throw new InvalidOperationException($"unknown receiver {other}"),
        };
        Assert.False(taken);
    }

    private static void PunchPacket(Vector v)
    {
        byte[] written = new byte[PunchFrame.Size];
        Assert.Equal(PunchFrame.Size, PunchFrame.Write(written));
        Assert.Equal(v.Hex, written);
        Assert.True(PunchFrame.TryParse(v.Hex));
        Assert.Equal(DatagramKind.Punch, TunnelFrame.Classify(v.Hex));
    }

    private static void RegistryRequestFrame(Vector v)
    {
        byte[] frame = v.Hex;
        Assert.Equal(RegistryFrameStatus.Complete, RegistryFrame.TryReadFrame(frame, RegistryFrame.MaxRequestBody, out ReadOnlySpan<byte> body, out int consumed));
        Assert.Equal(frame.Length, consumed);
        Assert.Equal(v.Text("text"), Encoding.UTF8.GetString(body));
        byte[] written = v.Name == "beacon_list_frame"
            ? RegistryFrame.Encode(new BeaconListRequest(), RegistryJson.Context.BeaconListRequest)
            : RegistryFrame.Encode(
                new BeaconRegisterRequest { BeaconId = v.Inputs.U32("beacon_id"), Addr = v.Inputs.Str("addr") },
                RegistryJson.Context.BeaconRegisterRequest);
        Assert.Equal(frame, written);
    }

    private static void RegistryText(Vector v)
    {
        if (v.Inputs.TryGetProperty("request_text", out JsonElement request))
        {
            RegistryCodec.CheckRequest(request.GetString()!);
        }

        RegistryCodec.CheckResponse(v.Text("text"));
    }
}
