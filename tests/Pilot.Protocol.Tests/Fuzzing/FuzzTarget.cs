using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Pilot.Protocol.Registry;
using Pilot.Protocol.Tests.Golden;
using Pilot.Protocol.Trust;

namespace Pilot.Protocol.Tests.Fuzzing;

/// <summary>One decoder: what it is fed with, how often, and what must hold whatever comes.</summary>
internal sealed record FuzzTarget(string Name, int Inputs, byte[][] Corpus, Action<byte[]> Decode)
{
    private static readonly byte[][] Datagrams = [.. HexOf("wire.json"), .. HexOf("beacon.json"), MarkedExchange()];
    private static readonly byte[][] Packets = [.. HexOf("wire.json"), .. HexOf("streams.json")];
    private static readonly byte[][] Requests = [.. Texts("registry.json", v => v.Name.StartsWith("core/", StringComparison.Ordinal), v => v.Inputs.Str("request"))];
    private static readonly byte[][] Responses = [.. Texts("registry.json", v => v.Name.StartsWith("core/", StringComparison.Ordinal), v => v.Text("text"))];

    public static IReadOnlyList<FuzzTarget> All { get; } =
    [
        new("packet", 200_000, Packets, DecodePacket),
        new("packet with a right checksum", 80_000, Packets, bytes => DecodePacket(WithRightChecksum(bytes))),
        new("tunnel frames", 250_000, Datagrams, DecodeTunnelFrame),
        new("encrypted frame", 80_000, Datagrams, DecodeEncrypted),
        new("signature of an exchange", 3_000, [MarkedExchange()], DecodeSignature),
        new("beacon messages", 200_000, Datagrams, DecodeBeacon),
        new("beacon extensions", 200_000, [.. Datagrams, .. BeaconExtensionTests.Samples()], DecodeBeaconExtension),
        new("endpoints message", 60_000, EndpointMessages(), DecodeEndpoints),
        new("sack", 100_000, [.. HexOf("streams.json")], DecodeSack),
        new("addresses", 100_000, AddressTexts(), DecodeAddress),
        new("registry frame", 60_000, [.. Requests.Select(Framed)], DecodeFrame),
        new("registry request", 40_000, Requests, DecodeRequest),
        new("registry responses", 30_000, Responses, DecodeResponse),
        new("trust message", 30_000, [.. Texts("trust.json", v => v.Name.StartsWith("msg_", StringComparison.Ordinal), v => v.Text("text"))], DecodeTrust),
        new("identity file", 12_000, [.. Texts("wire.json", v => v.Kind == "identity-file", v => v.Text("text"))], DecodeIdentity),
        new("hostname and base64", 50_000, [.. new[] { "agent-1", "localhost", "AA==", "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=" }.Select(Encoding.UTF8.GetBytes)], DecodeText),
        new("foreign keys", 2_000, [new byte[32], new byte[64]], DecodeKeys),
    ];

    private static IEnumerable<byte[]> HexOf(string file) =>
        VectorFile.Load(file).Where(v => v.HasHex && v.Text("hex").Length < 5_000).Select(v => v.Hex);

    private static IEnumerable<byte[]> Texts(string file, Func<Vector, bool> which, Func<Vector, string> text) =>
        VectorFile.Load(file).Where(which).Select(v => Encoding.UTF8.GetBytes(text(v)));

    private static byte[][] AddressTexts() =>
    [
        .. Texts("wire.json", v => v.Kind is "address" or "socket-address", v => v.Text("text")),
        .. new[] { "1.2.3.4:5", "[::1]:65535", "[2001:db8::7]:40002", "[::ffff:1.2.3.4]:1", "1.2.3.4", "fe80::1" }.Select(Encoding.UTF8.GetBytes),
    ];

    private static byte[][] EndpointMessages()
    {
        byte[] buffer = new byte[EndpointsMessage.MaxSize];
        var message = new EndpointsMessage(true, 4, [.. Enumerable.Range(1, 24).Select(i => ((EndpointSource)(1 + (i % 4)), i % 3 == 0 ? new UdpEndpoint(UInt128.MaxValue - (UInt128)i, 4000) : UdpEndpoint.FromIPv4((uint)i << 8, (ushort)i)))]);
        byte[] full = buffer[..message.Write(buffer)];
        return [full, [1, 0, 0, 0], [1, 1, 2, 1, 1, 4, 203, 0, 113, 7, 15, 160]];
    }

