using Pilot.Protocol.Registry;

namespace Pilot.Rendezvous.Registry;

// Reputation (spec 03 section 6.8)
internal sealed partial class RegistryCore
{
    private object GetPoloScore(Turn turn) =>
        State.TryGetLive(turn.NodeId, out NodeRecord? node) ? PoloAnswer(node, node.PoloScore, "get_polo_score_ok") : PoloNodeNotFound(turn.NodeId);

    private object SetPoloScore(Turn turn)
    {
        if (!TryReadScore(turn, "polo_score", out long score))
        {
            return Refusal.Invalid("polo score missing or out of range");
        }

        if (Has(RegistryPolicy.PoloIdentity) && turn.Admin != AdminState.Valid)
        {
            return Refusal.Unauthorized("polo score is set by the administrator only");
        }

        return State.TryGetLive(turn.NodeId, out NodeRecord? node)
            ? ChangePolo(turn, node, score, 0, "set_polo_score_ok")
            : PoloNodeNotFound(turn.NodeId);
    }

    private object UpdatePoloScore(Turn turn)
    {
        if (!TryReadScore(turn, "delta", out long delta))
        {
            return Refusal.Invalid("polo delta missing or out of range");
        }

        NodeRecord? by = ActiveNode(turn.Connection);
        bool restricted = Has(RegistryPolicy.PoloIdentity) && turn.Admin != AdminState.Valid;
        if (restricted && by is null)
        {
            return Refusal.Unauthorized("polo update from an unauthenticated connection");
        }

        if (!State.TryGetLive(turn.NodeId, out NodeRecord? node))
        {
            return PoloNodeNotFound(turn.NodeId);
        }

        if (restricted)
        {
            if (Math.Abs(delta) > _options.Limits.MaxPoloDelta)
            {
                return Refusal.Invalid("polo delta beyond what one node may give");
            }

            if (!_limits.PoloChanges.TryTake(turn.Now, RequestLimits.OfPair(by!.Id, node.Id), Math.Abs(delta), out TimeSpan wait))
            {
                return RateLimited(turn.Connection, "polo changes", wait);
            }
        }

        long score = Math.Clamp(node.PoloScore + delta, -NodeRecord.MaxPoloScore, NodeRecord.MaxPoloScore);
        return ChangePolo(turn, node, score, by?.Id ?? 0, "update_polo_score_ok");
    }

    private PoloScoreResponse ChangePolo(Turn turn, NodeRecord node, long score, uint by, string type)
    {
        if (!Has(RegistryPolicy.PoloIdentity))
        {
            node.LastSeen = turn.Now;
        }

        if (node.PoloScore != score)
        {
            turn.Emit(new PoloScoreChanged(node.Id, score, by));
        }

        return PoloAnswer(node, score, type);
    }

    private static bool TryReadScore(Turn turn, string member, out long value) =>
        turn.Request.TryGetInteger(member, out value) && value is >= -NodeRecord.MaxPoloScore and <= NodeRecord.MaxPoloScore;

    private static PoloScoreResponse PoloAnswer(NodeRecord node, long score, string type) =>
        new() { Type = type, Address = node.Address.ToString(), NodeId = node.Id, PoloScore = score };

    private static Refusal PoloNodeNotFound(uint node) => new($"node {node} not found", RegistryErrorCode.NotFound);
}
