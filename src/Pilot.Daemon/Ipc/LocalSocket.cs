using System.Runtime.InteropServices;
using Pilot.Net;
using Pilot.Net.Polling;

namespace Pilot.Daemon.Ipc;

/// <summary>
/// One accepted connection of the Unix socket: a bare descriptor, non-blocking. The framework's socket would cost each connection four
/// system calls and half a kilobyte more. Owned by the loop thread; nobody else closes it, so it must be disposed of.
/// </summary>
internal sealed partial class LocalSocket : IDisposable
{
    private const int NonBlocking = 0x800; // SOCK_NONBLOCK, Linux
    private const int CloseOnExec = 0x80000; // SOCK_CLOEXEC, Linux
    private const int SetFlags = 4; // F_SETFL
    private const int SetDescriptorFlags = 2; // F_SETFD
    private const int CloseOnExecFlag = 1; // FD_CLOEXEC
    private const int BsdNonBlocking = 0x4; // O_NONBLOCK
    private const int ShutRead = 0; // SHUT_RD
    private const int ShutWrite = 1; // SHUT_WR
    private const int SocketLevel = 1; // SOL_SOCKET, Linux
    private const int PeerCredentialsOption = 17; // SO_PEERCRED, Linux

    private bool _isClosed;

    private LocalSocket(int descriptor) => Descriptor = descriptor;

    public int Descriptor { get; }

    /// <summary>Takes the next client; null with the error's number when there is none or it cannot be taken.</summary>
    public static unsafe LocalSocket? Accept(int listener, out int error)
    {
        error = 0;
        if (OperatingSystem.IsLinux())
        {
            var accepted = Accept4(listener, null, null, NonBlocking | CloseOnExec);
            if (accepted >= 0)
            {
                return new LocalSocket(accepted);
            }
        }
        else
        {
            var accepted = Accept(listener, null, null);
            if (accepted >= 0)
            {
                _ = Libc.FileControl(accepted, SetDescriptorFlags, CloseOnExecFlag);
                _ = Libc.FileControl(accepted, SetFlags, BsdNonBlocking);
                return new LocalSocket(accepted);
            }
        }

        error = Marshal.GetLastPInvokeError();
        return null;
    }

    /// <summary>Reads what is there: bytes, 0 at the end, -1 with the error's number.</summary>
    public unsafe int Read(Span<byte> buffer, out int error)
    {
        fixed (byte* start = buffer)
        {
            var count = (int)Libc.Read(Descriptor, start, (nuint)buffer.Length);
            error = count < 0 ? Marshal.GetLastPInvokeError() : 0;
            return count;
        }
    }

    /// <summary>Writes what fits: bytes, or -1 with the error's number.</summary>
    public unsafe int Write(ReadOnlySpan<byte> data, out int error)
    {
        fixed (byte* start = data)
        {
            var count = (int)Libc.Write(Descriptor, start, (nuint)data.Length);
            error = count < 0 ? Marshal.GetLastPInvokeError() : 0;
            return count;
        }
    }

    /// <summary>Ends the direction to the client; false when it is gone.</summary>
    public bool EndWriting() => Shutdown(Descriptor, ShutWrite) == 0;

    /// <summary>Takes no more from the client: its writes fail. False when it is gone.</summary>
    public bool EndReading() => Shutdown(Descriptor, ShutRead) == 0;

    /// <summary>Whether the process at the other end belongs to our user or to root. Systems without this check rely on the file mode.</summary>
    public unsafe bool BelongsToOwner()
    {
        if (!OperatingSystem.IsLinux())
        {
            return true;
        }

        Libc.PeerCredentials credentials;
        var length = (uint)sizeof(Libc.PeerCredentials);
        return GetOption(Descriptor, SocketLevel, PeerCredentialsOption, &credentials, &length) == 0 && length == sizeof(Libc.PeerCredentials)
            && (credentials.Uid == 0 || credentials.Uid == Libc.EffectiveUserId());
    }

    public void Dispose()
    {
        if (!_isClosed)
        {
            _isClosed = true;
            _ = Libc.Close(Descriptor);
        }
    }

    [LibraryImport("libc", EntryPoint = "accept4", SetLastError = true)]
    private static unsafe partial int Accept4(int descriptor, void* address, uint* length, int flags);

    [LibraryImport("libc", EntryPoint = "accept", SetLastError = true)]
    private static unsafe partial int Accept(int descriptor, void* address, uint* length);

    [LibraryImport("libc", EntryPoint = "shutdown", SetLastError = true)]
    private static partial int Shutdown(int descriptor, int how);

    [LibraryImport("libc", EntryPoint = "getsockopt", SetLastError = true)]
    private static unsafe partial int GetOption(int descriptor, int level, int option, void* value, uint* length);
}

/// <summary>A client's connection on its way from the command server to a stream: it stays watched all the while.</summary>
/// <param name="Socket">Belongs to the taker.</param>
/// <param name="Token">Its watch in the loop.</param>
/// <param name="Interest">What it is watched for now.</param>
/// <param name="Early">Bytes that came behind the command.</param>
internal readonly record struct HandedOver(LocalSocket Socket, int Token, Interest Interest, byte[] Early);
