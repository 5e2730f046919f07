using System.Globalization;
using Pilot.EndToEnd.Tests.Lab;
using Pilot.EndToEnd.Tests.Nat.Wire;

namespace Pilot.EndToEnd.Tests.Nat.Machines;

/// <summary>What the kernel's own NAT can be.</summary>
internal enum KernelNatKind
{
    /// <summary>Masquerade: keeps the port where it is free, filters by address and port.</summary>
    PortRestricted,

    /// <summary>Masquerade with a random port for every destination.</summary>
    Symmetric,

    /// <summary>Masquerade for TCP, nothing for UDP.</summary>
    UdpBlocked,
}

/// <summary>A router that is a namespace with nftables masquerade: the NAT of most homes. Needs <c>nft</c>.</summary>
internal sealed class KernelNat : IDisposable
{
    private const string Wan = "wan";
    private const string Lan = "lan";
    private readonly KernelNatKind _kind;

    /// <param name="outside">Outside address; what plugs <c>wan</c> in is the caller's.</param>
    /// <param name="inside">Inside address, with the length of the network (/24).</param>
    /// <param name="makeWan">Makes the interface <c>wan</c> in the router's namespace.</param>
    public KernelNat(KernelNatKind kind, string outside, string inside, Action<NetworkNamespace> makeWan)
    {
        (_kind, Outside, Inside) = (kind, outside, inside);
        Router = new NetworkNamespace("router");
        makeWan(Router);
        Router.Set("net/ipv4/ip_forward", "1");
        Load(ports: string.Empty);
    }

    public NetworkNamespace Router { get; }

    public string Outside { get; }

    public string Inside { get; }

    /// <summary>Plugs a machine into the LAN with a cable; its interface is <paramref name="device"/>.</summary>
    public void Plug(NetworkNamespace machine, string device, string address)
    {
        Router.Ip($"link add {Lan} type veth peer name {device} netns {machine.Name}", $"address add {Inside}/24 dev {Lan}", $"link set {Lan} up");
        machine.Ip($"address add {address}/24 dev {device}", $"link set {device} up", $"route add default via {Inside}");
    }

    /// <summary>Silence after which the kernel forgets UDP.</summary>
    public void SetUdpTimeout(TimeSpan timeout)
    {
        string seconds = ((int)timeout.TotalSeconds).ToString(CultureInfo.InvariantCulture);
        Router.Set("net/netfilter/nf_conntrack_udp_timeout", seconds);
        Router.Set("net/netfilter/nf_conntrack_udp_timeout_stream", seconds);
    }

    /// <summary>Forgets every mapping, UDP and TCP; the next ones get other ports.</summary>
    public async Task RebindAsync(int firstPort)
    {
        Load(string.Create(CultureInfo.InvariantCulture, $"to :{firstPort}-{firstPort + 999}"));
        Router.Ip($"link set {Wan} down"); // masquerade forgets what went over an interface that goes down, a little later
        long started = Environment.TickCount64;
        await Wait.UntilAsync("the kernel has forgotten", () => !Router.Run(() => Remembers(started)));
        Router.Ip($"link set {Wan} up", $"route replace default dev {Wan}");
    }

    /// <summary>Drops forwarded UDP to and from an address, or nothing more.</summary>
    public void DropUdp(string? peer) => Router.Nft(
        "add table ip cut\nflush table ip cut\nadd chain ip cut forward { type filter hook forward priority -10; policy accept; }\n"
        + (peer is null ? string.Empty : $"add rule ip cut forward ip saddr {peer} meta l4proto udp drop\nadd rule ip cut forward ip daddr {peer} meta l4proto udp drop\n"));

    public void Dispose() => Router.Dispose();

    // Whether anything is still translated: answers would go to the outside address, which is the last of the four on a line.
    private bool Remembers(long since)
    {
        const string Table = "/proc/thread-self/net/nf_conntrack";
        return File.Exists(Table)
            ? File.ReadLines(Table).Any(
                line => line.LastIndexOf("dst=", StringComparison.Ordinal) is var last and >= 0 && line.AsSpan(last + 4).StartsWith(Outside + " ", StringComparison.Ordinal))
            : Environment.TickCount64 - since < 2000; // a kernel that does not show it: long enough for the few entries of a lab
    }

    private void Load(string ports)
    {
        string udp = _kind == KernelNatKind.Symmetric ? "masquerade fully-random" : ports.Length > 0 ? "masquerade " + ports : "masquerade";
        string blocked = _kind == KernelNatKind.UdpBlocked ? "meta l4proto udp drop" : string.Empty;

        // Strangers' packets end at the router without a trace, as on every router that is sold; otherwise the kernel would remember them and
        // choose another port for the answer that comes from inside.
        Router.Nft($$"""
            add table ip nat
            delete table ip nat
            table ip nat {
              chain out { type nat hook postrouting priority 100; policy accept; oifname "{{Wan}}" meta l4proto udp {{udp}}; oifname "{{Wan}}" masquerade; }
            }
            add table ip gate
            delete table ip gate
            table ip gate {
              chain input { type filter hook input priority 0; policy accept; iifname "{{Wan}}" ct state new drop; }
              chain forward { type filter hook forward priority 0; policy drop; {{blocked}}
                iifname "{{Lan}}" accept
                ct state established,related accept
              }
            }

            """);
    }
}
