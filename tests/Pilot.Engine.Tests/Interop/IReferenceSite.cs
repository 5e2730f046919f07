using Pilot.Engine.Tests.Simulation;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Interop;

/// <summary>Where a reference node stands: its network and its rendezvous.</summary>
internal interface IReferenceSite
{
    SimNetwork Network { get; }

    UdpEndpoint Beacon { get; }

    /// <summary>Registers the node with the endpoint that its probe found.</summary>
    (uint NodeId, IReferenceRegistry Registry) Register(ReferenceHost host, UdpEndpoint endpoint);

    void Send(SimHost host, UdpEndpoint to, byte[] datagram);
}
