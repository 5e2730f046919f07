using System.Buffers.Binary;
using System.Net.Sockets;

namespace Pilot.Cli.Processes;

/// <summary>Asks the kernel which process listens on a Unix socket: a pid that needs no pid file and cannot be stale.</summary>
internal static class DaemonSocket
{
    private const int SolSocket = 1; // Linux
    private const int SoPeerCred = 17; // Linux: struct ucred { pid, uid, gid }
    private const int SolLocal = 0; // Darwin
    private const int LocalPeerPid = 2; // Darwin

    /// <summary>Null when nobody listens there, or the kernel does not tell.</summary>
    public static int? PeerProcess(string socketPath)
    {
        try
        {
            using Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            socket.Connect(new UnixDomainSocketEndPoint(socketPath));
            Span<byte> credentials = stackalloc byte[12];
            int length = OperatingSystem.IsMacOS()
                ? socket.GetRawSocketOption(SolLocal, LocalPeerPid, credentials[..4])
                : socket.GetRawSocketOption(SolSocket, SoPeerCred, credentials);
            if (length < sizeof(int))
            {
                return null;
            }

            int pid = BitConverter.IsLittleEndian ? BinaryPrimitives.ReadInt32LittleEndian(credentials) : BinaryPrimitives.ReadInt32BigEndian(credentials);
            return pid > 0 ? pid : null;
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            return null;
        }
    }
}
