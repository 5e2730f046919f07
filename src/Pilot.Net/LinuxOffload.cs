namespace Pilot.Net;

/// <summary>What the kernel does for UDP in batches beyond recvmmsg and sendmmsg.</summary>
[Flags]
internal enum LinuxOffload : byte
{
    None = 0,

    /// <summary>UDP_SEGMENT: one send call carries up to 64 equal-size datagrams (GSO).</summary>
    Segmentation = 1,

    /// <summary>UDP_GRO: one received message carries several equal-size datagrams of one sender.</summary>
    Coalescing = 2,

    All = Segmentation | Coalescing,
}

/// <summary>Asks the kernel once, at start.</summary>
internal static class LinuxOffloadProbe
{
    /// <summary>Finds out what the kernel takes and switches GRO on. UDP_SEGMENT stays a matter of each send call.</summary>
    public static LinuxOffload Run(int descriptor)
    {
        var offload = LinuxOffload.None;
        if (LinuxSocketCalls.TrySetOption(descriptor, LinuxSocketCalls.UdpLevel, LinuxSocketCalls.OptionSegment, 0))
        {
            offload |= LinuxOffload.Segmentation;
        }

        if (LinuxSocketCalls.TrySetOption(descriptor, LinuxSocketCalls.UdpLevel, LinuxSocketCalls.OptionCoalesce, 1))
        {
            offload |= LinuxOffload.Coalescing;
        }

        return offload;
    }
}
