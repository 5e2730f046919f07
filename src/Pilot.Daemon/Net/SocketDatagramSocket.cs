using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Pilot.Protocol;

namespace Pilot.Daemon.Net;

/// <summary>The portable path: one system call per datagram through the framework's socket, without allocations.</summary>
internal sealed class SocketDatagramSocket : IDatagramSocket
{
    private const int BufferBytes = 4 * 1024 * 1024; // wanted for each direction; the system may grant less
    private const int LinuxSocketLevel = 1; // SOL_SOCKET
    private const int LinuxForceReceiveBuffer = 33; // SO_RCVBUFFORCE, needs CAP_NET_ADMIN
    private const int LinuxForceSendBuffer = 32; // SO_SNDBUFFORCE
    private const int IPv4Offset = 4; // sockaddr_in: family 2, port 2, address 4
    private const int IPv6Offset = 8; // sockaddr_in6: family 2, port 2, flow 4, address 16, scope 4

    private readonly Socket _socket;
    private readonly bool _isIPv6;
    private readonly SocketAddress _source;
    private readonly SocketAddress _destination;

    private SocketDatagramSocket(Socket socket, bool isIPv6)
    {
        _socket = socket;
        _isIPv6 = isIPv6;
        var family = isIPv6 ? AddressFamily.InterNetworkV6 : AddressFamily.InterNetwork;
        _source = new SocketAddress(family);
        _destination = new SocketAddress(family);
        Descriptor = (int)socket.Handle;
        var bound = (IPEndPoint)socket.LocalEndPoint!;
        LocalEndpoint = UdpEndpoint.FromBytes(bound.Address.GetAddressBytes(), (ushort)bound.Port);
    }

    public int Descriptor { get; }

    public UdpEndpoint LocalEndpoint { get; }

    public long SendErrors { get; private set; }

    /// <summary>Opens and binds the socket, dual-stack where the system has IPv6.</summary>
    /// <param name="host">IP text, or empty for all addresses.</param>
    /// <exception cref="SocketException">Address not available or in use.</exception>
    /// <exception cref="FormatException">The host is not an IP.</exception>
    public static SocketDatagramSocket Open(string host, int port)
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

    public bool Receive(ReceiveBatch batch)
    {
        batch.Count = 0;
        while (batch.Count < batch.Messages.Length)
        {
            try
            {
                if (_socket.Available == 0 && !_socket.Poll(0, SelectMode.SelectRead))
                {
                    break;
                }

                var offset = batch.Count * batch.MessageSize;
                var length = _socket.ReceiveFrom(batch.Buffer.AsSpan(offset, batch.MessageSize), SocketFlags.None, _source);
                batch.Messages[batch.Count++] = new ReceivedMessage(ReadSource(), offset, length, length);
            }
            catch (SocketException)
            {
                // An ICMP error of an earlier datagram, or a datagram larger than the buffer: it is gone, the next one counts (lessons 45).
            }
        }

        return batch.Count > 0;
    }

    public void Send(UdpEndpoint destination, ReadOnlySpan<byte> data, int segmentSize)
    {
        if (!_isIPv6 && !destination.IsIPv4)
        {
            SendErrors++;
            return;
        }

        WriteDestination(destination);
        while (!data.IsEmpty)
        {
            var length = Math.Min(segmentSize, data.Length);
            try
            {
                _socket.SendTo(data[..length], SocketFlags.None, _destination);
            }
            catch (SocketException)
            {
                SendErrors++;
            }

            data = data[length..];
        }
    }

    public void Dispose() => _socket.Dispose();

    private static SocketDatagramSocket Bind(AddressFamily family, IPEndPoint endpoint, bool dualStack)
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
            socket.Bind(endpoint);
            return new SocketDatagramSocket(socket, family == AddressFamily.InterNetworkV6);
        }
        catch
        {
            socket.Dispose();
            throw;
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

    private UdpEndpoint ReadSource()
    {
        var bytes = _source.Buffer.Span;
        var port = BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]);
        return _isIPv6 ? UdpEndpoint.FromBytes(bytes.Slice(IPv6Offset, 16), port) : UdpEndpoint.FromBytes(bytes.Slice(IPv4Offset, 4), port);
    }

    private void WriteDestination(UdpEndpoint destination)
    {
        var bytes = _destination.Buffer.Span;
        BinaryPrimitives.WriteUInt16BigEndian(bytes[2..], destination.Port);
        if (_isIPv6)
        {
            BinaryPrimitives.WriteUInt128BigEndian(bytes[IPv6Offset..], destination.Ip);
        }
        else
        {
            BinaryPrimitives.WriteUInt32BigEndian(bytes[IPv4Offset..], (uint)destination.Ip);
        }
    }
}