    private static byte[] MarkedExchange()
    {
        byte[] frame = new byte[TunnelFrame.MarkedKeyExchangeSize];
        AuthenticatedKeyExchange.Write(frame, 7, new byte[32], new Identity(new byte[32]), ExchangeMark.Answer, 9);
        return frame;
    }

    private static byte[] Framed(byte[] body)
    {
        var frame = new ArrayBufferWriter<byte>();
        RegistryFrame.Write(frame, body);
        return frame.WrittenSpan.ToArray();
    }

    private static byte[] WithRightChecksum(byte[] packet)
    {
        if (packet.Length >= Packet.HeaderSize)
        {
            int length = BinaryPrimitives.ReadUInt16BigEndian(packet.AsSpan(2));
            if (packet.Length >= Packet.HeaderSize + length)
            {
                BinaryPrimitives.WriteUInt32BigEndian(packet.AsSpan(30), Packet.Checksum(packet.AsSpan(0, Packet.HeaderSize + length)));
            }
        }

        return packet;
    }

    private static void DecodeEndpoints(byte[] bytes)
    {
        if (EndpointsMessage.TryParse(bytes, out EndpointsMessage message))
        {
            byte[] again = new byte[EndpointsMessage.MaxSize];
            int length = message.Write(again);
            Assert.True(length <= bytes.Length);
            Assert.True(EndpointsMessage.TryParse(again.AsSpan(0, length), out EndpointsMessage same));
            Assert.Equal(message.Endpoints, same.Endpoints);
            Assert.Equal((message.WantsAnswer, message.NatType), (same.WantsAnswer, same.NatType));
        }
    }

    private static void DecodePacket(byte[] bytes)
    {
        bool ok = Packet.TryParse(bytes, out PacketHeader header, out ReadOnlySpan<byte> payload, out PacketError error);
        Require(ok == (error == PacketError.None));
        if (ok)
        {
            byte[] written = new byte[Packet.HeaderSize + payload.Length];
            Packet.Write(written, header, payload);
            Require(bytes.AsSpan().StartsWith(written));
        }
        else
        {
            Require(payload.IsEmpty && header.Equals(default(PacketHeader)));
        }

        // Inside an authenticated frame the checksum may be left out; nothing else is different.
        bool mayDo = Packet.TryParseAuthenticated(bytes, out PacketHeader authenticated, out ReadOnlySpan<byte> same);
        Require(mayDo || !ok);
        Require(!ok || (authenticated.Equals(header) && same.SequenceEqual(payload)));
        Require(mayDo || (same.IsEmpty && authenticated.Equals(default(PacketHeader))));
        Require(Packet.TryParse(bytes, out _, out _) == ok);
    }

    private static void DecodeTunnelFrame(byte[] bytes)
    {
        DatagramKind kind = TunnelFrame.Classify(bytes);
        if (AuthenticatedKeyExchange.TryParse(bytes, out AuthenticatedKeyExchange exchange))
        {
            Require(kind == DatagramKind.AuthenticatedKeyExchange);
            Require(exchange.X25519PublicKey.Length + exchange.Ed25519PublicKey.Length + exchange.Signature.Length == 128);
            Require(exchange.Mark is ExchangeMark.None or ExchangeMark.Request or ExchangeMark.Answer);
            Require(exchange.Mark != ExchangeMark.None || exchange.AnsweredKeyPrefix == 0);
            _ = exchange.NodeId;
        }

        if (KeyExchange.TryParse(bytes, out KeyExchange unauthenticated))
        {
            Require(kind == DatagramKind.KeyExchange && unauthenticated.X25519PublicKey.Length == 32);
        }

        if (EncryptedFrame.TryParse(bytes, out EncryptedFrame encrypted))
        {
            Require(kind == DatagramKind.Encrypted && encrypted.Nonce.Length == 12 && encrypted.PacketLength == bytes.Length - 36);
            _ = (encrypted.NodeId, encrypted.NoncePrefix, encrypted.Counter);
        }

        if (PlaintextFrame.TryParse(bytes, out ReadOnlySpan<byte> packet))
        {
            Require(kind == DatagramKind.Plaintext && packet.Length == bytes.Length - 4);
            Require(Packet.TryParse(packet, out _, out ReadOnlySpan<byte> payload) || payload.IsEmpty);
        }

        Require(PunchFrame.TryParse(bytes) == (kind == DatagramKind.Punch));
    }

