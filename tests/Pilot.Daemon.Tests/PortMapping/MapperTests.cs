using System.Buffers.Binary;
using System.Text;
using Pilot.Daemon.Loop;
using Pilot.Daemon.PortMapping;
using Pilot.Engine;
using Pilot.Protocol;

namespace Pilot.Daemon.Tests.PortMapping;

/// <summary>The three protocols as state machines, in virtual time.</summary>
public sealed class MapperTests
{
    private const ushort Port = 40_000;
    private static readonly UdpEndpoint Gateway = UdpEndpoint.FromIPv4(0xC0A8_0101, 0); // 192.168.1.1
    private static readonly UdpEndpoint Server = Gateway with { Port = 5351 };
    private static readonly UdpEndpoint Own = UdpEndpoint.FromIPv4(0xC0A8_0117, 0);
    private static readonly UdpEndpoint Stranger = UdpEndpoint.FromIPv4(0xC0A8_0166, 5351);
    private const uint Outside = 0xCB00_7105; // 203.0.113.5
    private Instant _now = new(TimeSpan.TicksPerHour);

    [Fact]
    public void Nat_pmp_asks_the_address_then_the_mapping_renews_at_half_and_deletes()
    {
        var mapper = new NatPmpMapper(Server, Port);
        mapper.Discover(_now);
        Assert.Equal("0000", Sent(mapper));
        mapper.OnDatagram(_now, Server, Address(epoch: 100));
        Assert.Equal(MapperState.Available, mapper.State);
        mapper.Map(_now);
        Assert.Equal("000100009C409C4000001C20", Sent(mapper));
        mapper.OnDatagram(_now, Server, Mapping(100, Port, 41_000, 3600));
        Assert.Equal((MapperState.Mapped, UdpEndpoint.FromIPv4(Outside, 41_000)), (mapper.State, mapper.Lease!.External));

        Advance(mapper, TimeSpan.FromSeconds(1799));
        Assert.Null(TrySent(mapper));
        Advance(mapper, TimeSpan.FromSeconds(2));
        Assert.Equal("0000", Sent(mapper)); // the outside address may have changed
        mapper.OnDatagram(_now, Server, Address(epoch: 1901));
        Assert.Equal("000100009C40A02800001C20", Sent(mapper)); // the port that we have
        mapper.OnDatagram(_now, Server, Mapping(1901, Port, 41_000, 3600));
        Assert.Equal(_now, mapper.Lease!.GrantedAt);

        mapper.Release(_now);
        Assert.Equal("000100009C40000000000000", Sent(mapper));
        mapper.OnDatagram(_now, Server, Mapping(1901, Port, 0, 0));
        Assert.Equal((MapperState.Silent, null, Instant.Never), (mapper.State, mapper.Lease, mapper.NextDeadline));
    }

    [Fact]
    public void Questions_are_repeated_with_doubled_waits_and_then_given_up()
    {
        var mapper = new NatPmpMapper(Server, Port);
        mapper.Discover(_now);
        var start = _now;
        var at = new List<double>();
        while (mapper.State == MapperState.Asking)
        {
            if (TrySent(mapper) is not null)
            {
                at.Add((_now - start).TotalMilliseconds);
            }

            _now = mapper.NextDeadline;
            mapper.HandleTimeout(_now);
        }

        Assert.Equal([0, 250, 750, 1750, 3750], at);
        Assert.Equal(MapperState.Silent, mapper.State);
    }

    [Fact]
    public void A_lease_that_is_not_renewed_is_tried_for_again_and_ends_when_it_runs_out()
    {
        var mapper = Mapped(lifetime: 1200);
        var rounds = 0;
        var end = _now + TimeSpan.FromSeconds(1200);
        while (mapper.State == MapperState.Mapped)
        {
            rounds += TrySent(mapper) is null ? 0 : 1;
            Assert.True(mapper.NextDeadline <= end);
            _now = mapper.NextDeadline;
            mapper.HandleTimeout(_now);
        }

        Assert.Equal(end, _now);
        Assert.InRange(rounds, 15, 60); // halves of what is left, not nearer than 10 s, five sends each
        Assert.Null(mapper.Lease);
    }

