using System.Text;
using Pilot.Protocol.Tests.Json;
using Pilot.Protocol.Trust;

namespace Pilot.Protocol.Tests.Trust;

public sealed class TrustMessageTests
{
    [Fact]
    public void Messages_survive_the_round_trip()
    {
        var random = new Random(14);
        for (int round = 0; round < 3_000; round++)
        {
            var message = new TrustMessage
            {
                Type = (TrustMessageType)random.Next(1, 5),
                NodeId = (uint)random.NextInt64(1L << 32),
                PublicKey = Valid(ReferenceJsonTests.RandomText(random)),
                Justification = Valid(ReferenceJsonTests.RandomText(random)),
                Signature = Valid(ReferenceJsonTests.RandomText(random)),
                Reason = Valid(ReferenceJsonTests.RandomText(random)),
                Timestamp = random.NextInt64(long.MinValue, long.MaxValue),
            };
            Assert.True(TrustMessage.TryParse(message.Encode(), out TrustMessage? read));
            Assert.Equal(message, read);
        }
    }

    [Fact]
    public void A_signature_counts_only_for_its_sender_receiver_and_key()
    {
        var a = new Identity([.. Enumerable.Repeat((byte)1, 32)]);
        var b = new Identity([.. Enumerable.Repeat((byte)2, 32)]);
        TrustMessage message = TrustMessage.Create(TrustMessageType.Request, a, 1, 2, "hello", 1000);
        Assert.True(message.IsSignedBy(a.PublicKey, 2));
        Assert.False(message.IsSignedBy(a.PublicKey, 3));
        Assert.False(message.IsSignedBy(b.PublicKey, 2));
        Assert.False((message with { NodeId = 5 }).IsSignedBy(a.PublicKey, 2));
        Assert.False((message with { PublicKey = b.PublicKeyText }).IsSignedBy(a.PublicKey, 2));
        Assert.False((message with { PublicKey = "" }).IsSignedBy(a.PublicKey, 2));
        Assert.False((message with { Signature = "" }).IsSignedBy(a.PublicKey, 2));
        Assert.False(message.IsSignedBy([], 2));
        Assert.Equal("trust revoked", TrustMessage.Create(TrustMessageType.Revoke, a, 1, 2, "ignored", 1).Reason);
        Assert.Equal("", TrustMessage.Create(TrustMessageType.Accept, a, 1, 2, "ignored", 1).Justification);
    }

    [Theory]
    [InlineData("{}", true)]
    [InlineData("{\"node_id\":1,\"NODE_ID\":2}", true)]
    [InlineData("{\"justification\":null}", true)]
    [InlineData("{\"x\":{\"type\":1}}", true)]
    [InlineData("null", false)]
    [InlineData("", false)]
    [InlineData("{\"type\":1}", false)]
    [InlineData("{\"reason\":true}", false)]
    [InlineData("{\"timestamp\":1.5}", false)]
    [InlineData("{\"timestamp\":9223372036854775808}", false)]
    [InlineData("{\"timestamp\":\"1\"}", false)]
    [InlineData("{} x", false)]
    public void Leniency_is_that_of_the_reference(string json, bool expected) =>
        Assert.Equal(expected, TrustMessage.TryParse(Encoding.UTF8.GetBytes(json), out _));

    [Fact]
    public void The_last_duplicate_wins_and_unknown_types_cannot_be_encoded()
    {
        Assert.True(TrustMessage.TryParse("{\"node_id\":1,\"Node_Id\":2,\"type\":\"handshake_hello\"}"u8, out TrustMessage? message));
        Assert.Equal(2u, message!.NodeId);
        Assert.Equal(TrustMessageType.Unknown, message.Type);
        Assert.Throws<InvalidOperationException>(() => message.Encode());
    }

    private static string Valid(string text) => Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
}
