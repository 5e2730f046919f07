namespace Pilot.Engine.Tests.Simulation;

/// <summary>Every pair of NATs: the transfer completes, and by the best path that the pair allows.</summary>
public class NatTests
{
    private static readonly LinkProfile Line = new() { Delay = TimeSpan.FromMilliseconds(15), Jitter = TimeSpan.FromMilliseconds(2) };

    public static TheoryData<int, int> Pairs
    {
        get
        {
            var data = new TheoryData<int, int>();
            for (int a = -1; a < 4; a++)
            {
                for (int b = -1; b < 4; b++)
                {
                    data.Add(a, b);
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Pair(int kindA, int kindB) => Simulation.Run((ulong)(90_000 + (100 * (kindA + 1)) + (10 * (kindB + 1))), 4, simulation =>
    {
        SimNode a = simulation.AddNode("a", Line, Nat(simulation, kindA));
        SimNode b = simulation.AddNode("b", Line, Nat(simulation, kindB));
        simulation.Settle();
        simulation.Befriend(a, b);
        SimTransfer first = a.Transfer(b, 20_000, isEcho: true);
        simulation.Complete(TimeSpan.FromSeconds(20), first);
        Assert.True(first.OpenedAt - first.StartedAt < TimeSpan.FromSeconds(1.5), $"opened after {first.OpenedAt - first.StartedAt}");
        simulation.Network.Run(TimeSpan.FromSeconds(20));
        simulation.Complete(TimeSpan.FromSeconds(20), a.Transfer(b, 20_000, isEcho: true), b.Transfer(a, 20_000, isEcho: true));

        // Symmetric with symmetric or port-restricted cannot be punched; everything else can.
        bool isHopeless = Math.Max(kindA, kindB) == (int)NatKind.Symmetric && Math.Min(kindA, kindB) >= (int)NatKind.PortRestricted;
        foreach (SimNode node in new[] { a, b })
        {
            PeerInspection peer = Assert.Single(node.Node!.InspectPeers());
            Assert.True(peer.Path == (isHopeless ? PathKind.Relay : PathKind.Direct), $"{node.Name}: {(NatKind)kindA} with {(NatKind)kindB} by {peer.Path}");
        }
    });

    [Theory]
    [InlineData(NatKind.FullCone, false)]
    [InlineData(NatKind.PortRestricted, true)]
    [InlineData(NatKind.Symmetric, true)]
    public void A_nat_that_restarts_during_a_transfer(object kind, bool withNewIp) => Simulation.Run(95_000, 15, simulation =>
    {
        SimNat nat = simulation.Network.AddNat((NatKind)kind);
        SimNode a = simulation.AddNode("a", Line with { Bandwidth = 80_000 }, nat);
        SimNode b = simulation.AddNode("b", Line with { Bandwidth = 80_000 }, simulation.Network.AddNat(NatKind.PortRestricted));
        simulation.Settle();
        simulation.Befriend(a, b);
        simulation.Network.After(TimeSpan.FromSeconds(1.5), () => simulation.Network.Rebind(nat, withNewIp));
        simulation.Network.After(TimeSpan.FromSeconds(14), () => simulation.Network.Rebind(nat, withNewIp));
        simulation.Complete(TimeSpan.FromMinutes(2), a.Transfer(b, 500_000), b.Transfer(a, 500_000));
    });

    [Fact]
    public void Idle_streams_survive_short_lived_mappings() => Simulation.Run(96_000, 10, simulation =>
    {
        SimNode a = simulation.AddNode("a", Line, simulation.Network.AddNat(NatKind.PortRestricted, TimeSpan.FromSeconds(30)));
        SimNode b = simulation.AddNode("b", Line, simulation.Network.AddNat(NatKind.Restricted, TimeSpan.FromSeconds(30)));
        simulation.Settle();
        simulation.Befriend(a, b);
        simulation.Complete(TimeSpan.FromSeconds(20), a.Transfer(b, 1_000, isEcho: true));
        simulation.Network.Run(TimeSpan.FromMinutes(8));
        SimTransfer after = b.Transfer(a, 1_000, isEcho: true);
        simulation.Complete(TimeSpan.FromSeconds(5), after);
        Assert.True(after.OpenedAt - after.StartedAt < TimeSpan.FromMilliseconds(200), $"opened after {after.OpenedAt - after.StartedAt}");
    });

    private static SimNat? Nat(Simulation simulation, int kind) => kind < 0 ? null : simulation.Network.AddNat((NatKind)kind);
}
