using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Pilot.EndToEnd.Tests.Lab;
using Pilot.EndToEnd.Tests.Nat.Lab;
using Pilot.EndToEnd.Tests.Nat.Machines;
using Pilot.EndToEnd.Tests.Nat.Wire;
using static Pilot.EndToEnd.Tests.Nat.Wire.Dependence;

namespace Pilot.EndToEnd.Tests.Nat;

/// <summary>The networks of the lab do what their names say: measured with plain sockets before any daemon runs in them.</summary>
public sealed class NatProofTests
{
    [Fact]
    public async Task Nats_of_ours_map_and_filter_as_their_rules_say()
    {
        await using NatLab lab = new();
        using NatProbe probe = new(lab);
        Assert.Equal(new Measured(EndpointIndependent, EndpointIndependent, true, true), await probe.MeasureAsync(lab.AddPublic("none")));
        Assert.Equal(
            new Measured(EndpointIndependent, EndpointIndependent, false, false), await probe.MeasureAsync(lab.AddBehind("full", NatRules.FullCone)));
        Assert.Equal(
            new Measured(EndpointIndependent, AddressDependent, false, false), await probe.MeasureAsync(lab.AddBehind("addr", NatRules.AddressRestricted)));
        Assert.Equal(
            new Measured(EndpointIndependent, AddressAndPortDependent, true, false),
            await probe.MeasureAsync(lab.AddBehind("port", NatRules.PortRestricted with { Ports = PortChoice.Preserved })));
        Assert.Equal(
            new Measured(AddressDependent, AddressDependent, false, false),
            await probe.MeasureAsync(lab.AddBehind("adm", new NatRules(AddressDependent, AddressDependent))));
        Assert.Equal(
            new Measured(AddressAndPortDependent, AddressAndPortDependent, false, false), await probe.MeasureAsync(lab.AddBehind("sym", NatRules.Symmetric)));
        Assert.Equal(
            new Measured(AddressAndPortDependent, EndpointIndependent, false, false),
            await probe.MeasureAsync(lab.AddBehind("odd", NatRules.Symmetric with { Filtering = EndpointIndependent, Ports = PortChoice.Sequential })));
        Assert.Equal(
            new Measured(EndpointIndependent, AddressAndPortDependent, false, true), await probe.MeasureAsync(lab.AddBehind("cgn", NatRules.CarrierGrade)));
        using Socket blocked = lab.AddBehind("blocked", NatRules.FullCone with { BlocksUdp = true }).OpenUdp();
        Assert.True(await probe.IsBlockedAsync(blocked, 0));
    }

    [Fact]
    public async Task The_kernels_nats_map_and_filter_as_their_rules_say()
    {
        NatLab.NeedNft();
        await using NatLab lab = new();
        using NatProbe probe = new(lab);
        Site port = lab.AddBehindKernel("port", KernelNatKind.PortRestricted);
        Assert.Equal(new Measured(EndpointIndependent, AddressAndPortDependent, true, false), await probe.MeasureAsync(port));
        Assert.Equal(
            new Measured(AddressAndPortDependent, AddressAndPortDependent, false, false),
            await probe.MeasureAsync(lab.AddBehindKernel("sym", KernelNatKind.Symmetric)));
        Assert.Equal(
            new Measured(EndpointIndependent, AddressAndPortDependent, true, false),
            await probe.MeasureAsync(lab.AddBehindTwoKernels("double", KernelNatKind.PortRestricted, KernelNatKind.PortRestricted)));
        Assert.Equal(
            new Measured(AddressAndPortDependent, AddressAndPortDependent, false, false),
            await probe.MeasureAsync(lab.AddBehindTwoKernels("mobile", KernelNatKind.Symmetric, KernelNatKind.PortRestricted)));
        using Socket blocked = lab.AddBehindKernel("blocked", KernelNatKind.UdpBlocked).OpenUdp();
        Assert.True(await probe.IsBlockedAsync(blocked, 0));

        // A restarted router forgets, and chooses other ports.
        using Socket socket = port.OpenUdp();
        IPEndPoint before = await probe.SeenAsync(socket, 0);
        Assert.Equal(before, await probe.SeenAsync(socket, 0));
        await port.Kernel!.RebindAsync(30_000);
        IPEndPoint after = await probe.SeenAsync(socket, 0);
        Assert.Equal(before.Address, after.Address);
        Assert.InRange(after.Port, 30_000, 30_999);
        port.Kernel.DropUdp(NatLab.SecondServerAddress.ToString());
        await probe.SeenAsync(socket, 0);
        Assert.True(await probe.IsBlockedAsync(socket, 2));
    }

