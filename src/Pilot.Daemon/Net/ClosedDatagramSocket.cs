using Pilot.Net;
using Pilot.Protocol;

namespace Pilot.Daemon.Net;

/// <summary>Stands in while no tunnel socket can be opened: everything sent is lost, as on a dead network.</summary>
internal sealed class ClosedDatagramSocket(UdpEndpoint local) : IDatagramSocket
{
    public int Descriptor => -1;

    public UdpEndpoint LocalEndpoint => local;

    public long SendErrors { get; private set; }

    public bool Receive(ReceiveBatch batch) => false;

    public void Send(UdpEndpoint destination, ReadOnlySpan<byte> data, int segmentSize) => SendErrors++;

    public void SendWhole(UdpEndpoint destination, ReadOnlySpan<byte> datagram) => SendErrors++;

    public void Dispose()
    {
    }
}
