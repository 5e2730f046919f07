using System.Net;
using System.Net.Sockets;
using Pilot.Protocol;

namespace Pilot.Net;

/// <summary>The batch path of Linux: recvmmsg with UDP_GRO, sendmsg with UDP_SEGMENT, sendmmsg where that is refused. Owned by one thread.</summary>
internal sealed class LinuxDatagramSocket : IDatagramSocket
{
    private readonly Socket _socket;
    private readonly LinuxReceiver _receiver;
    private readonly LinuxSender _sender;

    /// <summary>Takes a bound socket over.</summary>
    /// <param name="socket">Bound UDP socket; disposed with this one.</param>
    /// <param name="offload">What the probe found.</param>
    public LinuxDatagramSocket(Socket socket, LinuxOffload offload)
    {
        _socket = socket;
        Descriptor = (int)socket.Handle;
        var bound = (IPEndPoint)socket.LocalEndPoint!;
        LocalEndpoint = UdpEndpoint.FromBytes(bound.Address.GetAddressBytes(), (ushort)bound.Port);
        _receiver = new LinuxReceiver(Descriptor);
        _sender = new LinuxSender(Descriptor, socket.AddressFamily == AddressFamily.InterNetworkV6, (offload & LinuxOffload.Segmentation) != 0);
    }

    public int Descriptor { get; }

    public UdpEndpoint LocalEndpoint { get; }

    public long SendErrors => _sender.Errors;

    /// <summary>Whether send calls still carry several datagrams each.</summary>
    public bool UsesSegmentation => _sender.UsesSegmentation;

    public bool Receive(ReceiveBatch batch) => _receiver.Receive(batch);

    public void Send(UdpEndpoint destination, ReadOnlySpan<byte> data, int segmentSize) => _sender.Send(destination, data, segmentSize);

    public void SendWhole(UdpEndpoint destination, ReadOnlySpan<byte> datagram)
    {
        DatagramSocketBinding.SetFragmentation(_socket, allowed: true);
        Send(destination, datagram, datagram.Length);
        DatagramSocketBinding.SetFragmentation(_socket, allowed: false);
    }

    public void Dispose()
    {
        _socket.Dispose();
        _receiver.Dispose();
        _sender.Dispose();
    }
}
