using System.ComponentModel;
using System.Runtime.InteropServices;
using System.Text;

namespace Pilot.EndToEnd.Tests.Nat.Wire;

/// <summary>A network interface whose wire is this process (Linux, Documentation/networking/tuntap.rst): whole IP packets, one per call. Needs root.</summary>
internal sealed unsafe partial class TunDevice : IDisposable
{
    private const int ReadWriteNonBlocking = 0x2 | 0x800 | 0x80000; // O_RDWR, O_NONBLOCK, O_CLOEXEC
    private const nuint SetInterface = 0x400454ca; // TUNSETIFF
    private const short TunWithoutHeader = 0x1001; // IFF_TUN | IFF_NO_PI
    private const int NameSize = 16; // IFNAMSIZ
    private const int RequestSize = 40; // struct ifreq

    /// <param name="name">Name of the interface, in the namespace of the calling thread. It vanishes with this object.</param>
    public TunDevice(string name)
    {
        Descriptor = Open("/dev/net/tun", ReadWriteNonBlocking);
        if (Descriptor < 0)
        {
            throw new Win32Exception(Marshal.GetLastPInvokeError());
        }

        byte* request = stackalloc byte[RequestSize];
        new Span<byte>(request, RequestSize).Clear();
        Encoding.ASCII.GetBytes(name, new Span<byte>(request, NameSize - 1));
        *(short*)(request + NameSize) = TunWithoutHeader;
        if (Control(Descriptor, SetInterface, request) < 0)
        {
            Win32Exception error = new(Marshal.GetLastPInvokeError());
            Dispose();
            throw error;
        }
    }

    public int Descriptor { get; }

    /// <summary>Takes a packet that the kernel sends; 0 when there is none.</summary>
    public int Receive(Span<byte> packet)
    {
        fixed (byte* start = packet)
        {
            return (int)Math.Max(0, Read(Descriptor, start, (nuint)packet.Length));
        }
    }

    /// <summary>Hands the kernel a packet; one that it does not take (interface down) is lost, as on a wire.</summary>
    public void Send(ReadOnlySpan<byte> packet)
    {
        fixed (byte* start = packet)
        {
            _ = Write(Descriptor, start, (nuint)packet.Length);
        }
    }

    public void Dispose() => _ = CloseDescriptor(Descriptor);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    private static partial int Control(int descriptor, nuint request, void* argument);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    private static partial nint Read(int descriptor, void* buffer, nuint count);

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    private static partial nint Write(int descriptor, void* buffer, nuint count);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int CloseDescriptor(int descriptor);
}
