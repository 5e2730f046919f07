using System.Text.Json;

namespace Pilot.Protocol.Tests.Golden;

/// <summary>streams.json, the byte-level part: packets, SACK and serial arithmetic (spec 02).</summary>
internal static class StreamVectors
{
    public static IReadOnlyList<VectorRule> Rules { get; } =
    [
        VectorRule.Here("sack-encode", VectorRule.Prefix("sack-encode"), SackEncode),
        VectorRule.Here("sack-decode", VectorRule.Prefix("sack-decode"), SackDecode),
        VectorRule.Here("sack-generate", VectorRule.Prefix("sack-generate"), SackGenerate),
        VectorRule.Here("seq-after", VectorRule.Named("seq-after"), SequenceAfter),
        VectorRule.Here("pkt", v => v.Name.StartsWith("pkt-", StringComparison.Ordinal) && !v.Name.StartsWith("pkt-neg-", StringComparison.Ordinal), GoodPacket),
        VectorRule.Here("pkt-neg", VectorRule.Prefix("pkt-neg-"), BadPacket),
        VectorRule.Elsewhere("congestion control", VectorRule.Prefix("cc-"), "Pilot.Engine.Tests"),
        VectorRule.Elsewhere("timers", VectorRule.Named("rto-trace", "dial-schedule"), "Pilot.Engine.Tests"),
        VectorRule.Elsewhere("script", VectorRule.Prefix("script-"), "Pilot.Engine.Tests"),
    ];

    private static SackBlock[] Blocks(JsonElement list) =>
        [.. list.EnumerateArray().Select(b => new SackBlock(b[0].GetUInt32(), b[1].GetUInt32()))];

    private static void SackEncode(Vector v)
    {
        byte[] written = new byte[Sack.MaxSize];
        int length = Sack.Write(written, Blocks(v.Inputs.GetProperty("blocks")));
        Assert.Equal(v.Hex, written[..length]);
        SackDecode(v);
    }

    private static void SackDecode(Vector v)
    {
        var blocks = new SackBlock[Sack.MaxBlocks];
        bool decoded = Sack.TryParse(v.Hex, blocks, out int count);
        Assert.Equal(v.Valid, decoded);
        Assert.Equal(v.Valid, Sack.LooksLikeSack(v.Hex));
        SackBlock[] expected = v.Json.TryGetProperty("decoded_blocks", out JsonElement list) ? Blocks(list) : [];
        Assert.Equal(expected, blocks[..count]);
    }

    /// <summary>How the blocks come about is the engine's part; that they are these bytes is shown here.</summary>
    private static void SackGenerate(Vector v)
    {
        SackBlock[] expected = Blocks(v.Json.GetProperty("sack_blocks"));
        byte[] written = new byte[Sack.MaxSize];
        Assert.Equal(v.Hex, written[..Sack.Write(written, expected)]);
        var blocks = new SackBlock[Sack.MaxBlocks];
        Assert.Equal(expected.Length > 0, Sack.TryParse(v.Hex, blocks, out int count));
        Assert.Equal(expected, blocks[..count]);
    }

    private static void SequenceAfter(Vector v)
    {
        int rows = 0;
        foreach (JsonElement row in v.Json.GetProperty("table").EnumerateArray())
        {
            rows++;
            uint a = row.U32("a");
            uint b = row.U32("b");
            Assert.Equal(row.GetProperty("a_after_b").GetBoolean(), SequenceNumber.IsAfter(a, b));
            Assert.Equal(row.GetProperty("a_after_b").GetBoolean(), SequenceNumber.IsBefore(b, a));
        }

        Assert.True(rows > 5);
    }

    private static void GoodPacket(Vector v)
    {
        byte[] packet = v.Hex;
        Assert.True(Packet.TryParse(packet, out PacketHeader header, out ReadOnlySpan<byte> payload));
        JsonElement fields = v.Inputs;
        var expected = new PacketHeader
        {
            Protocol = (PacketProtocol)fields.GetProperty("protocol").GetByte(),
            Flags = (PacketFlags)fields.GetProperty("flags_value").GetByte(),
            Source = PilotAddress.Parse(fields.Str("src")),
            Destination = PilotAddress.Parse(fields.Str("dst")),
            SourcePort = fields.U16("src_port"),
            DestinationPort = fields.U16("dst_port"),
            Sequence = fields.U32("seq"),
            Acknowledgement = fields.U32("ack"),
            Window = fields.U16("window"),
        };
        Assert.Equal(expected, header);
        Assert.Equal(fields.GetProperty("payload_len").GetInt32(), payload.Length);
        if (fields.TryGetProperty("payload_hex", out JsonElement hex))
        {
            Assert.Equal(hex.GetString(), Convert.ToHexStringLower(payload));
        }

        byte[] written = new byte[packet.Length];
        Assert.Equal(packet.Length, Packet.Write(written, header, payload));
        Assert.Equal(packet, written);

        byte[] tunnel = Convert.FromHexString(v.Text("plaintext_tunnel_frame_hex"));
        Assert.True(PlaintextFrame.TryParse(tunnel, out ReadOnlySpan<byte> inner));
        Assert.Equal(packet, inner.ToArray());
    }

    private static void BadPacket(Vector v)
    {
        Assert.False(Packet.TryParse(v.Hex, out _, out _, out PacketError error));
        PacketError expected = v.Name switch
        {
            "pkt-neg-crc" => PacketError.ChecksumMismatch,
            "pkt-neg-trunc" => PacketError.Truncated,
            "pkt-neg-short" => PacketError.TooShort,
            "pkt-neg-version" => PacketError.UnsupportedVersion,
            _ => throw new InvalidOperationException($"{v}: unknown"),
        };
        Assert.Equal(expected, error);
    }
}
