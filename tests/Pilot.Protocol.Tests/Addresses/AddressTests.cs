using System.Net;

namespace Pilot.Protocol.Tests.Addresses;

public sealed class AddressTests
{
    [Fact]
    public void Addresses_and_endpoints_survive_text_and_bytes()
    {
        var random = new Random(7);
        byte[] bytes = new byte[PilotAddress.Size];
        for (int round = 0; round < 5_000; round++)
        {
            var address = new PilotAddress((ushort)random.Next(65536), (uint)random.NextInt64(1L << 32));
            Assert.Equal(address, PilotAddress.Parse(address.ToString()));
            Assert.Equal(address, PilotAddress.Parse(address.ToString().ToLowerInvariant()));
            address.Write(bytes);
            Assert.Equal(address, PilotAddress.Read(bytes));
            var endpoint = new PilotEndpoint(address, (ushort)random.Next(65536));
            Assert.True(PilotEndpoint.TryParse(endpoint.ToString(), out PilotEndpoint parsed));
            Assert.Equal(endpoint, parsed);
        }

        Assert.Equal("0:0000.0000.002A", PilotAddress.OfNode(42).ToString());
        Assert.Equal("0:0000.0000.002A", $"{PilotAddress.OfNode(42)}");
    }

    [Fact]
    public void Udp_endpoints_print_like_the_framework_and_survive_text_and_bytes()
    {
        var random = new Random(8);
        byte[] bytes = new byte[UdpEndpoint.MaxIpSize];
        for (int round = 0; round < 5_000; round++)
        {
            byte[] ip = new byte[random.Next(2) == 0 ? 4 : 16];
            random.NextBytes(ip);
            if (random.Next(4) == 0)
            {
                ip.AsSpan(random.Next(ip.Length)).Clear();
            }

            ushort port = (ushort)random.Next(65536);
            UdpEndpoint endpoint = UdpEndpoint.FromBytes(ip, port);
            Assert.Equal(new IPEndPoint(new IPAddress(ip), port).ToString(), endpoint.ToString());
            Assert.True(UdpEndpoint.TryParse(endpoint.ToString(), out UdpEndpoint parsed));
            Assert.Equal(endpoint, parsed);
            Assert.True(UdpEndpoint.TryParseIp(endpoint.IpText(), port, out UdpEndpoint fromIp));
            Assert.Equal(endpoint, fromIp);
            Assert.Equal(ip, bytes[..endpoint.WriteIp(bytes)]);
        }
    }

    [Fact]
    public void IPv4_mapped_is_the_same_endpoint_as_IPv4()
    {
        byte[] mapped = new byte[16];
        new byte[] { 255, 255, 10, 1, 2, 3 }.CopyTo(mapped, 10);
        Assert.Equal(UdpEndpoint.FromIPv4(0x0A010203, 5), UdpEndpoint.FromBytes(mapped, 5));
        Assert.True(UdpEndpoint.TryParse("[::ffff:10.1.2.3]:5", out UdpEndpoint parsed));
        Assert.Equal("10.1.2.3:5", parsed.ToString());
    }

    [Theory]
    [InlineData("10.0.0.1:1", "private")]
    [InlineData("172.16.0.1:1", "private")]
    [InlineData("172.31.255.255:1", "private")]
    [InlineData("172.32.0.1:1", "")]
    [InlineData("192.168.9.9:1", "private")]
    [InlineData("192.169.0.1:1", "")]
    [InlineData("127.0.0.1:1", "loopback")]
    [InlineData("169.254.1.1:1", "linklocal")]
    [InlineData("0.0.0.0:1", "unspecified")]
    [InlineData("224.0.0.1:1", "multicast")]
    [InlineData("8.8.8.8:1", "")]
    [InlineData("[::1]:1", "loopback")]
    [InlineData("[::]:1", "unspecified")]
    [InlineData("[fe80::1]:1", "linklocal")]
    [InlineData("[febf::1]:1", "linklocal")]
    [InlineData("[fec0::1]:1", "")]
    [InlineData("[fc00::1]:1", "private")]
    [InlineData("[fdff::1]:1", "private")]
    [InlineData("[ff02::1]:1", "multicast")]
    [InlineData("[2001:db8::1]:1", "")]
    public void Ranges_are_recognised(string text, string range)
    {
        Assert.True(UdpEndpoint.TryParse(text, out UdpEndpoint e));
        string found = string.Concat(
            e.IsPrivate ? "private" : "", e.IsLoopback ? "loopback" : "", e.IsLinkLocal ? "linklocal" : "",
            e.IsUnspecified ? "unspecified" : "", e.IsMulticast ? "multicast" : "");
        Assert.Equal(range, found);
    }

    [Theory]
    [InlineData("")]
    [InlineData(":")]
    [InlineData("1.2.3.4")]
    [InlineData("1.2.3.4:")]
    [InlineData("1.2.3.4:65536")]
    [InlineData("1.2.3.4:-1")]
    [InlineData("1.2.3:4")]
    [InlineData("1.2.3.4.5:1")]
    [InlineData("256.1.1.1:1")]
    [InlineData("01.1.1.1:1")]
    [InlineData("1.2.3.4 :1")]
    [InlineData("::1:5")]
    [InlineData("[::1]")]
    [InlineData("[::1:5")]
    [InlineData("[]:5")]
    [InlineData("[1.2.3.4]:5")]
    [InlineData("[fe80::1%eth0]:5")]
    [InlineData("localhost:80")]
    [InlineData("x:notaport")]
    public void Other_texts_are_no_udp_endpoint(string text) => Assert.False(UdpEndpoint.TryParse(text, out _));

    [Fact]
    public void Other_byte_counts_are_an_error_of_the_caller() =>
        Assert.Throws<ArgumentException>(() => UdpEndpoint.FromBytes(new byte[5], 1));
}
