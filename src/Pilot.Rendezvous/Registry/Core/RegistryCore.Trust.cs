using Pilot.Protocol.Registry;

namespace Pilot.Rendezvous.Registry;

// report_trust, revoke_trust (spec 03 section 6.4, 05 section 15)
internal sealed partial class RegistryCore
{
    private object ReportTrust(Turn turn)
    {
        uint peer = turn.Request.GetUInt32("peer_id");
        if (!State.TryGetLive(turn.NodeId, out NodeRecord? node))
        {
            return Refusal.NodeNotFound(turn.NodeId);
        }

        if (!State.TryGetLive(peer, out _))
        {
            return Refusal.NodeNotFound(peer);
        }

        if (CheckSigned(turn, node) is { } refusal)
        {
            return refusal;
        }

        if (node.Id == peer && Has(RegistryPolicy.DirectionalConsent))
        {
            return Refusal.Invalid("trust in oneself");
        }

        return Consent(turn, node.Id, peer) ?? (object)new AcknowledgeResponse { Type = "report_trust_ok" };
    }

    private object RevokeTrust(Turn turn)
    {
        uint peer = turn.Request.GetUInt32("peer_id");
        if (!State.TryGetLive(turn.NodeId, out NodeRecord? node))
        {
            return Refusal.NodeNotFound(turn.NodeId);
        }

        if (CheckSigned(turn, node) is { } refusal)
        {
            return refusal;
        }

        if (!State.Trust.Linked(node.Id, peer))
        {
            return new Refusal($"no trust pair between {node.Id} and {peer}", RegistryErrorCode.NotFound);
        }

        turn.Emit(new TrustRevoked(node.Id, peer));
        return new AcknowledgeResponse { Type = "revoke_trust_ok" };
    }

    private Refusal? Consent(Turn turn, uint from, uint to)
    {
        if (State.Trust.Consented(from, to))
        {
            return null;
        }

        if (State.Trust.CountOf(from) >= _options.Limits.MaxConsentsPerNode)
        {
            return new Refusal("trust list is full", RegistryErrorCode.Full);
        }

        turn.Emit(new ConsentGiven(from, to));
        return null;
    }
}
