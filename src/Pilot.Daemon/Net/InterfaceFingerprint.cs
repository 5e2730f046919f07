using System.Runtime.InteropServices;
using Pilot.Net;

namespace Pilot.Daemon.Net;

/// <summary>
/// Whether this host's interfaces, addresses and IPv4 routes may have changed, without making the list of them: the framework's takes a quarter
/// of a megabyte of garbage and the pages of an assembly, each time. Linux.
/// </summary>
internal static unsafe partial class InterfaceFingerprint
{
    private const ushort FamilyIPv4 = 2; // AF_INET
    private const ushort FamilyIPv6 = 10; // AF_INET6
    private const uint StateFlags = 0x1 | 0x40 | 0x10000; // IFF_UP, IFF_RUNNING, IFF_LOWER_UP
    private const int CloseOnExec = 0x80000; // O_CLOEXEC, with O_RDONLY
    private const ulong HashBasis = 14695981039346656037; // FNV-1a, 64 bits
    private const ulong HashPrime = 1099511628211;

    private static ReadOnlySpan<byte> Routes => "/proc/net/route\0"u8;

    private static ReadOnlySpan<byte> States => "/proc/net/if_inet6\0"u8; // deprecated, tentative: what getifaddrs does not tell

    /// <summary>A number that changes with them; null where the system does not tell.</summary>
    public static ulong? Read()
    {
        if (!OperatingSystem.IsLinux() || GetAddresses(out var first) != 0)
        {
            return null;
        }

        var hash = HashBasis;
        for (var entry = first; entry is not null; entry = entry->Next)
        {
            hash = Add(hash, MemoryMarshal.CreateReadOnlySpanFromNullTerminated(entry->Name));
            var flags = entry->Flags & StateFlags;
            hash = Add(hash, MemoryMarshal.AsBytes(new ReadOnlySpan<uint>(ref flags)));
            if (entry->Address is not null)
            {
                var family = *(ushort*)entry->Address;
                hash = Add(hash, new ReadOnlySpan<byte>(entry->Address, family switch { FamilyIPv4 => 8, FamilyIPv6 => 28, _ => 2 }));
            }
        }

        FreeAddresses(first);
        return AddFile(AddFile(hash, Routes), States);
    }

    private static ulong AddFile(ulong hash, ReadOnlySpan<byte> path)
    {
        int descriptor;
        fixed (byte* name = path)
        {
            descriptor = Open(name, CloseOnExec);
        }

        if (descriptor < 0)
        {
            return hash; // a system without that table
        }

        Span<byte> buffer = stackalloc byte[4096];
        nint count;
        fixed (byte* bytes = buffer)
        {
            while ((count = Libc.Read(descriptor, bytes, (nuint)buffer.Length)) > 0)
            {
                hash = Add(hash, buffer[..(int)count]);
            }
        }

        _ = Libc.Close(descriptor);
        return hash;
    }

    private static ulong Add(ulong hash, ReadOnlySpan<byte> bytes)
    {
        foreach (var value in bytes)
        {
            hash = (hash ^ value) * HashPrime;
        }

        return hash;
    }

    /// <summary>struct ifaddrs, as far as it is looked at: the same in glibc and musl.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Entry
    {
        public Entry* Next;
        public byte* Name;
        public uint Flags;
        public byte* Address;
    }

    [LibraryImport("libc", EntryPoint = "getifaddrs")]
    private static partial int GetAddresses(out Entry* first);

    [LibraryImport("libc", EntryPoint = "freeifaddrs")]
    private static partial void FreeAddresses(Entry* first);

    [LibraryImport("libc", EntryPoint = "open")]
    private static partial int Open(byte* path, int flags);
}
