using System.Net.Sockets;

namespace Pilot.Net;

/// <summary>Opens the tunnel's socket and chooses the fastest path that this system has.</summary>
internal static class DatagramSocket
{
    /// <summary>Opens and binds the socket, dual-stack where the system has IPv6.</summary>
    /// <param name="host">IP text, or empty for all addresses.</param>
    /// <param name="port">UDP port, 0 for any.</param>
    /// <exception cref="SocketException">Address not available or in use.</exception>
    /// <exception cref="FormatException">The host is not an IP.</exception>
    public static IDatagramSocket Open(string host, int port) => Open(host, port, OperatingSystem.IsLinux() ? LinuxOffloadProbe.Run : null);

    /// <summary>Opens with a given probe of the batch calls; null for the portable path.</summary>
    internal static IDatagramSocket Open(string host, int port, Func<int, LinuxOffload>? probe)
    {
        var socket = DatagramSocketBinding.Bind(host, port);
        try
        {
            return probe is null ? new SocketDatagramSocket(socket) : new LinuxDatagramSocket(socket, probe((int)socket.Handle));
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
