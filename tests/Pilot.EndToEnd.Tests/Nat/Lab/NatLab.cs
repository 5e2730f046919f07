using System.Globalization;
using System.Net;
using Pilot.EndToEnd.Tests.Nat.Machines;
using Pilot.EndToEnd.Tests.Nat.Wire;

namespace Pilot.EndToEnd.Tests.Nat.Lab;

/// <summary>
/// An internet with sites behind NATs. Every site has an outside address of its own (198.51.100.n) and, behind a NAT, the same kind of inside
/// address as everybody else's home (192.168.1.x), so that inside addresses of different sites collide as they do outside of labs.
/// </summary>
internal sealed class NatLab : IAsyncDisposable
{
    public static readonly IPAddress ServerAddress = IPAddress.Parse("203.0.113.1");
    public static readonly IPAddress SecondServerAddress = IPAddress.Parse("203.0.113.2");
    private const string HomeRouter = "192.168.1.1";
    private const string Device = "eth0";
    private readonly List<Site> _sites = [];
    private readonly List<IAsyncDisposable> _programs = [];
    private int _outside;
    private int _host = 9;

    /// <param name="oneWay">Delay between any two sites.</param>
    public NatLab(TimeSpan oneWay = default)
    {
        Assert.SkipWhen(NetworkNamespace.Obstacle is not null, NetworkNamespace.Obstacle ?? string.Empty);
        Internet = new Internet(oneWay);
        Server = AddPublic("server", ServerAddress, SecondServerAddress);
    }

    public Internet Internet { get; }

    /// <summary>The machine of the rendezvous: two outside addresses, no NAT.</summary>
    public Site Server { get; }

    public static void NeedNft() => Assert.SkipUnless(NetworkNamespace.HasNft, "needs the program nft (Debian package nftables)");

    /// <summary>A machine with outside addresses of its own and no filter.</summary>
    public Site AddPublic(string name, params IPAddress[] addresses)
    {
        addresses = addresses.Length > 0 ? addresses : [NewOutside()];
        NetworkNamespace machine = new(name);
        TunHost wire = NewWire(machine, Device);
        wire.Uplink = Internet;
        machine.Ip([.. addresses.Select(a => $"address add {a}/32 dev {Device}"), $"link set {Device} up", $"route add default dev {Device} src {addresses[0]}"]);
        foreach (IPAddress address in addresses)
        {
            Internet.Route(address, wire);
        }

        return Keep(new Site { Name = name, Machine = machine, Address = addresses[0], Outside = addresses[0], Wire = wire });
    }

    /// <summary>A machine behind a NAT of ours that nobody else is behind.</summary>
    public Site AddBehind(string name, NatRules rules) => AddBehind(name, NewBox(rules));

    /// <summary>A machine behind a given NAT of ours.</summary>
    /// <param name="outside">The address by which the internet knows it, when the NAT is behind another one.</param>
    public Site AddBehind(string name, NatBox box, IPAddress? outside = null)
    {
        IPAddress address = NewInside();
        NetworkNamespace machine = new(name);
        TunHost wire = NewWire(machine, Device);
        wire.Uplink = box;
        box.Plug(address, wire);
        machine.Ip($"address add {address}/24 dev {Device}", $"link set {Device} up", $"route add default via {HomeRouter} dev {Device}");
        return Keep(new Site { Name = name, Machine = machine, Address = address, Outside = outside ?? Ipv4.Address(box.Outside), Box = box, Wire = wire });
    }

    /// <summary>A NAT of ours with an outside address of its own.</summary>
    public NatBox NewBox(NatRules rules)
    {
        IPAddress address = NewOutside();
        NatBox box = new(Internet, Internet, address, rules, seed: _outside);
        Internet.Route(address, box);
        return box;
    }

