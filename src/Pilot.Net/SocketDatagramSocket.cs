using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Pilot.Protocol;

namespace Pilot.Net;

/// <summary>The portable path: one system call per datagram through the framework's socket, without allocations.</summary>
internal sealed class SocketDatagramSocket : IDatagramSocket
{
    private const int IPv4Offset = 4; // sockaddr_in: family 2, port 2, address 4
    private const int IPv6Offset = 8; // sockaddr_in6: family 2, port 2, flow 4, address 16, scope 4

    private readonly Socket _socket;
    private readonly bool _isIPv6;
    private readonly SocketAddress _source;
    private readonly SocketAddress _destination;

    /// <summary>Takes a bound socket over; it is disposed with this one.</summary>
    public SocketDatagramSocket(Socket socket)
    {
        _socket = socket;
        _isIPv6 = socket.AddressFamily == AddressFamily.InterNetworkV6;
        _source = new SocketAddress(socket.AddressFamily);
        _destination = new SocketAddress(socket.AddressFamily);
        Descriptor = (int)socket.Handle;
        var bound = (IPEndPoint)socket.LocalEndPoint!;
        LocalEndpoint = UdpEndpoint.FromBytes(bound.Address.GetAddressBytes(), (ushort)bound.Port);
    }

    public int Descriptor { get; }

    public UdpEndpoint LocalEndpoint { get; }

    public long SendErrors { get; private set; }

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

    public void SendWhole(UdpEndpoint destination, ReadOnlySpan<byte> datagram)
    {
        DatagramSocketBinding.SetFragmentation(_socket, allowed: true);
        Send(destination, datagram, datagram.Length);
        DatagramSocketBinding.SetFragmentation(_socket, allowed: false);
    }

    public void Dispose() => _socket.Dispose();

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
