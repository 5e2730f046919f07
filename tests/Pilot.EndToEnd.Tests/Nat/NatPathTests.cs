using System.Globalization;
using Pilot.EndToEnd.Tests.Lab;
using Pilot.EndToEnd.Tests.Nat.Lab;
using Pilot.EndToEnd.Tests.Nat.Machines;
using Pilot.EndToEnd.Tests.Nat.Wire;
using Pilot.Ipc;

namespace Pilot.EndToEnd.Tests.Nat;

/// <summary>Networks beyond the grid, and first contact.</summary>
public sealed class NatPathTests(ITestOutputHelper output)
{
    private const int Payload = 50_000;

    [Fact]
    public async Task Behind_two_kernel_nats_in_a_row_peers_still_meet_directly()
    {
        NatLab.NeedNft();
        await using LabPair pair = await LabPair.StartAsync(
            lab => lab.AddBehindTwoKernels("a", KernelNatKind.PortRestricted, KernelNatKind.PortRestricted),
            lab => lab.AddBehind("b", NatRules.PortRestricted));
        await pair.UntilRouteAsync(direct: true);
        long before = pair.DirectBytes();
        await pair.A.EchoAsync(pair.B, Payload);
        Assert.InRange(pair.DirectBytes() - before, 2 * Payload, long.MaxValue);
    }

    [Fact]
    public async Task Homes_of_one_carrier_meet_by_its_hairpin_and_neighbours_on_their_lan()
    {
        NatBox? carrier = null;
        NatBox? home = null;
        await using LabPair pair = await LabPair.StartAsync(
            lab =>
            {
                carrier = lab.NewBox(NatRules.CarrierGrade);
                home = lab.NewBoxBehind(carrier, "100.64.0.11", NatRules.PortRestricted);
                return lab.AddBehind("a", home, Ipv4.Address(carrier.Outside));
            },
            lab => lab.AddBehind("b", lab.NewBoxBehind(carrier!, "100.64.0.12", NatRules.PortRestricted), Ipv4.Address(carrier!.Outside)));
        await pair.UntilRouteAsync(direct: true);
        long relayed = pair.Lab.Internet.UdpBytes(NatLab.ServerAddress, pair.A.Site.Outside);
        await pair.A.EchoAsync(pair.B, Payload);
        Assert.InRange(pair.Lab.Internet.UdpBytes(NatLab.ServerAddress, pair.A.Site.Outside) - relayed, 0, Payload);

        // A neighbour in the first home: its inside address is the better way.
        LabAgent neighbour = await LabAgent.StartAsync(pair.Lab, pair.Lab.AddBehind("c", home!, Ipv4.Address(carrier!.Outside)));
        await neighbour.TrustAsync(pair.A);
        await neighbour.EchoAsync(pair.A);
        (string there, string back) = (string.Empty, string.Empty);
        try
        {
            await Wait.UntilAsync(
                "LAN", async () => (there = await neighbour.PathToAsync(pair.A)) == PathName.Lan & (back = await pair.A.PathToAsync(neighbour)) == PathName.Lan);
        }
        catch (TimeoutException)
        {
            Assert.Fail($"the neighbour says {there} ({(await neighbour.PeerAsync(pair.A))?.Endpoint}), A says {back} ({(await pair.A.PeerAsync(neighbour))?.Endpoint})");
        }
    }

    [Fact]
    public async Task Where_udp_is_blocked_it_is_said_and_others_are_not_harmed()
    {
        await using LabPair pair = await LabPair.StartAsync(lab => lab.AddPublic("a"), lab => lab.AddPublic("b"));
        LabAgent blocked = await LabAgent.StartAsync(pair.Lab, pair.Lab.AddBehind("blocked", NatRules.PortRestricted with { BlocksUdp = true }));
        await blocked.Client.HandshakeAsync(pair.A.Name);
        await blocked.UntilTrustAsync(pair.A); // the registry carries it by TCP
        Outcome dial = await blocked.CtlAsync("--json", "send", pair.A.Address, "1000", "--data", "x", "--timeout", "3s");
        Assert.Equal((1, "connection_failed"), (dial.Exit, dial.Code));
        await Wait.UntilAsync("said to be blocked", async () => (await blocked.Client.GetInfoAsync()).NatType == "blocked");
        await pair.A.EchoAsync(pair.B);
    }

    [Fact]
    public async Task Trusted_strangers_talk_at_once_and_directly_soon()
    {
        (string Name, NatRules Rules, bool Direct)[] cases =
        [
            ("full-cone", NatRules.FullCone, true), ("port-restricted", NatRules.PortRestricted, true), ("symmetric", NatRules.Symmetric, false),
        ];
        foreach ((string name, NatRules rules, bool direct) in cases)
        {
            await using LabPair pair = await LabPair.StartAsync(lab => lab.AddBehind("a", rules), lab => lab.AddBehind("b", rules));
            await Task.WhenAll(pair.A.KillAsync(), pair.B.KillAsync()); // trust stays, tunnels and what was known of paths do not
            await Task.WhenAll(pair.A.StartAsync(), pair.B.StartAsync());
            (TimeSpan time, string path) = await pair.A.EchoAsync(pair.B);
            TimeSpan settled = await pair.UntilRouteAsync(direct);
            output.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{name}: first answer by {path} after {time.TotalMilliseconds:0} ms, {(direct ? "direct" : "relay")} {settled.TotalMilliseconds:0} ms later"));
        }
    }
}
