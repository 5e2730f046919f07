using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Pilot.EndToEnd.Tests.Lab;
using Pilot.EndToEnd.Tests.Nat.Lab;
using Pilot.EndToEnd.Tests.Nat.Machines;
using Pilot.EndToEnd.Tests.Nat.Wire;

namespace Pilot.EndToEnd.Tests.Nat;

/// <summary>What goes wrong outside, each during a running transfer that completes with an equal hash. Times are written down, not judged.</summary>
public abstract class NatFaults(ITestOutputHelper output)
{
    protected const ushort Port = 4242;

    private protected void Note(string fault, TimeSpan time) =>
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{fault}: {time.TotalMilliseconds:0} ms"));

    private protected static Task<LabPair> PunchedAsync(params string[] rendezvousFlags) =>
        LabPair.StartAsync(lab => lab.AddBehind("a", NatRules.PortRestricted), lab => lab.AddBehind("b", NatRules.PortRestricted), rendezvousFlags);

    private protected static Task<LabPair> RelayedAsync(params string[] rendezvousFlags) =>
        LabPair.StartAsync(lab => lab.AddBehind("a", NatRules.Symmetric), lab => lab.AddBehind("b", NatRules.Symmetric), rendezvousFlags);
}

/// <summary>Changes of mappings and addresses.</summary>
public sealed class NatRoamingTests(ITestOutputHelper output) : NatFaults(output)
{
    [Fact]
    public async Task A_nat_that_forgets_its_mappings_interrupts_nothing_for_long()
    {
        await using LabPair pair = await PunchedAsync();
        await pair.UntilRouteAsync(direct: true);
        await using RunningTransfer transfer = await RunningTransfer.StartAsync(pair.A, pair.B, Port);
        transfer.TakeLongestSilence();
        pair.A.Site.Box!.Rebind(); // the sender's
        await transfer.FlowsAsync();
        Note("NAT of the sender rebound", transfer.TakeLongestSilence());
        pair.B.Site.Box!.Rebind(); // the receiver's
        await transfer.FlowsAsync();
        Note("NAT of the receiver rebound", transfer.TakeLongestSilence());
        Note("direct again", await pair.UntilRouteAsync(direct: true));
        await transfer.FinishAsync();
    }

    [Fact]
    public async Task A_kernel_router_that_restarts_interrupts_nothing_for_long()
    {
        NatLab.NeedNft();
        await using LabPair pair = await LabPair.StartAsync(
            lab => lab.AddBehindKernel("a", KernelNatKind.PortRestricted), lab => lab.AddBehindKernel("b", KernelNatKind.PortRestricted));
        await pair.UntilRouteAsync(direct: true);
        await using RunningTransfer transfer = await RunningTransfer.StartAsync(pair.A, pair.B, Port);
        transfer.TakeLongestSilence();
        await pair.A.Site.Kernel!.RebindAsync(30_000);
        await transfer.FlowsAsync();
        Note("kernel NAT rebound", transfer.TakeLongestSilence());
        Note("direct again", await pair.UntilRouteAsync(direct: true));
        await transfer.FinishAsync();
    }

    [Fact]
    public async Task An_address_change_of_either_side_is_followed()
    {
        await using LabPair pair = await PunchedAsync();
        await pair.UntilRouteAsync(direct: true);
        await using RunningTransfer transfer = await RunningTransfer.StartAsync(pair.A, pair.B, Port);
        transfer.TakeLongestSilence();
        pair.Lab.Renumber(pair.B.Site); // a new lease of the receiver's provider
        await transfer.FlowsAsync();
        Note("outside address of the receiver changed", transfer.TakeLongestSilence());
        Note("direct again", await pair.UntilRouteAsync(direct: true));
        pair.Lab.Move(pair.A.Site, pair.Lab.NewBox(NatRules.AddressRestricted)); // the sender takes another network
        await transfer.FlowsAsync();
        Note("sender moved to another network", transfer.TakeLongestSilence());
        Note("direct again", await pair.UntilRouteAsync(direct: true));
        await transfer.FinishAsync();
    }
}

/// <summary>Outages of servers, of paths and of the agents themselves.</summary>
public sealed class NatOutageTests(ITestOutputHelper output) : NatFaults(output)
{
    [Fact]
    public async Task A_direct_path_that_dies_is_replaced_by_the_relay_and_taken_again_when_it_lives()
    {
        await using LabPair pair = await PunchedAsync();
        await pair.UntilRouteAsync(direct: true);
        await using RunningTransfer transfer = await RunningTransfer.StartAsync(pair.A, pair.B, Port);
        transfer.TakeLongestSilence();
        pair.Lab.Internet.Cut(pair.A.Site.Outside, pair.B.Site.Outside);
        await transfer.FlowsAsync();
        Note("direct path blackholed", transfer.TakeLongestSilence());
        await pair.UntilRouteAsync(direct: false);
        pair.Lab.Internet.Cut(pair.A.Site.Outside, pair.B.Site.Outside, cut: false);
        Note("direct again", await pair.UntilRouteAsync(direct: true, TimeSpan.FromSeconds(30)));
        await transfer.FlowsAsync();
        Note("silence meanwhile", transfer.TakeLongestSilence());
        await transfer.FinishAsync();
    }

