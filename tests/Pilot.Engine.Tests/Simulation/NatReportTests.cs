using Pilot.Engine.Nat;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Simulation;

/// <summary>What a node says about its NAT is what the simulated network built.</summary>
public class NatReportTests
{
    private static readonly LinkProfile Line = new() { Delay = TimeSpan.FromMilliseconds(15), Jitter = TimeSpan.FromMilliseconds(5), Loss = 0.02 };

    [Theory]
    [InlineData(-1, NatType.Open, NatBehavior.EndpointIndependent, NatBehavior.EndpointIndependent)]
    [InlineData((int)NatKind.FullCone, NatType.FullCone, NatBehavior.EndpointIndependent, NatBehavior.EndpointIndependent)]
    [InlineData((int)NatKind.Restricted, NatType.RestrictedCone, NatBehavior.EndpointIndependent, NatBehavior.AddressDependent)]
    [InlineData((int)NatKind.PortRestricted, NatType.PortRestrictedCone, NatBehavior.EndpointIndependent, NatBehavior.AddressAndPortDependent)]
    [InlineData((int)NatKind.Symmetric, NatType.Symmetric, NatBehavior.AddressAndPortDependent, NatBehavior.AddressAndPortDependent)]
    [InlineData((int)NatKind.AddressMapped, NatType.Symmetric, NatBehavior.AddressDependent, NatBehavior.AddressDependent)]
    public void Every_kind_is_named(int kind, NatType type, NatBehavior mapping, NatBehavior filtering) => Simulation.RunReal((ulong)(300_000 + (100 * (kind + 1))), 15, simulation =>
    {
        SimNat? nat = kind < 0 ? null : simulation.Network.AddNat((NatKind)kind);
        SimNode node = simulation.AddNode("a", Line, nat);
        simulation.Settle();
        // Some runs lose every one of three questions; they are asked again after a minute.
        simulation.Expect(() => node.Node!.Nat.Type == type && node.Node.Nat.Filtering == filtering, TimeSpan.FromSeconds(150), $"{type}, but {node.Node!.Nat}");
        Assert.Equal((type, mapping, filtering), (node.Node!.Nat.Type, node.Node.Nat.Mapping, node.Node.Nat.Filtering));
        Assert.Contains(node.Events, e => e.Kind == NodeEventKind.NatChanged);
        Assert.Equal(node.Node.Mapping, node.Node.Nat.EndpointV4);
        Assert.Equal(nat is null, node.Node.Nat.PreservesPort);
        Assert.True(Assert.Single(node.Node.Beacons) is { IsAnswering: true, IsCurrent: true, IsOurs: true, Rtt: not null });
        simulation.Network.Run(TimeSpan.FromMinutes(25));
        Assert.Equal((type, mapping, filtering), (node.Node!.Nat.Type, node.Node.Nat.Mapping, node.Node.Nat.Filtering));
        Assert.Empty(node.Node.Predicted(8));
    });

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Hairpin_and_port_preservation(bool has) => Simulation.RunReal(301_000, 5, simulation =>
    {
        SimNat nat = simulation.Network.AddNat(NatKind.PortRestricted);
        nat.Hairpins = nat.PreservesPort = has;
        SimNode node = simulation.AddNode("a", Line with { Loss = 0 }, nat);
        simulation.Settle();
        simulation.Network.Run(TimeSpan.FromSeconds(5));
        Assert.Equal((has, has), (node.Node!.Nat.Hairpins, node.Node.Nat.PreservesPort));
    });

    [Fact]
    public void A_clean_line_is_measured_in_two_seconds() => Simulation.RunReal(302_000, 5, simulation =>
    {
        SimNode node = simulation.AddNode("a", Line with { Loss = 0 }, simulation.Network.AddNat(NatKind.PortRestricted));
        simulation.Expect(() => node.Node!.Nat.Type == NatType.PortRestrictedCone, TimeSpan.FromSeconds(2), "the verdict");
    });

    [Theory]
    [InlineData(25, 20)]
    [InlineData(40, 32)]
    [InlineData(100, 64)]
    [InlineData(400, 240)]
    public void Binding_lifetime_is_measured_beside_the_tunnel(int timeout, int measured) => Simulation.RunReal(303_000, 3, simulation =>
    {
        SimNode node = simulation.AddNode("a", Line with { Loss = 0 }, simulation.Network.AddNat(NatKind.PortRestricted, TimeSpan.FromSeconds(timeout)));
        simulation.Settle();
        UdpEndpoint? mapping = node.Node!.Mapping;
        simulation.Network.Run(TimeSpan.FromMinutes(9));
        Assert.Equal(TimeSpan.FromSeconds(measured), node.Node.Nat.BindingLifetime);
        // Silence on the way to one port never cost the tunnel its mapping.
        Assert.Equal(mapping, node.Node.Mapping);
        Assert.DoesNotContain(node.Events, e => e.Kind == NodeEventKind.BeaconUnreachable);
    });

