using Pilot.Protocol;

namespace Pilot.Rendezvous.Beacon;

/// <summary>Takes the datagrams that a beacon sends. The bytes are valid during the call only.</summary>
public interface IBeaconSink
{
    /// <summary>Sends one datagram; losing it is allowed.</summary>
    void Send(UdpEndpoint destination, ReadOnlySpan<byte> datagram);
}
