using Pilot.Engine.Trust;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Simulation;

/// <summary>What a simulated daemon asks its registry; every answer comes later, or says that there is none.</summary>
internal interface ISimRegistry
{
    UdpEndpoint Beacon { get; }

    /// <summary>Nobody can reach it.</summary>
    bool IsDown { get; set; }

    /// <summary>Starts again with nothing remembered.</summary>
    void Restart();

    /// <summary>The node's process ended.</summary>
    void Disconnect(SimNode node);

    /// <summary>Answers with the node id, or null when the registry cannot be reached.</summary>
    void Register(SimNode node, Action<uint?> done);

    void Resolve(SimNode node, uint target, Action<ResolveAnswer> done);

    void Lookup(SimNode node, uint target, Action<TrustLookup> done);

    /// <summary>Carries out one of the registry effects of a trust book.</summary>
    void Send(SimNode node, TrustEffect effect, Action<bool, string?> done);

    /// <summary>Answers with null when the registry cannot be reached.</summary>
    void Poll(SimNode node, Action<(IReadOnlyList<RelayedRequest> Requests, IReadOnlyList<RelayedResponse> Responses)?> done);

    /// <summary>Answers whether the registry still knows the node; null when it cannot be reached.</summary>
    void Heartbeat(SimNode node, Action<bool?> done);
}
