using System.Net;
using System.Net.Sockets;

namespace Pilot.Net;

/// <summary>Makes the bound UDP socket that both paths use: dual-stack where possible, with large buffers.</summary>
internal static class DatagramSocketBinding
{
    private const int BufferBytes = 4 * 1024 * 1024; // wanted for each direction; the system may grant less
    private const int LinuxSocketLevel = 1; // SOL_SOCKET
    private const int LinuxForceReceiveBuffer = 33; // SO_RCVBUFFORCE, needs CAP_NET_ADMIN
    private const int LinuxForceSendBuffer = 32; // SO_SNDBUFFORCE
    private const int LinuxIPLevel = 0; // IPPROTO_IP
    private const int LinuxIPMtuDiscover = 10; // IP_MTU_DISCOVER
    private const int LinuxIPv6Level = 41; // IPPROTO_IPV6
    private const int LinuxIPv6MtuDiscover = 23; // IPV6_MTU_DISCOVER
    private const int LinuxMtuProbe = 3; // IP_PMTUDISC_PROBE
    private const int LinuxMtuDont = 0; // IP_PMTUDISC_DONT

    /// <summary>Opens and binds.</summary>
    /// <param name="host">IP text, or empty for all addresses.</param>
    /// <param name="port">UDP port, 0 for any.</param>
    /// <exception cref="SocketException">Address not available or in use.</exception>
    /// <exception cref="FormatException">The host is not an IP.</exception>
    public static Socket Bind(string host, int port)
    {
        var address = host.Length == 0 ? null : IPAddress.Parse(host);
        if (address is { AddressFamily: AddressFamily.InterNetwork })
        {
            return Bind(AddressFamily.InterNetwork, new IPEndPoint(address, port), dualStack: false);
        }

        if (address is not null && !address.Equals(IPAddress.IPv6Any))
        {
            return Bind(AddressFamily.InterNetworkV6, new IPEndPoint(address, port), dualStack: false);
        }

        if (Socket.OSSupportsIPv6)
        {
            try
            {
                return Bind(AddressFamily.InterNetworkV6, new IPEndPoint(IPAddress.IPv6Any, port), dualStack: true);
            }
            catch (SocketException exception) when (exception.SocketErrorCode is SocketError.AddressFamilyNotSupported or SocketError.AddressNotAvailable)
            {
                // IPv6 is compiled in but switched off on this host.
            }
        }

        return Bind(AddressFamily.InterNetwork, new IPEndPoint(IPAddress.Any, port), dualStack: false);
    }

    private static Socket Bind(AddressFamily family, IPEndPoint endpoint, bool dualStack)
    {
        var socket = new Socket(family, SocketType.Dgram, ProtocolType.Udp);
        try
        {
            if (dualStack)
            {
                socket.DualMode = true;
            }

            SetBuffer(socket, LinuxForceReceiveBuffer, SocketOptionName.ReceiveBuffer);
            SetBuffer(socket, LinuxForceSendBuffer, SocketOptionName.SendBuffer);
            SetFragmentation(socket, allowed: false);
            socket.Bind(endpoint);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Whether the system may cut datagrams that the link does not carry. By default it may not: they are to be lost, because the search
    /// for the segment size relies on it (01 §10.3, RFC 8899 section 3); on Linux the kernel's own idea of the path is ignored as well,
    /// since the search finds out for itself. A user's large datagram, which nobody can cut elsewhere, is the exception.
    /// </summary>
    public static void SetFragmentation(Socket socket, bool allowed)
    {
        try
        {
            if (OperatingSystem.IsLinux())
            {
                Span<byte> value = stackalloc byte[sizeof(int)];
                BitConverter.TryWriteBytes(value, allowed ? LinuxMtuDont : LinuxMtuProbe);
                socket.SetRawSocketOption(LinuxIPLevel, LinuxIPMtuDiscover, value);
                if (socket.AddressFamily == AddressFamily.InterNetworkV6)
                {
                    socket.SetRawSocketOption(LinuxIPv6Level, LinuxIPv6MtuDiscover, value);
                }
            }
            else if (socket.AddressFamily == AddressFamily.InterNetwork)
            {
                socket.DontFragment = !allowed;
            }
        }
        catch (SocketException)
        {
            // The system cannot: large segments may then travel as fragments where the probes did.
        }
    }

    private static void SetBuffer(Socket socket, int linuxForce, SocketOptionName option)
    {
        if (OperatingSystem.IsLinux())
        {
            try
            {
                Span<byte> value = stackalloc byte[sizeof(int)];
                BitConverter.TryWriteBytes(value, BufferBytes);
                socket.SetRawSocketOption(LinuxSocketLevel, linuxForce, value);
                return;
            }
            catch (SocketException)
            {
                // Not privileged: the system's limit applies below.
            }
        }

        try
        {
            socket.SetSocketOption(SocketOptionLevel.Socket, option, BufferBytes);
        }
        catch (SocketException)
        {
            // Keeps the system's default.
        }
    }
}
