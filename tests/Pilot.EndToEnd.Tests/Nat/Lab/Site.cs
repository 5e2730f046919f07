using System.Net;
using System.Net.Sockets;
using Pilot.EndToEnd.Tests.Nat.Machines;
using Pilot.EndToEnd.Tests.Nat.Wire;

namespace Pilot.EndToEnd.Tests.Nat.Lab;

/// <summary>A machine of the lab and what stands in front of it.</summary>
internal sealed class Site : IDisposable
{
    private readonly List<IDisposable> _routers = [];

    public required string Name { get; init; }

    public required NetworkNamespace Machine { get; init; }

    /// <summary>The machine's own address.</summary>
    public required IPAddress Address { get; set; }

    /// <summary>The address by which the internet knows it.</summary>
    public required IPAddress Outside { get; set; }

    /// <summary>The NAT of ours that it is behind, if one.</summary>
    public NatBox? Box { get; set; }

    /// <summary>The kernel's NAT that it is behind, if one.</summary>
    public KernelNat? Kernel { get; init; }

    /// <summary>The wire end of the machine, unless it hangs on a kernel router.</summary>
    public TunHost? Wire { get; init; }

    public Socket OpenUdp(int port = 0) => Machine.OpenUdp(new IPEndPoint(IPAddress.Any, port));

    public void Owns(IDisposable router) => _routers.Add(router);

    public void Dispose()
    {
        Machine.Dispose();
        foreach (IDisposable router in _routers)
        {
            router.Dispose();
        }
    }
}