    [Fact]
    public void A_gateway_that_lost_its_tables_is_asked_again_but_not_more_often_than_every_ten_seconds()
    {
        var mapper = Mapped(lifetime: 7200);
        Advance(mapper, TimeSpan.FromSeconds(100));
        mapper.OnDatagram(_now, Server, Address(epoch: 200)); // 100 s later, as it should be
        Advance(mapper, TimeSpan.Zero);
        Assert.Null(TrySent(mapper));
        mapper.OnDatagram(_now, Server, Address(epoch: 3));
        Advance(mapper, TimeSpan.Zero);
        Assert.Equal("0000", Sent(mapper));
        mapper.OnDatagram(_now, Server, Address(epoch: 3));
        Assert.StartsWith("0001", Sent(mapper), StringComparison.Ordinal);
        mapper.OnDatagram(_now, Server, Mapping(3, Port, Port, 7200));

        Advance(mapper, TimeSpan.FromSeconds(1));
        mapper.OnDatagram(_now, Server, Address(epoch: 0)); // forged, or restarted once more
        Advance(mapper, TimeSpan.Zero);
        Assert.Null(TrySent(mapper));
        Advance(mapper, TimeSpan.FromSeconds(9));
        Assert.Equal("0000", Sent(mapper));
    }

    [Fact]
    public void Answers_of_others_with_other_ports_and_errors_change_nothing_or_end_it()
    {
        var mapper = new NatPmpMapper(Server, Port);
        mapper.Discover(_now);
        mapper.OnDatagram(_now, Stranger, Address(epoch: 1));
        mapper.OnDatagram(_now, Server with { Port = 5350 }, Address(epoch: 1));
        Assert.Equal(MapperState.Asking, mapper.State);
        mapper.OnDatagram(_now, Server, Address(epoch: 1));
        mapper.Map(_now);
        mapper.OnDatagram(_now, Server, Mapping(1, Port + 1, Port, 7200));
        mapper.OnDatagram(_now, Stranger, Mapping(1, Port, Port, 7200));
        mapper.OnDatagram(_now, Server, Mapping(1, Port, 0, 7200));
        mapper.OnDatagram(_now, Server, Mapping(1, Port, Port, 0));
        Assert.Equal(MapperState.Mapping, mapper.State);
        mapper.OnDatagram(_now, Server, Convert.FromHexString("0081000200000001"));
        Assert.Equal((MapperState.Refused, "not authorized"), (mapper.State, mapper.Error));
        mapper.OnDatagram(_now, Server, Mapping(1, Port, Port, 7200));
        Assert.Equal(MapperState.Refused, mapper.State);
    }

    [Fact]
    public void Pcp_announces_maps_with_a_nonce_renews_with_the_same_and_deletes()
    {
        var mapper = new PcpMapper(Server, Own, Port, new SecureRandom());
        mapper.Discover(_now);
        Assert.Equal("02000000" + "00000000" + "00000000000000000000FFFFC0A80117", Sent(mapper));
        mapper.OnDatagram(_now, Server, Pcp(0x80, 4, 0, 500)); // a server without ANNOUNCE
        Assert.Equal(MapperState.Available, mapper.State);
        mapper.Map(_now);
        var request = Convert.FromHexString(Sent(mapper));
        Assert.Equal((60, 0x02, 0x01, 7200u), (request.Length, request[0], request[1], BinaryPrimitives.ReadUInt32BigEndian(request.AsSpan(4))));
        Assert.Equal("11000000" + "9C40" + "9C40" + "00000000000000000000FFFF00000000", Convert.ToHexString(request.AsSpan(36)));
        var nonce = request[24..36];

        mapper.OnDatagram(_now, Server, PcpMap(new byte[12], 0, 7200, 500));
        Assert.Equal(MapperState.Mapping, mapper.State); // not our nonce
        mapper.OnDatagram(_now, Stranger, PcpMap(nonce, 0, 7200, 500));
        Assert.Equal(MapperState.Mapping, mapper.State);
        mapper.OnDatagram(_now, Server, PcpMap(nonce, 0, 7200, 500));
        Assert.Equal((MapperState.Mapped, UdpEndpoint.FromIPv4(Outside, 41_000)), (mapper.State, mapper.Lease!.External));

        Advance(mapper, TimeSpan.FromSeconds(3601));
        var renewal = Convert.FromHexString(Sent(mapper));
        Assert.Equal(nonce, renewal[24..36]);
        Assert.Equal("A028" + "00000000000000000000FFFFCB007105", Convert.ToHexString(renewal.AsSpan(42))); // what we have is suggested
        mapper.OnDatagram(_now, Server, PcpMap(nonce, 8, 30, 4101)); // no resources: the old lease stays
        Assert.Equal((MapperState.Mapped, "no resources"), (mapper.State, mapper.Error));

        mapper.Release(_now);
        var release = Convert.FromHexString(Sent(mapper));
        Assert.Equal((0u, 0), (BinaryPrimitives.ReadUInt32BigEndian(release.AsSpan(4)), BinaryPrimitives.ReadUInt16BigEndian(release.AsSpan(42))));
        mapper.OnDatagram(_now, Server, PcpMap(nonce, 0, 0, 4101));
        Assert.Equal(MapperState.Silent, mapper.State);
    }

