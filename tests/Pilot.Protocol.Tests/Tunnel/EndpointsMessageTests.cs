namespace Pilot.Protocol.Tests.Tunnel;

public sealed class EndpointsMessageTests
{
    [Fact]
    public void A_message_has_these_bytes()
    {
        var message = new EndpointsMessage(true, 4, [(EndpointSource.Mapped, UdpEndpoint.FromIPv4(0xCB007107, 4000)), (EndpointSource.Other, new UdpEndpoint(UInt128.One, 5))]);
        byte[] buffer = new byte[EndpointsMessage.MaxSize];
        int length = message.Write(buffer);
        Assert.Equal("0101040201" + "04cb0071070fa0" + "0310" + "00000000000000000000000000000001" + "0005", Convert.ToHexStringLower(buffer.AsSpan(0, length)));
        Assert.True(EndpointsMessage.TryParse(buffer.AsSpan(0, length), out EndpointsMessage parsed));
        Assert.True(parsed.WantsAnswer);
        Assert.Equal(4, parsed.NatType);
        Assert.Equal(message.Endpoints, parsed.Endpoints);
    }

    [Theory]
    [InlineData("")]
    [InlineData("010000")]
    [InlineData("02000000")]
    [InlineData("01000001")]
    [InlineData("0100000101")]
    [InlineData("010000010105cb00710700000fa0")]
    [InlineData("010000010104cb0071070f")]
    [InlineData("01000019")]
    public void What_is_cut_off_or_wrong_is_refused(string hex) => Assert.False(EndpointsMessage.TryParse(Convert.FromHexString(hex), out _));

    [Fact]
    public void Unknown_sources_and_trailing_bytes_are_skipped()
    {
        Assert.True(EndpointsMessage.TryParse(Convert.FromHexString("010000020904cb0071070fa00104cb0071070fa1ffff"), out EndpointsMessage message));
        Assert.Equal([(EndpointSource.Mapped, UdpEndpoint.FromIPv4(0xCB007107, 4001))], message.Endpoints);
    }
}