    /// <summary>A NAT of ours behind another one (a home behind a carrier's NAT).</summary>
    public NatBox NewBoxBehind(NatBox carrier, string address, NatRules rules)
    {
        IPAddress shared = IPAddress.Parse(address);
        NatBox box = new(Internet, carrier, shared, rules, seed: ++_host);
        carrier.Plug(shared, box);
        return box;
    }

    /// <summary>A machine behind the kernel's NAT.</summary>
    public Site AddBehindKernel(string name, KernelNatKind kind)
    {
        NeedNft();
        IPAddress outside = NewOutside();
        return AddBehindKernel(name, new KernelNat(kind, outside.ToString(), HomeRouter, router => PlugRouter(router, outside)), outside);
    }

    /// <summary>A machine behind two of them, one after the other.</summary>
    public Site AddBehindTwoKernels(string name, KernelNatKind outer, KernelNatKind inner)
    {
        NeedNft();
        IPAddress outside = NewOutside();
        KernelNat carrier = new(outer, outside.ToString(), "100.64.0.1", router => PlugRouter(router, outside));
        Site site = AddBehindKernel(name, new KernelNat(inner, "100.64.0.2", HomeRouter, home => carrier.Plug(home, "wan", "100.64.0.2")), outside);
        site.Owns(carrier);
        return site;
    }

    /// <summary>Moves a machine into another network, as a phone that leaves the house: another inside address behind another NAT.</summary>
    public void Move(Site site, NatBox to)
    {
        TunHost wire = site.Wire!;
        IPAddress address = NewInside();
        site.Box?.Unplug(site.Address);
        if (site.Box is null)
        {
            Internet.Unroute(site.Address);
        }

        site.Machine.Ip($"address flush dev {Device}", $"address add {address}/24 dev {Device}", $"route add default via {HomeRouter} dev {Device}");
        lock (Internet.Gate)
        {
            wire.Uplink = to;
        }

        to.Plug(address, wire);
        (site.Box, site.Address, site.Outside) = (to, address, Ipv4.Address(to.Outside));
    }

    /// <summary>Gives the outside of a NAT another address: a new lease of the provider.</summary>
    public void Renumber(Site site)
    {
        IPAddress address = NewOutside();
        Internet.Unroute(site.Outside);
        Internet.Route(address, site.Box!);
        site.Box!.SetOutside(address);
        site.Outside = address;
    }

    /// <summary>Ends with the lab, before its networks.</summary>
    public T Keep<T>(T program)
        where T : IAsyncDisposable
    {
        lock (_programs)
        {
            _programs.Add(program);
        }

        return program;
    }

    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(_programs.Select(p => p.DisposeAsync().AsTask()));
        Internet.Dispose();
        foreach (Site site in _sites)
        {
            site.Dispose();
        }
    }

    private Site AddBehindKernel(string name, KernelNat nat, IPAddress outside)
    {
        IPAddress address = NewInside();
        NetworkNamespace machine = new(name);
        nat.Plug(machine, Device, address.ToString());
        Site site = Keep(new Site { Name = name, Machine = machine, Address = address, Outside = outside, Kernel = nat });
        site.Owns(nat);
        return site;
    }

    private void PlugRouter(NetworkNamespace router, IPAddress outside)
    {
        TunHost wire = NewWire(router, "wan");
        wire.Uplink = Internet;
        router.Ip($"address add {outside}/32 dev wan", "link set wan up", "route add default dev wan");
        Internet.Route(outside, wire);
    }

    private TunHost NewWire(NetworkNamespace machine, string device)
    {
        TunHost wire = new(machine.Run(() => new TunDevice(device)));
        Internet.Add(wire);
        return wire;
    }

    private Site Keep(Site site)
    {
        _sites.Add(site);
        return site;
    }

    private IPAddress NewOutside() => IPAddress.Parse(string.Create(CultureInfo.InvariantCulture, $"198.51.100.{++_outside}"));

    private IPAddress NewInside() => IPAddress.Parse(string.Create(CultureInfo.InvariantCulture, $"192.168.1.{++_host}"));
}