    [Fact]
    public async Task A_killed_rendezvous_stops_no_direct_transfer_and_is_found_again()
    {
        await using LabPair pair = await PunchedAsync();
        await pair.UntilRouteAsync(direct: true);
        await using RunningTransfer transfer = await RunningTransfer.StartAsync(pair.A, pair.B, Port);
        transfer.TakeLongestSilence();
        await pair.Rendezvous.KillAsync();
        await transfer.FlowsAsync();
        await pair.A.EchoAsync(pair.B); // what is known needs no registry
        await pair.B.EchoAsync(pair.A);
        await pair.Rendezvous.StartAsync();
        await transfer.FlowsAsync();
        Note("rendezvous killed and restarted, direct", transfer.TakeLongestSilence());
        await pair.UntilRouteAsync(direct: true);
        await transfer.FinishAsync();
    }

    [Fact]
    public async Task A_killed_beacon_interrupts_a_relayed_transfer_until_it_is_back()
    {
        await using LabPair pair = await RelayedAsync();
        await pair.UntilRouteAsync(direct: false);
        await using RunningTransfer transfer = await RunningTransfer.StartAsync(pair.A, pair.B, Port);
        transfer.TakeLongestSilence();
        await pair.Rendezvous.KillAsync();
        await pair.Rendezvous.StartAsync();
        await transfer.FlowsAsync(TimeSpan.FromSeconds(45));
        Note("beacon killed and restarted, relayed", transfer.TakeLongestSilence());
        await transfer.FinishAsync();
    }

    [Fact]
    public async Task A_registry_outage_is_not_felt_by_those_who_know_each_other()
    {
        await using LabPair pair = await LabPair.StartAsync(
            lab => lab.AddBehind("a", NatRules.PortRestricted with { UdpTimeout = TimeSpan.FromSeconds(30) }),
            lab => lab.AddBehind("b", NatRules.PortRestricted with { UdpTimeout = TimeSpan.FromSeconds(30) }));
        await pair.UntilRouteAsync(direct: true);
        await using RunningTransfer transfer = await RunningTransfer.StartAsync(pair.A, pair.B, Port);
        transfer.TakeLongestSilence();
        pair.Lab.Internet.CutTcp(NatLab.ServerAddress);
        long until = Environment.TickCount64 + (long)LabTimes.Outage.TotalMilliseconds;
        await Wait.UntilAsync("the outage", () => Environment.TickCount64 >= until, LabTimes.Outage * 2);
        await transfer.FlowsAsync();
        await pair.B.EchoAsync(pair.A);
        Note("registry away", transfer.TakeLongestSilence());
        pair.Lab.Internet.CutTcp(NatLab.ServerAddress, cut: false);
        await pair.A.EchoAsync(pair.B);
        await transfer.FinishAsync();
    }

    [Fact]
    public async Task Both_sides_restarted_in_turn_find_each_other_again()
    {
        await using LabPair pair = await PunchedAsync();
        await using (RunningTransfer lost = await RunningTransfer.StartAsync(pair.A, pair.B, Port))
        {
            await pair.A.KillAsync(); // streams do not outlive their daemon: a new one does
        }

        await pair.A.StartAsync();
        Note("echo after a restart of A", (await pair.B.EchoAsync(pair.A)).Time);
        await pair.B.KillAsync();
        await pair.B.StartAsync();
        Note("echo after a restart of B", (await pair.A.EchoAsync(pair.B)).Time);
        await using RunningTransfer transfer = await RunningTransfer.StartAsync(pair.A, pair.B, Port);
        Note("direct again", await pair.UntilRouteAsync(direct: true));
        await transfer.FinishAsync();
    }

    [Fact]
    public async Task An_overloaded_relay_slows_a_transfer_and_does_not_break_it()
    {
        await using LabPair pair = await RelayedAsync();
        await using RunningTransfer transfer = await RunningTransfer.StartAsync(pair.A, pair.B, Port);
        Site stranger = pair.Lab.AddPublic("stranger");
        using Socket socket = stranger.OpenUdp();
        pair.Lab.Internet.Limit(NatLab.ServerAddress, bytesPerSecond: 400_000, queueBytes: 40_000); // half of what the transfer wants, and junk besides
        byte[] junk = new byte[1000];
        junk[0] = 5; // RELAY between nodes that nobody knows
        IPEndPoint beacon = IPEndPoint.Parse(LabRendezvous.Beacon);
        for (int round = 0; round < 40; round++)
        {
            for (int i = 0; i < 20; i++)
            {
                await socket.SendToAsync(junk, beacon);
            }

            await transfer.FlowsAsync();
        }

        Note("overloaded relay", transfer.TakeLongestSilence());
        pair.Lab.Internet.Unlimit(NatLab.ServerAddress);
        await transfer.FinishAsync();
    }
}
