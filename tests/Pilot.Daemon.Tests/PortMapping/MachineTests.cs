using Pilot.Daemon.Loop;
using Pilot.Daemon.Net;
using Pilot.Daemon.PortMapping;
using Pilot.Engine;
using Pilot.Ipc;
using Pilot.Protocol;

namespace Pilot.Daemon.Tests.PortMapping;

/// <summary>Which protocol makes the mapping, and what is made of it.</summary>
public sealed class MachineTests
{
    private static readonly UdpEndpoint Gateway = UdpEndpoint.FromIPv4(0xC0A8_0101, 0);
    private static readonly UdpEndpoint Server = Gateway with { Port = 5351 };
    private readonly NatPmpMapper _natPmp = new(Server, 40_000);
    private readonly PcpMapper _pcp = new(Server, UdpEndpoint.FromIPv4(0xC0A8_0117, 0), 40_000, new SecureRandom());
    private readonly PortMappingMachine _machine;
    private Instant _now = new(TimeSpan.TicksPerHour);

    public MachineTests() => _machine = new PortMappingMachine(Gateway, [_natPmp, _pcp]);

    [Fact]
    public void The_first_answer_waits_a_moment_for_a_better_one()
    {
        _machine.Start(_now);
        Answer(_natPmp, MapperTests.Address(1));
        Assert.Equal(MapperState.Available, _natPmp.State);
        Answer(_pcp, MapperTests.Pcp(0x80, 0, 0, 1));
        Assert.Equal((MapperState.Available, MapperState.Mapping), (_natPmp.State, _pcp.State));
        Assert.Equal(PortMappingState.Asking, _machine.Status.State);
    }

    [Fact]
    public void Without_a_better_answer_the_next_best_maps_after_half_a_second()
    {
        _machine.Start(_now);
        Answer(_natPmp, MapperTests.Address(1));
        var start = _now;
        RunUntil(() => _natPmp.State == MapperState.Mapping);
        Assert.Equal(PortMappingConstants.Patience, _now - start);
        Answer(_natPmp, MapperTests.Mapping(1, 40_000, 40_000, 7200));
        Assert.Equal((PortMappingState.Mapped, "nat-pmp"), (_machine.Status.State, _machine.Status.Protocol));
        Assert.Equal("203.0.113.5:40000", _machine.Status.PublicEndpoint.ToString());
    }

    [Fact]
    public void When_the_best_refuses_the_mapping_the_next_is_asked_and_then_everything_again_later()
    {
        _machine.Start(_now);
        Answer(_natPmp, MapperTests.Address(1));
        Answer(_pcp, MapperTests.Pcp(0x80, 0, 0, 1));
        RunUntil(() => _pcp.State == MapperState.Silent); // no answer to MAP
        Assert.Equal(MapperState.Mapping, _natPmp.State);
        Answer(_natPmp, Convert.FromHexString("0081000400000001"));
        Assert.Equal((PortMappingState.Refused, "nat-pmp", "out of resources"), (_machine.Status.State, _machine.Status.Protocol, _machine.Status.Error));
        var refusedAt = _now;
        RunUntil(() => _pcp.State == MapperState.Asking);
        Assert.Equal(PortMappingConstants.RoundInterval, _now - refusedAt);
    }

    [Fact]
    public void A_silent_gateway_is_said_to_be_silent()
    {
        _machine.Start(_now);
        RunUntil(() => _machine.Status.State == PortMappingState.NoAnswer);
        Assert.True(_now - new Instant(TimeSpan.TicksPerHour) < TimeSpan.FromSeconds(10));
        _machine.Release(_now);
        Assert.True(_machine.IsReleased);
        Assert.Equal(Instant.Never, _machine.NextDeadline);
    }

    [Theory]
    [InlineData("203.0.113.5", true)]
    [InlineData("8.8.8.8", true)]
    [InlineData("10.0.0.1", false)]
    [InlineData("172.31.0.1", false)]
    [InlineData("192.168.0.1", false)]
    [InlineData("100.64.0.1", false)]
    [InlineData("100.127.255.255", false)]
    [InlineData("100.128.0.1", true)]
    [InlineData("169.254.1.1", false)]
    [InlineData("127.0.0.1", false)]
    [InlineData("0.1.2.3", false)]
    [InlineData("192.0.0.2", false)] // between a home and its carrier (RFC 7335)
    [InlineData("224.0.0.1", false)]
    [InlineData("255.255.255.255", false)]
    public void Addresses_behind_another_nat_are_not_public(string text, bool isPublic)
    {
        Assert.True(UdpEndpoint.TryParseIp(text, 1, out var endpoint));
        Assert.Equal(isPublic, OutsideAddress.IsPublic(endpoint));
        var status = new PortMappingStatus(PortMappingState.Mapped, "pcp", Gateway, new PortLease(endpoint, _now, TimeSpan.FromHours(1)), "");
        Assert.Equal((!isPublic, isPublic ? endpoint : null), (status.IsBehindAnotherNat, status.PublicEndpoint));
    }

    [Fact]
    public void The_kernels_table_names_the_default_gateway_of_the_lowest_metric()
    {
        const string Table =
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
            "wlan0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n" +
            "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n" +
            "eth1\t00000000\t0103A8C0\t0002\t0\t0\t1\t00000000\t0\t0\t0\n" + // down
            "eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";
        Assert.True(DefaultGateway.TryParseTable(Table, out var gateway));
        Assert.Equal("192.168.1.1", gateway.IpText());
        Assert.False(DefaultGateway.TryParseTable("Iface\tDestination\n", out _));
        Assert.False(DefaultGateway.TryParseTable("", out _));
    }

    [Fact]
    public void A_mapping_is_registered_only_when_the_way_out_leads_through_it()
    {
        var own = new OwnAddresses();
        var changes = 0;
        own.Changed += _ => changes++;
        var mapped = Endpoint("203.0.113.5:4000");
        Assert.Null(own.Current.ToRegister);
        own.SetMapped(mapped);
        Assert.Null(own.Current.ToRegister); // nobody said where we come from
        own.SetObserved(Endpoint("203.0.113.5:1"));
        Assert.Equal(mapped, own.Current.ToRegister);
        own.SetSeen(Endpoint("198.51.100.1:7"));
        Assert.Equal(Endpoint("198.51.100.1:7"), own.Current.ToRegister); // another way out
        own.SetSeen(Endpoint("203.0.113.5:50000"));
        Assert.Equal(mapped, own.Current.ToRegister);
        own.SetMapped(mapped);
        Assert.Equal(4, changes);
        Assert.Equal([mapped], own.Current.Others);
        own.SetMapped(null);
        Assert.Equal(Endpoint("203.0.113.5:50000"), own.Current.ToRegister);
    }

    private static UdpEndpoint Endpoint(string text) => UdpEndpoint.TryParse(text, out var endpoint) ? endpoint : throw new FormatException(text);

    private void Answer(PortMapper mapper, byte[] data)
    {
        mapper.OnDatagram(_now, Server, data);
        _machine.Choose(_now);
    }

    private void RunUntil(Func<bool> condition)
    {
        for (var i = 0; i < 1000 && !condition(); i++)
        {
            _now = Instant.Max(_now, _machine.NextDeadline);
            _machine.HandleTimeout(_now);
        }

        Assert.True(condition());
    }
}
