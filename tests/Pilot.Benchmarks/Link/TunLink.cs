using System.Diagnostics;
using Pilot.Net.Polling;

namespace Pilot.Benchmarks.Link;

/// <summary>A link between two network interfaces: everything that the kernel sends over them takes it, so real TCP and real daemons share one bottleneck.</summary>
internal sealed class TunLink : TwoWayLink
{
    private const int LargestPacket = 65_535;
    private const int PacketsPerRound = 256; // then what is due is handed out

    private readonly TunDevice _a;
    private readonly TunDevice _b;
    private readonly byte[] _packet = GC.AllocateUninitializedArray<byte>(LargestPacket, pinned: true);

    /// <param name="nameA">Name of the interface of one side; the caller moves it where it belongs.</param>
    /// <param name="nameB">And of the other.</param>
    /// <param name="parameters">Of the first link.</param>
    public TunLink(string nameA, string nameB, LinkParameters parameters)
        : base(parameters)
    {
        _a = new TunDevice(nameA);
        _b = new TunDevice(nameB);
        Poller.Add(_a.Descriptor, 0, Interest.Read);
        Poller.Add(_b.Descriptor, 1, Interest.Read);
    }

    protected override void Receive()
    {
        Receive(_a, ShaperToB, ToB);
        Receive(_b, ShaperToA, ToA);
    }

    protected override void Release(long now)
    {
        Release(now, ToB, _b);
        Release(now, ToA, _a);
    }

    protected override void Close()
    {
        _a.Dispose();
        _b.Dispose();
    }

    private void Receive(TunDevice device, LinkShaper shaper, LinkQueue queue)
    {
        int length;
        for (var i = 0; i < PacketsPerRound && (length = device.Receive(_packet)) > 0; i++)
        {
            if (shaper.TryAdmit(Stopwatch.GetTimestamp(), length, out var arrival))
            {
                queue.Add(arrival, _packet.AsSpan(0, length));
            }
        }
    }

    private void Release(long now, LinkQueue queue, TunDevice device)
    {
        int length;
        while ((length = queue.Take(now, _packet)) > 0)
        {
            device.Send(_packet.AsSpan(0, length)); // refused only while the interface is down: lost, as on a wire
        }
    }
}