    [Fact]
    public void A_pcp_announcement_with_a_new_epoch_renews()
    {
        var mapper = new PcpMapper(Server, Own, Port, new SecureRandom());
        mapper.Discover(_now);
        Sent(mapper);
        mapper.OnDatagram(_now, Server, Pcp(0x80, 0, 0, 500));
        mapper.Map(_now);
        var nonce = Convert.FromHexString(Sent(mapper))[24..36];
        mapper.OnDatagram(_now, Server, PcpMap(nonce, 0, 7200, 500));
        Advance(mapper, TimeSpan.FromSeconds(60));
        mapper.OnDatagram(_now, Stranger, Pcp(0x80, 0, 0, 0));
        Advance(mapper, TimeSpan.Zero);
        Assert.Null(TrySent(mapper));
        mapper.OnDatagram(_now, Server, Pcp(0x80, 0, 0, 0));
        Advance(mapper, TimeSpan.Zero);
        Assert.StartsWith("0201", Sent(mapper), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(100, 200, 100, false)]
    [InlineData(100, 101, 3, false)] // two seconds of slack
    [InlineData(100, 99, 0, false)] // reordered
    [InlineData(100, 98, 0, true)]
    [InlineData(100, 100, 60, true)] // stood still
    [InlineData(100, 5000, 60, true)] // another gateway
    [InlineData(100, 1060, 1000, false)] // clocks 4 % apart
    public void The_epoch_continues_or_it_does_not(uint first, uint second, int secondsLater, bool isBroken)
    {
        var epoch = new GatewayEpoch();
        Assert.False(epoch.IsBroken(_now, first));
        Assert.Equal(isBroken, epoch.IsBroken(_now + TimeSpan.FromSeconds(secondsLater), second));
    }

    [Fact]
    public void Upnp_searches_reads_the_description_and_maps()
    {
        var (mapper, token) = UpnpAtDescription(out _);
        mapper.OnHttp(_now, token, Ok(Description("urn:schemas-upnp-org:service:WANIPConnection:1", "/ctl")));
        var address = Http(mapper);
        Assert.Equal(("http://192.168.1.1:1900/ctl", "\"urn:schemas-upnp-org:service:WANIPConnection:1#GetExternalIPAddress\""), (address.Address.ToString(), address.SoapAction));
        mapper.OnHttp(_now, address.Token, Ok(ExternalAddress("203.0.113.5")));
        Assert.Equal(MapperState.Available, mapper.State);
        mapper.Map(_now);
        var add = Http(mapper);
        Assert.Contains("#AddPortMapping", add.SoapAction, StringComparison.Ordinal);
        foreach (var argument in new[] { "<NewExternalPort>40000<", "<NewProtocol>UDP<", "<NewInternalPort>40000<", "<NewInternalClient>192.168.1.23<", "<NewLeaseDuration>7200<" })
        {
            Assert.Contains(argument, add.Body, StringComparison.Ordinal);
        }

        mapper.OnHttp(_now, add.Token, Ok("<a/>"));
        Assert.Equal((MapperState.Mapped, UdpEndpoint.FromIPv4(Outside, Port)), (mapper.State, mapper.Lease!.External));

        Advance(mapper, TimeSpan.FromSeconds(3601));
        var again = Http(mapper);
        Assert.Contains("GetExternalIPAddress", again.SoapAction, StringComparison.Ordinal);
        mapper.OnHttp(_now, again.Token, Ok(ExternalAddress("203.0.113.6")));
        mapper.OnHttp(_now, Http(mapper).Token, Ok("<a/>"));
        Assert.Equal(UdpEndpoint.FromIPv4(Outside + 1, Port), mapper.Lease!.External);

        mapper.Release(_now);
        var delete = Http(mapper);
        Assert.Contains("#DeletePortMapping", delete.SoapAction, StringComparison.Ordinal);
        mapper.OnHttp(_now, delete.Token, Ok("<a/>"));
        Assert.Equal(MapperState.Silent, mapper.State);
    }

    [Fact]
    public void Upnp_of_version_2_may_choose_the_port_and_old_routers_want_permanent_leases_or_other_ports()
    {
        var (mapper, token) = UpnpAtDescription(out _);
        mapper.OnHttp(_now, token, Ok(Description("urn:schemas-upnp-org:service:WANIPConnection:2", "http://192.168.1.1/x")));
        mapper.OnHttp(_now, Http(mapper).Token, Ok(ExternalAddress("203.0.113.5")));
        mapper.Map(_now);
        var any = Http(mapper);
        Assert.Contains("#AddAnyPortMapping", any.SoapAction, StringComparison.Ordinal);
        mapper.OnHttp(_now, any.Token, Fault(401));
        var plain = Http(mapper);
        Assert.Contains("#AddPortMapping", plain.SoapAction, StringComparison.Ordinal);
        mapper.OnHttp(_now, plain.Token, Fault(725));
        var permanent = Http(mapper);
        Assert.Contains("<NewLeaseDuration>0<", permanent.Body, StringComparison.Ordinal);
        mapper.OnHttp(_now, permanent.Token, Fault(718));
        var other = Http(mapper);
        Assert.DoesNotContain("<NewExternalPort>40000<", other.Body, StringComparison.Ordinal);
        mapper.OnHttp(_now, permanent.Token, Ok("<a/>")); // late answer to an older question
        Assert.Equal(MapperState.Mapping, mapper.State);
        mapper.OnHttp(_now, other.Token, Ok("<r><NewReservedPort>50001</NewReservedPort></r>"));
        Assert.Equal(50_001, mapper.Lease!.External.Port);
    }

    [Fact]
    public void Upnp_gives_up_on_refusals_and_on_descriptions_that_lead_elsewhere()
    {
        var (mapper, token) = UpnpAtDescription(out _);
        mapper.OnHttp(_now, token, Ok(Description("urn:schemas-upnp-org:service:WANIPConnection:1", "http://192.168.1.77/ctl")));
        Assert.Equal(MapperState.Refused, mapper.State);

        (mapper, token) = UpnpAtDescription(out _);
        mapper.OnHttp(_now, token, default);
        Assert.Equal(MapperState.Refused, mapper.State);

        (mapper, token) = UpnpAtDescription(out _);
        mapper.OnHttp(_now, token, Ok(Description("urn:schemas-upnp-org:service:WANIPConnection:1", "/ctl")));
        mapper.OnHttp(_now, Http(mapper).Token, Ok(ExternalAddress("0.0.0.0")));
        Assert.Equal((MapperState.Refused, "the gateway has no external address"), (mapper.State, mapper.Error));

        (mapper, token) = UpnpAtDescription(out _);
        mapper.OnHttp(_now, token, Ok(Description("urn:schemas-upnp-org:service:WANIPConnection:1", "/ctl")));
        mapper.OnHttp(_now, Http(mapper).Token, Ok(ExternalAddress("203.0.113.5")));
        mapper.Map(_now);
        mapper.OnHttp(_now, Http(mapper).Token, Fault(606));
        Assert.Equal((MapperState.Refused, "the gateway refuses the mapping (UPnP error 606)"), (mapper.State, mapper.Error));
    }

    [Fact]
    public void Upnp_searches_three_times_and_hears_only_the_gateway()
    {
        var mapper = Upnp();
        mapper.Discover(_now);
        var searches = 0;
        while (mapper.State == MapperState.Asking)
        {
            while (mapper.TryTakeOutput(out var output))
            {
                var datagram = Assert.IsType<MapperOutput.Datagram>(output);
                Assert.StartsWith("M-SEARCH * HTTP/1.1\r\n", Encoding.ASCII.GetString(datagram.Data), StringComparison.Ordinal);
                searches++;
            }

            mapper.OnDatagram(_now, Stranger, Encoding.ASCII.GetBytes("HTTP/1.1 200 OK\r\nLOCATION: http://192.168.1.102/d.xml\r\n\r\n"));
            mapper.OnDatagram(_now, Gateway, Encoding.ASCII.GetBytes("HTTP/1.1 200 OK\r\nLOCATION: http://192.168.1.102/d.xml\r\n\r\n"));
            mapper.OnDatagram(_now, Gateway, Encoding.ASCII.GetBytes("HTTP/1.1 200 OK\r\nLOCATION: https://192.168.1.1/d.xml\r\n\r\n"));
            Assert.Equal(MapperState.Asking, mapper.State);
            _now = mapper.NextDeadline;
            mapper.HandleTimeout(_now);
        }

        Assert.Equal(3 * 2 * 2, searches); // times, places, versions
    }

    [Fact]
    public void Xml_with_a_document_type_is_refused()
    {
        var bomb = "<!DOCTYPE r [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]>" + Description("urn:schemas-upnp-org:service:WANIPConnection:1", "/ctl");
        Assert.False(IgdXml.TryParseDescription(Encoding.UTF8.GetBytes(bomb), new Uri("http://192.168.1.1/d"), Gateway, out _));
        var large = Encoding.UTF8.GetBytes(Description("urn:schemas-upnp-org:service:WANIPConnection:1", "/ctl") + new string(' ', PortMappingConstants.MaxHttpBody));
        Assert.False(IgdXml.TryParseDescription(large, new Uri("http://192.168.1.1/d"), Gateway, out _));
    }

    internal static string Description(string type, string control) =>
        $"""
         <?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device><deviceList><device><serviceList>
         <service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType><controlURL>/l3</controlURL></service>
         <service><serviceType>{type}</serviceType><SCPDURL>/s.xml</SCPDURL><controlURL>{control}</controlURL><eventSubURL>/e</eventSubURL></service>
         </serviceList></device></deviceList></device></root>
         """;

    internal static string ExternalAddress(string text) =>
        $"<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><u:GetExternalIPAddressResponse xmlns:u=\"x\"><NewExternalIPAddress>{text}</NewExternalIPAddress></u:GetExternalIPAddressResponse></s:Body></s:Envelope>";

    internal static byte[] Address(uint epoch) => Convert.FromHexString($"00800000{epoch:X8}{Outside:X8}");

    internal static byte[] Mapping(uint epoch, int internalPort, int externalPort, uint lifetime) =>
        Convert.FromHexString($"00810000{epoch:X8}{internalPort:X4}{externalPort:X4}{lifetime:X8}");

    internal static byte[] Pcp(byte opcode, byte result, uint lifetime, uint epoch) =>
        Convert.FromHexString($"02{opcode:X2}00{result:X2}{lifetime:X8}{epoch:X8}000000000000000000000000");

    internal static byte[] PcpMap(byte[] nonce, byte result, uint lifetime, uint epoch) =>
        [.. Pcp(0x81, result, lifetime, epoch), .. nonce, .. Convert.FromHexString($"11000000{Port:X4}A02800000000000000000000FFFF{Outside:X8}")];

    private static HttpAnswer Ok(string body) => new(200, Encoding.UTF8.GetBytes(body));

    private static HttpAnswer Fault(int code) => new(
        500, Encoding.UTF8.GetBytes($"<s:Envelope xmlns:s=\"x\"><s:Body><s:Fault><detail><UPnPError><errorCode>{code}</errorCode></UPnPError></detail></s:Fault></s:Body></s:Envelope>"));

    private static UpnpMapper Upnp() =>
        new(Gateway, Own, Port, new SecureRandom(), UdpEndpoint.FromIPv4(PortMappingConstants.SsdpGroup, 1900), Gateway with { Port = 1900 });

    private (UpnpMapper Mapper, int Token) UpnpAtDescription(out Uri location)
    {
        var mapper = Upnp();
        mapper.Discover(_now);
        while (mapper.TryTakeOutput(out _))
        {
        }

        mapper.OnDatagram(_now, Gateway with { Port = 33_000 }, Encoding.ASCII.GetBytes("HTTP/1.1 200 OK\r\nST: x\r\nLocation: http://192.168.1.1:1900/d.xml\r\n\r\n"));
        var get = Http(mapper);
        Assert.Null(get.Body);
        location = get.Address;
        return (mapper, get.Token);
    }

    private NatPmpMapper Mapped(uint lifetime)
    {
        var mapper = new NatPmpMapper(Server, Port);
        mapper.Discover(_now);
        mapper.OnDatagram(_now, Server, Address(epoch: 100));
        mapper.Map(_now);
        mapper.OnDatagram(_now, Server, Mapping(100, Port, Port, lifetime));
        while (TrySent(mapper) is not null)
        {
        }

        return mapper;
    }

    private void Advance(PortMapper mapper, TimeSpan span)
    {
        _now += span;
        mapper.HandleTimeout(_now);
    }

    private static string Sent(PortMapper mapper) => TrySent(mapper) ?? throw new InvalidOperationException("nothing was sent");

    private static string? TrySent(PortMapper mapper)
    {
        if (!mapper.TryTakeOutput(out var output))
        {
            return null;
        }

        var datagram = Assert.IsType<MapperOutput.Datagram>(output);
        Assert.Equal(Server, datagram.Destination);
        return Convert.ToHexString(datagram.Data);
    }

    private static MapperOutput.Http Http(PortMapper mapper)
    {
        Assert.True(mapper.TryTakeOutput(out var output));
        return Assert.IsType<MapperOutput.Http>(output);
    }
}
