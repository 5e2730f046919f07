using System.Runtime.InteropServices;

namespace Pilot.Net;

/// <summary>
/// The batch socket calls of Linux that the framework does not offer, and the shapes that they take (recvmmsg(2), sendmmsg(2), cmsg(3),
/// udp(7); kernel include/uapi/linux/udp.h). All structs are blittable and laid out as in the C library.
/// </summary>
internal static unsafe partial class LinuxSocketCalls
{
    public const int SocketLevel = 1; // SOL_SOCKET
    public const int UdpLevel = 17; // SOL_UDP
    public const int OptionSegment = 103; // UDP_SEGMENT, Linux 4.18: segment size in bytes, 16 bits
    public const int OptionCoalesce = 104; // UDP_GRO, Linux 5.0: on or off; as control message the segment size, 32 bits
    public const int OptionTimestamp = 35; // SO_TIMESTAMPNS of 64-bit systems: on or off; as control message a struct timespec of the system's clock

    public const int DoNotWait = 0x40; // MSG_DONTWAIT
    public const int Truncated = 0x20; // MSG_TRUNC
    public const short CanWrite = 0x0004; // POLLOUT

    public const int ErrorNotPermitted = 1; // EPERM
    public const int ErrorInterrupted = 4; // EINTR
    public const int ErrorInputOutput = 5; // EIO
    public const int ErrorTryAgain = 11; // EAGAIN = EWOULDBLOCK
    public const int ErrorInvalid = 22; // EINVAL
    public const int ErrorNoSystemCall = 38; // ENOSYS
    public const int ErrorMessageSize = 90; // EMSGSIZE
    public const int ErrorNoProtocolOption = 92; // ENOPROTOOPT
    public const int ErrorNotSupported = 95; // EOPNOTSUPP
    public const int ErrorNoBuffers = 105; // ENOBUFS

    public const int FamilyIPv4 = 2; // AF_INET
    public const int FamilyIPv6 = 10; // AF_INET6
    public const int AddressSizeIPv4 = 16; // sockaddr_in
    public const int AddressSizeIPv6 = 28; // sockaddr_in6

    /// <summary>struct iovec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Vector
    {
        public byte* Base;
        public nuint Length;
    }

    /// <summary>struct msghdr.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Message
    {
        public byte* Name;
        public uint NameLength;
        public Vector* Vectors;
        public nuint VectorCount;
        public byte* Control;
        public nuint ControlLength;
        public int Flags;
    }

    /// <summary>struct mmsghdr.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct BatchMessage
    {
        public Message Message;
        public uint Length;
    }

    /// <summary>struct cmsghdr; the data follow, everything aligned to the machine word.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct ControlHeader
    {
        public nuint Length;
        public int Level;
        public int Type;
    }

    [LibraryImport("libc", EntryPoint = "recvmmsg", SetLastError = true)]
    public static partial int ReceiveMessages(int descriptor, BatchMessage* messages, uint count, int flags, void* timeout);

    [LibraryImport("libc", EntryPoint = "sendmmsg", SetLastError = true)]
    public static partial int SendMessages(int descriptor, BatchMessage* messages, uint count, int flags);

    [LibraryImport("libc", EntryPoint = "sendmsg", SetLastError = true)]
    public static partial nint SendMessage(int descriptor, Message* message, int flags);

    [LibraryImport("libc", EntryPoint = "setsockopt", SetLastError = true)]
    public static partial int SetOption(int descriptor, int level, int option, void* value, uint length);

    /// <summary>Rounds up to the alignment of control messages (CMSG_ALIGN).</summary>
    public static int AlignControl(int length) => (length + sizeof(nuint) - 1) & ~(sizeof(nuint) - 1);

    /// <summary>Sets an integer option; false when the kernel refuses.</summary>
    public static bool TrySetOption(int descriptor, int level, int option, int value) =>
        SetOption(descriptor, level, option, &value, sizeof(int)) == 0;
}
