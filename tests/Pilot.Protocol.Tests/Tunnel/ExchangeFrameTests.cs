namespace Pilot.Protocol.Tests.Tunnel;

public sealed class ExchangeFrameTests
{
    [Theory]
    [InlineData(ExchangeMark.None, 0UL)]
    [InlineData(ExchangeMark.Request, 0UL)]
    [InlineData(ExchangeMark.Answer, 0x0123456789ABCDEFUL)]
    public void Marks_survive_the_round_trip_and_do_not_touch_the_signed_part(ExchangeMark mark, ulong answered)
    {
        var identity = new Identity(new byte[32]);
        byte[] x = [.. Enumerable.Range(0, 32).Select(i => (byte)i)];
        byte[] frame = new byte[TunnelFrame.MarkedKeyExchangeSize];
        int length = AuthenticatedKeyExchange.Write(frame, 77, x, identity, mark, answered);
        Assert.Equal(mark == ExchangeMark.None ? TunnelFrame.KeyExchangeSize : TunnelFrame.MarkedKeyExchangeSize, length);
        Assert.True(AuthenticatedKeyExchange.TryParse(frame.AsSpan(0, length), out AuthenticatedKeyExchange read));
        Assert.Equal(77u, read.NodeId);
        Assert.Equal(x, read.X25519PublicKey.ToArray());
        Assert.Equal(identity.PublicKey, read.Ed25519PublicKey.ToArray());
        Assert.Equal(mark, read.Mark);
        Assert.Equal(answered, read.AnsweredKeyPrefix);
        Assert.True(read.VerifySignature());
        Assert.Equal(0x0001020304050607UL, AuthenticatedKeyExchange.KeyPrefix(x));

        byte[] plain = new byte[TunnelFrame.KeyExchangeSize];
        AuthenticatedKeyExchange.Write(plain, 77, x, identity, ExchangeMark.None, 0);
        Assert.Equal(plain, frame[..TunnelFrame.KeyExchangeSize]);
    }

    [Fact]
    public void Unknown_and_incomplete_marks_read_as_none()
    {
        var identity = new Identity(new byte[32]);
        byte[] frame = new byte[TunnelFrame.MarkedKeyExchangeSize];
        AuthenticatedKeyExchange.Write(frame, 1, new byte[32], identity, ExchangeMark.Answer, 5);
        for (int length = TunnelFrame.KeyExchangeSize; length < frame.Length; length++)
        {
            Assert.True(AuthenticatedKeyExchange.TryParse(frame.AsSpan(0, length), out AuthenticatedKeyExchange cut));
            Assert.Equal(ExchangeMark.None, cut.Mark);
            Assert.Equal(0UL, cut.AnsweredKeyPrefix);
        }

        frame[TunnelFrame.KeyExchangeSize] = 3;
        Assert.True(AuthenticatedKeyExchange.TryParse(frame, out AuthenticatedKeyExchange unknown));
        Assert.Equal(ExchangeMark.None, unknown.Mark);
    }

    [Theory]
    [InlineData("", DatagramKind.Empty)]
    [InlineData("00", DatagramKind.Beacon)]
    [InlineData("0f", DatagramKind.Beacon)]
    [InlineData("10", DatagramKind.Unknown)]
    [InlineData("50494c", DatagramKind.Unknown)]
    [InlineData("50494c41", DatagramKind.AuthenticatedKeyExchange)]
    [InlineData("50494c4b", DatagramKind.KeyExchange)]
    [InlineData("50494c53", DatagramKind.Encrypted)]
    [InlineData("50494c50ffff", DatagramKind.Punch)]
    [InlineData("50494c54", DatagramKind.Plaintext)]
    [InlineData("50494c58", DatagramKind.Unknown)]
    public void Datagrams_are_sorted_by_their_first_bytes(string hex, DatagramKind kind) =>
        Assert.Equal(kind, TunnelFrame.Classify(Convert.FromHexString(hex)));
}
