using System.Runtime.InteropServices;

namespace Pilot.Net;

/// <summary>What a call that never waits did.</summary>
internal enum TransferStatus
{
    /// <summary>Bytes were moved.</summary>
    Done,

    /// <summary>The peer sends no more.</summary>
    End,

    /// <summary>Nothing can be moved now.</summary>
    WouldBlock,

    /// <summary>The connection is gone.</summary>
    Broken,
}

/// <summary>recv(2) and send(2) on a TCP socket, without ever waiting: two calls of the kernel and nothing around them. Linux only.</summary>
internal static unsafe partial class StreamCalls
{
    private const int NoSignal = 0x4000; // MSG_NOSIGNAL

    /// <summary>Reads what is there.</summary>
    /// <param name="socket">A connected TCP socket.</param>
    /// <param name="to">Not empty.</param>
    /// <param name="count">Bytes read.</param>
    public static TransferStatus Receive(SafeHandle socket, Span<byte> to, out int count)
    {
        fixed (byte* start = to)
        {
            count = (int)Receive(socket, start, (nuint)to.Length, LinuxSocketCalls.DoNotWait);
        }

        return count > 0 ? TransferStatus.Done : count == 0 ? TransferStatus.End : Failure(out count);
    }

    /// <summary>Writes as much as the kernel takes.</summary>
    /// <param name="socket">A connected TCP socket.</param>
    /// <param name="from">Not empty.</param>
    /// <param name="count">Bytes written, perhaps fewer than given.</param>
    public static TransferStatus Send(SafeHandle socket, ReadOnlySpan<byte> from, out int count)
    {
        fixed (byte* start = from)
        {
            count = (int)Send(socket, start, (nuint)from.Length, LinuxSocketCalls.DoNotWait | NoSignal);
        }

        return count >= 0 ? TransferStatus.Done : Failure(out count);
    }

    private static TransferStatus Failure(out int count)
    {
        count = 0;
        return Marshal.GetLastPInvokeError() is LinuxSocketCalls.ErrorTryAgain or LinuxSocketCalls.ErrorInterrupted ? TransferStatus.WouldBlock : TransferStatus.Broken;
    }

    [LibraryImport("libc", EntryPoint = "recv", SetLastError = true)]
    private static partial nint Receive(SafeHandle socket, byte* to, nuint size, int flags);

    [LibraryImport("libc", EntryPoint = "send", SetLastError = true)]
    private static partial nint Send(SafeHandle socket, byte* from, nuint size, int flags);
}