    [Fact]
    public void Ports_in_steps_are_predicted() => Simulation.RunReal(304_000, 10, simulation =>
    {
        SimNat nat = simulation.Network.AddNat(NatKind.Symmetric);
        nat.PortStep = 2;
        SimNode node = simulation.AddNode("a", Line with { Loss = 0 }, nat);
        simulation.Settle();
        simulation.Expect(() => node.Node!.Nat.Type == NatType.Symmetric, TimeSpan.FromSeconds(5), "the verdict");
        IReadOnlyList<UdpEndpoint> predicted = node.Node!.Predicted(8);
        Assert.Equal(8, predicted.Count);
        UdpEndpoint next = nat.Outbound(simulation.Network.Now, node.Host.Local, UdpEndpoint.FromIPv4(0x01020304, 5));
        Assert.Contains(next, predicted);
    });

    [Fact]
    public void Another_nat_is_measured_anew() => Simulation.RunReal(305_000, 5, simulation =>
    {
        SimNat nat = simulation.Network.AddNat(NatKind.Symmetric);
        SimNode node = simulation.AddNode("a", Line with { Loss = 0 }, nat);
        simulation.Settle();
        simulation.Expect(() => node.Node!.Nat.Type == NatType.Symmetric, TimeSpan.FromSeconds(5), "the verdict");
        nat.Kind = NatKind.FullCone;
        simulation.Network.Rebind(nat, withNewIp: true);
        simulation.Expect(() => node.Node!.Nat.Type == NatType.FullCone, TimeSpan.FromSeconds(30), $"the new verdict, but {node.Node!.Nat}");
        Assert.Equal(nat.PublicIp, node.Node!.Nat.EndpointV4!.Value.Ip);
    });

    [Fact]
    public void A_beacon_with_one_address_says_no_more_than_it_knows() => Simulation.RunReal(306_000, 5, simulation =>
    {
        simulation.Real.SetPlaces(otherPorts: true, otherAddress: false);
        SimNode strict = simulation.AddNode("strict", Line with { Loss = 0 }, simulation.Network.AddNat(NatKind.PortRestricted));
        SimNode loose = simulation.AddNode("loose", Line with { Loss = 0 }, simulation.Network.AddNat(NatKind.FullCone));
        simulation.Settle();
        simulation.Network.Run(TimeSpan.FromSeconds(5));
        Assert.Equal(NatType.PortRestrictedCone, strict.Node!.Nat.Type);
        Assert.Equal((NatType.Unknown, NatBehavior.EndpointIndependent, NatBehavior.Unknown), (loose.Node!.Nat.Type, loose.Node.Nat.Mapping, loose.Node.Nat.Filtering));
    });

    [Theory]
    [InlineData((int)NatKind.Symmetric, NatType.Symmetric)]
    [InlineData((int)NatKind.PortRestricted, NatType.Unknown)]
    public void Two_reference_beacons_tell_the_mapping(int kind, NatType type) => Simulation.Run(307_000, 5, simulation =>
    {
        var second = new StandInRendezvous(simulation.Network);
        SimNode node = simulation.AddNode("a", Line with { Loss = 0 }, simulation.Network.AddNat((NatKind)kind), start: false);
        node.Beacons.AddRange([simulation.Beacon, second.Beacon]);
        node.Start();
        simulation.Settle();
        simulation.Network.Run(TimeSpan.FromSeconds(5));
        Assert.Equal(type, node.Node!.Nat.Type);
        Assert.Equal(type == NatType.Symmetric ? NatBehavior.AddressAndPortDependent : NatBehavior.EndpointIndependent, node.Node.Nat.Mapping);
        Assert.Equal(NatBehavior.Unknown, node.Node.Nat.Filtering);
        Assert.DoesNotContain(node.Node.Beacons, b => b.IsOurs);
    });

    [Fact]
    public void Blocked_when_no_beacon_answers_and_not_before() => Simulation.RunReal(308_000, 3, simulation =>
    {
        simulation.Rendezvous.IsDown = true;
        SimNode node = simulation.AddNode("a", Line);
        simulation.Network.Run(TimeSpan.FromSeconds(14));
        Assert.Equal(NatType.Unknown, node.Node!.Nat.Type);
        simulation.Network.Run(TimeSpan.FromSeconds(3));
        Assert.Equal(NatType.Blocked, node.Node.Nat.Type);
        simulation.Rendezvous.IsDown = false;
        simulation.Expect(() => node.Node.Nat.Type == NatType.Open, TimeSpan.FromSeconds(90), $"open, but {node.Node.Nat}");
    });
}
