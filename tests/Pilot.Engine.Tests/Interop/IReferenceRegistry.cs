using Pilot.Protocol;

namespace Pilot.Engine.Tests.Interop;

/// <summary>The registry as a reference process uses it: every call blocks it, and fails with null or false.</summary>
internal interface IReferenceRegistry
{
    /// <summary>The key of a node; null if it is unknown or the registry cannot be reached.</summary>
    byte[]? Lookup(uint nodeId);

    /// <summary>The endpoint of a node; null for every failure.</summary>
    UdpEndpoint? Resolve(uint requester, uint target);

    /// <summary>A trust pair exists.</summary>
    bool CheckTrust(uint nodeId, uint peer);

    bool RequestHandshake(uint from, uint to, string justification);

    bool RespondHandshake(uint responder, uint requester, bool accept);

    bool ReportTrust(uint self, uint peer);

    bool RevokeTrust(uint self, uint peer);

    void Heartbeat(uint nodeId);

    /// <summary>Both inboxes, emptied.</summary>
    (IReadOnlyList<(uint From, string Justification)> Requests, IReadOnlyList<(uint From, bool Accept)> Responses) Poll(uint nodeId);
}