    [Fact]
    public async Task Mappings_end_after_silence_from_inside_and_with_a_restart()
    {
        await using NatLab lab = new();
        using NatProbe probe = new(lab);
        Site site = lab.AddBehind("timeout", NatRules.FullCone with { UdpTimeout = TimeSpan.FromSeconds(30) });
        using Socket socket = site.OpenUdp();
        using Socket fence = lab.AddPublic("fence").OpenUdp();
        IPEndPoint outside = await probe.SeenAsync(socket, 0);
        IPEndPoint fenceOutside = await probe.SeenAsync(fence, 0);

        lab.Internet.SkipTime(TimeSpan.FromSeconds(29));
        Assert.True(await probe.ReachesAsync(socket, outside, fence, fenceOutside));
        lab.Internet.SkipTime(TimeSpan.FromSeconds(2)); // what came from outside did not renew it
        Assert.False(await probe.ReachesAsync(socket, outside, fence, fenceOutside));

        IPEndPoint renewed = await probe.SeenAsync(socket, 0);
        Assert.NotEqual(outside.Port, renewed.Port);
        site.Box!.Rebind();
        Assert.False(await probe.ReachesAsync(socket, renewed, fence, fenceOutside));
        Assert.NotEqual(renewed.Port, (await probe.SeenAsync(socket, 0)).Port);

        lab.Renumber(site);
        Assert.Equal(site.Outside, (await probe.SeenAsync(socket, 0)).Address);
        lab.Move(site, lab.NewBox(NatRules.Symmetric));
        using Socket moved = site.OpenUdp();
        Assert.Equal(site.Outside, (await probe.SeenAsync(moved, 0)).Address);
    }

    [Fact]
    public async Task The_kernel_forgets_udp_after_the_set_time()
    {
        NatLab.NeedNft();
        await using NatLab lab = new();
        using NatProbe probe = new(lab);
        Site site = lab.AddBehindKernel("timeout", KernelNatKind.PortRestricted);
        site.Kernel!.SetUdpTimeout(TimeSpan.FromSeconds(1));
        using Socket socket = site.OpenUdp();
        using Socket fence = lab.AddPublic("fence").OpenUdp();
        IPEndPoint fenceOutside = await probe.SeenAsync(fence, 0);
        IPEndPoint outside = await probe.SeenAsync(socket, 0);
        Assert.True(await probe.ReachesAsync(socket, outside, fence, fenceOutside));
        await Task.Delay(2500, TestContext.Current.CancellationToken); // the kernel's clock cannot be set; nothing may be sent meanwhile
        Assert.False(await probe.ReachesAsync(socket, outside, fence, fenceOutside));
    }

    [Fact]
    public async Task Neighbours_meet_on_their_lan_and_homes_of_one_carrier_by_hairpin()
    {
        await using NatLab lab = new(TimeSpan.FromMilliseconds(5));
        using NatProbe probe = new(lab);
        NatBox home = lab.NewBox(NatRules.PortRestricted);
        Site a = lab.AddBehind("a", home);
        Site b = lab.AddBehind("b", home);
        using Socket atA = a.OpenUdp();
        using Socket atB = b.OpenUdp();
        await atA.SendToAsync(new byte[] { 1 }, new IPEndPoint(b.Address, ((IPEndPoint)atB.LocalEndPoint!).Port));
        Assert.Equal(a.Address, await SenderAsync(atB));

        NatBox carrier = lab.NewBox(NatRules.CarrierGrade);
        Site c = lab.AddBehind("c", lab.NewBoxBehind(carrier, "100.64.0.11", NatRules.PortRestricted), Ipv4.Address(carrier.Outside));
        Site d = lab.AddBehind("d", lab.NewBoxBehind(carrier, "100.64.0.12", NatRules.PortRestricted), Ipv4.Address(carrier.Outside));
        using Socket atC = c.OpenUdp();
        using Socket atD = d.OpenUdp();
        IPEndPoint outsideC = await probe.SeenAsync(atC, 0);
        IPEndPoint outsideD = await probe.SeenAsync(atD, 0);
        Assert.Equal((c.Outside, d.Outside), (outsideC.Address, outsideD.Address));
        await atC.SendToAsync(new byte[] { 1 }, outsideD); // opens its own filters
        await atD.SendToAsync(new byte[] { 1 }, outsideC);
        Assert.Equal(carrier.Outside, Ipv4.Number(await SenderAsync(atC)));
    }