    [ThreadStatic]
    private static TunnelCipher? s_cipher;

    private static void DecodeEncrypted(byte[] bytes)
    {
        s_cipher ??= new TunnelCipher(new byte[TunnelKey.Size]);
        byte[] original = [.. bytes];
        Require(!s_cipher.TryOpenInPlace(bytes, out Span<byte> packet)); // nothing in the corpus has this key
        Require(packet.IsEmpty && bytes.AsSpan().SequenceEqual(original));
    }

    private static void DecodeSignature(byte[] bytes)
    {
        if (AuthenticatedKeyExchange.TryParse(bytes, out AuthenticatedKeyExchange exchange))
        {
            bool untouched = bytes.AsSpan(0, TunnelFrame.KeyExchangeSize).SequenceEqual(MarkedExchange().AsSpan(0, TunnelFrame.KeyExchangeSize));
            Require(exchange.VerifySignature() == untouched);
        }
    }

    private static void DecodeBeaconExtension(byte[] bytes)
    {
        BeaconExtension.TryGetType(bytes, out _);
        byte[] written = new byte[bytes.Length + 256];
        if (BeaconDiscoverExtension.TryParse(bytes, out BeaconDiscoverExtension discover))
        {
            Require(BeaconDiscover.TryParse(bytes, out _) && discover.Signature.Length is 0 or 64);
            Require(discover.Signature.IsEmpty || !discover.VerifySignature(7, new byte[31]));
        }

        if (BeaconReplyExtension.TryParse(bytes, out BeaconReplyExtension reply))
        {
            Require(BeaconDiscoverReply.TryParse(bytes, out BeaconDiscoverReply plain));
            Require(BeaconReplyExtension.TryParse(written.AsSpan(0, reply.Write(written, plain.Observed)), out BeaconReplyExtension again) && again == reply);
        }

        if (BeaconPunchRequestExtension.TryParse(bytes, out BeaconPunchRequestExtension request))
        {
            Require(BeaconPunchRequest.TryParse(bytes, out BeaconPunchRequest plain));
            Require(BeaconPunchRequestExtension.TryParse(written.AsSpan(0, request.Write(written, plain)), out BeaconPunchRequestExtension again) && again == request);
        }

        if (BeaconPunchCommandExtension.TryParse(bytes, out BeaconPunchCommandExtension command))
        {
            Require(BeaconPunchCommand.TryParse(bytes, out BeaconPunchCommand plain));
            Require(BeaconPunchCommandExtension.TryParse(written.AsSpan(0, command.Write(written, plain.Target)), out BeaconPunchCommandExtension again) && again == command);
        }

        Require(!BeaconPunchRefused.TryParse(bytes, out BeaconPunchRefused refused) || bytes.AsSpan().StartsWith(written.AsSpan(0, refused.Write(written))));
        Require(!BeaconRelayStatus.TryParse(bytes, out BeaconRelayStatus status) || bytes.AsSpan().StartsWith(written.AsSpan(0, status.Write(written))));
        Require(!BeaconProbe.TryParse(bytes, out BeaconProbe probe)
            || (BeaconProbe.TryParse(written.AsSpan(0, probe.Write(written)), out BeaconProbe sameProbe) && sameProbe == probe));
        Require(!BeaconProbeAnswer.TryParse(bytes, out BeaconProbeAnswer answer)
            || (BeaconProbeAnswer.TryParse(written.AsSpan(0, answer.Write(written)), out BeaconProbeAnswer sameAnswer) && sameAnswer == answer));
        Require(!HairpinProbe.TryParse(bytes, out HairpinProbe hairpin) || bytes.AsSpan().SequenceEqual(written.AsSpan(0, hairpin.Write(written))));
        if (BeaconSyncChunk.TryParse(bytes, out BeaconSyncChunk chunk))
        {
            Require(chunk.Index < chunk.Count && chunk.NodeCount <= BeaconSyncChunk.MaxNodes);
            Require(chunk.NodeCount == 0 || chunk[chunk.NodeCount - 1] == BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(23 + (4 * (chunk.NodeCount - 1)))));
            _ = chunk.Verify("key"u8);
        }