    [Fact]
    public async Task The_wire_delays_cuts_counts_and_carries_forgeries()
    {
        TimeSpan oneWay = TimeSpan.FromMilliseconds(15);
        await using NatLab lab = new(oneWay);
        using NatProbe probe = new(lab);
        Site a = lab.AddPublic("a");
        Site b = lab.AddPublic("b");
        using Socket atA = a.OpenUdp(7000);
        using Socket atB = b.OpenUdp(7000);
        IPEndPoint toB = new(b.Outside, 7000);
        long started = Stopwatch.GetTimestamp();
        await atA.SendToAsync(new byte[100], toB);
        Assert.Equal(a.Outside, await SenderAsync(atB));
        Assert.True(Stopwatch.GetElapsedTime(started) >= oneWay);
        Assert.Equal(128, lab.Internet.UdpBytes(a.Outside, b.Outside));

        lab.Internet.Cut(a.Outside, b.Outside);
        await atA.SendToAsync(new byte[100], toB);
        await probe.SeenAsync(atA, 0); // which went after it
        IPAddress invented = IPAddress.Parse("192.0.2.66");
        lab.Internet.Inject(Ipv4.NewUdp(new Endpoint4(Ipv4.Number(invented), 53), new Endpoint4(Ipv4.Number(b.Outside), 7000), [1, 2, 3]));
        Assert.Equal(invented, await SenderAsync(atB));
        lab.Internet.Cut(a.Outside, b.Outside, cut: false);
        await atA.SendToAsync(new byte[4], toB);
        Assert.Equal(a.Outside, await SenderAsync(atB));
        Assert.Equal(0, atB.Available);
    }

    [Fact]
    public async Task A_killed_run_leaves_nothing_after_the_next_start()
    {
        Assert.SkipWhen(NetworkNamespace.Obstacle is not null, NetworkNamespace.Obstacle ?? string.Empty);
        using Process ended = Programs.Start("true", [], new Dictionary<string, string?>());
        await ended.WaitForExitAsync(TestContext.Current.CancellationToken);
        string name = $"pilotnat-{ended.Id}-1-dead";
        using NetworkNamespace mine = new("mine");
        Assert.Equal(0, (await Programs.RunAsync("ip", ["netns", "add", name], new Dictionary<string, string?>())).Exit);
        using Process lost = Programs.Start("ip", ["netns", "exec", name, "sleep", "600"], new Dictionary<string, string?>());
        await Wait.UntilAsync("a process in it", async () => (await Programs.RunAsync("ip", ["netns", "pids", name], new Dictionary<string, string?>())).Stdout.Length > 0);
        NetworkNamespace.RemoveLeftOvers(again: true);
        await lost.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.False(File.Exists("/var/run/netns/" + name));
        Assert.True(File.Exists("/var/run/netns/" + mine.Name));
    }

    private static async Task<IPAddress> SenderAsync(Socket socket)
    {
        byte[] buffer = new byte[256];
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(TimeSpan.FromSeconds(5));
        return ((IPEndPoint)(await socket.ReceiveFromAsync(buffer, SocketFlags.None, new IPEndPoint(IPAddress.Any, 0), limit.Token)).RemoteEndPoint).Address;
    }
}