        foreach (BeaconExtensionType type in new[] { BeaconExtensionType.PunchForward, BeaconExtensionType.PunchFound, BeaconExtensionType.ProbeForward })
        {
            if (BeaconForward.TryParse(bytes, type, out BeaconForward forward))
            {
                Require(forward.Endpoint.Port != 0);
                _ = forward.Verify("key"u8);
            }
        }

        if (BeaconSync.TryParse(bytes, out BeaconSync sync))
        {
            BeaconSyncTrailer.TryVerify(bytes, sync.Count, [], out _);
            BeaconSyncTrailer.TryVerify(bytes, sync.Count, "key"u8, out _);
        }

        BeaconMac.Verify(bytes, "key"u8);
    }

    private static void DecodeBeacon(byte[] bytes)
    {
        BeaconMessage.TryGetType(bytes, out _);
        byte[] written = new byte[bytes.Length + BeaconDiscoverReply.MaxSize];
        if (BeaconDiscover.TryParse(bytes, out BeaconDiscover discover))
        {
            Require(bytes.AsSpan().StartsWith(written.AsSpan(0, discover.Write(written))));
        }

        if (BeaconDiscoverReply.TryParse(bytes, out BeaconDiscoverReply reply))
        {
            Require(BeaconDiscoverReply.TryParse(written.AsSpan(0, reply.Write(written)), out BeaconDiscoverReply again) && again == reply);
        }

        if (BeaconPunchRequest.TryParse(bytes, out BeaconPunchRequest request))
        {
            Require(bytes.AsSpan().StartsWith(written.AsSpan(0, request.Write(written))));
        }

        if (BeaconPunchCommand.TryParse(bytes, out BeaconPunchCommand command))
        {
            Require(BeaconPunchCommand.TryParse(written.AsSpan(0, command.Write(written)), out BeaconPunchCommand again) && again == command);
        }

        if (BeaconRelay.TryParse(bytes, out BeaconRelay relay))
        {
            Require(relay.Frame.Length == bytes.Length - BeaconRelay.HeaderSize);
        }

        if (BeaconRelayDeliver.TryParse(bytes, out BeaconRelayDeliver deliver))
        {
            Require(deliver.Frame.Length == bytes.Length - BeaconRelayDeliver.HeaderSize && deliver.Frame.Length > 0);
        }

        if (BeaconSync.TryParse(bytes, out BeaconSync sync))
        {
            ulong sum = 0;
            for (int i = 0; i < sync.Count; i++)
            {
                sum += sync[i];
            }

            Require(BeaconSync.HeaderSize + 4 * sync.Count <= bytes.Length && sum <= (ulong)sync.Count * uint.MaxValue);
        }
    }

    private static void DecodeSack(byte[] bytes)
    {
        Span<SackBlock> blocks = stackalloc SackBlock[Sack.MaxBlocks];
        bool ok = Sack.TryParse(bytes, blocks, out int count);
        Require(ok == Sack.LooksLikeSack(bytes));
        Require(ok ? count is >= 1 and <= Sack.MaxBlocks : count == 0);
        if (ok)
        {
            Span<byte> written = stackalloc byte[Sack.MaxSize];
            Require(bytes.AsSpan().StartsWith(written[..Sack.Write(written, blocks[..count])]));
        }
    }

    private static void DecodeAddress(byte[] bytes)
    {
        string text = Encoding.Latin1.GetString(bytes);
        if (PilotAddress.TryParse(text, out PilotAddress address))
        {
            Require(PilotAddress.Parse(address.ToString()) == address);
        }

        if (PilotEndpoint.TryParse(text, out PilotEndpoint endpoint))
        {
            Require(PilotEndpoint.TryParse(endpoint.ToString(), out PilotEndpoint again) && again == endpoint);
        }

        if (UdpEndpoint.TryParse(text, out UdpEndpoint udp))
        {
            Require(UdpEndpoint.TryParse(udp.ToString(), out UdpEndpoint again) && again == udp);
        }

        if (UdpEndpoint.TryParseIp(text, 1, out UdpEndpoint ip))
        {
            Require(UdpEndpoint.TryParseIp(ip.IpText(), 1, out UdpEndpoint again) && again == ip);
        }
    }

    private static void DecodeFrame(byte[] bytes)
    {
        RegistryFrameStatus bySpan = RegistryFrame.TryReadFrame(bytes, RegistryFrame.MaxRequestBody, out ReadOnlySpan<byte> body, out int consumed);
        ReadOnlySequence<byte> sequence = SegmentedSequence.Create(bytes, 3);
        RegistryFrameStatus bySequence = RegistryFrame.TryReadFrame(ref sequence, RegistryFrame.MaxRequestBody, out ReadOnlySequence<byte> pieces);
        Require(bySpan == bySequence && pieces.Length == body.Length && sequence.Length == bytes.Length - consumed);
    }

    private static void DecodeRequest(byte[] bytes)
    {
        if (!RegistryRequest.TryParse(bytes, out RegistryRequest? request))
        {
            return;
        }

        Require(!RequestMac.Verify(new byte[32], new byte[16], request!));
        foreach (string name in new[] { "type", "node_id", "signature", "tags", "lan_addrs", "public", "polo_score", "hostname" })
        {
            _ = (request!.GetString(name), request.GetBoolean(name), request.GetUInt32(name), request.GetUInt16(name));
            request.TryGetInteger(name, out _);
            IReadOnlyList<string>? strings = request.GetStrings(name);
            Require(strings is null || strings.All(s => s is not null));
            Require(request.Has(name) == !request.GetRaw(name).IsEmpty);
        }
    }

    private static void DecodeResponse(byte[] bytes)
    {
        RegistryJsonContext json = RegistryJson.Context;
        ErrorResponse? error;
        if (RegistryJson.TryReadResponse(bytes, json.LookupResponse, out LookupResponse? lookup, out error))
        {
            Require(error is not null || (lookup!.PublicKey is not null && lookup.Address is not null && (lookup.Tags is null || lookup.Tags.All(t => t is not null))));
            Require(error is null || error.Error is not null);
        }

        if (RegistryJson.TryReadResponse(bytes, json.PollHandshakesResponse, out PollHandshakesResponse? poll, out error) && error is null)
        {
            Require(poll!.Requests.All(r => r.Justification is not null) && poll.Responses.All(r => r is not null));
        }

        if (RegistryJson.TryReadResponse(bytes, json.ListNodesResponse, out ListNodesResponse? nodes, out error) && error is null)
        {
            Require(nodes!.Nodes.All(n => n.Address is not null));
        }

        RegistryJson.TryReadResponse(bytes, json.ResolveResponse, out ResolveResponse? _, out error);
        RegistryJson.TryReadResponse(bytes, json.RegisterResponse, out RegisterResponse? _, out error);
    }

    private static void DecodeTrust(byte[] bytes)
    {
        if (TrustMessage.TryParse(bytes, out TrustMessage? message))
        {
            Require(!message!.IsSignedBy(new byte[32], 1002));
            if (message.Type != TrustMessageType.Unknown)
            {
                Require(TrustMessage.TryParse(message.Encode(), out TrustMessage? again) && again == message);
            }
        }
    }

    private static void DecodeIdentity(byte[] bytes)
    {
        bool ok = Identity.TryParseJson(bytes, out Identity? identity, out string? error);
        Require(ok == (identity is not null) && ok == (error is null));
    }

    private static void DecodeText(byte[] bytes)
    {
        string text = Encoding.UTF8.GetString(bytes);
        Require(HostnameRules.TryValidate(text, out string? error) == (error is null));
        Span<byte> key = stackalloc byte[32];
        bool exact = StandardBase64.TryDecodeExact(text, key);
        Require(StandardBase64.TryDecode(text, out byte[]? decoded) || !exact);
        Require(exact == (decoded?.Length == 32));
    }

    private static void DecodeKeys(byte[] bytes)
    {
        Require(!Ed25519.Verify(bytes, [1], new byte[64]) || bytes.Length == 32);
        Require(!Ed25519.Verify(new byte[32], [1], bytes) || bytes.Length == 64);
        Span<byte> shared = stackalloc byte[32];
        byte[] own = [.. Enumerable.Repeat((byte)5, 32)];
        Require(!X25519.TryAgree(own, bytes, shared) || bytes.Length == 32);
        TunnelKey.TryDerive(own, bytes, shared);
        Require(!RequestMac.TryDeriveKey(own, own, bytes, isServer: true, new byte[16], own, shared) || bytes.Length == 32);
    }

    private static void Require(bool condition, [System.Runtime.CompilerServices.CallerArgumentExpression(nameof(condition))] string text = "")
    {
        if (!condition)
        {
            throw new InvalidOperationException(string.Create(CultureInfo.InvariantCulture, $"does not hold: {text}"));
        }
    }
}
