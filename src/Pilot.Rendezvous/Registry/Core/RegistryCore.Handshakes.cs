using System.Text;
using Pilot.Protocol.Registry;

namespace Pilot.Rendezvous.Registry;

// request_handshake by id and by name, respond_handshake (spec 03 section 6.5)
internal sealed partial class RegistryCore
{
    private static bool IsByName(RegistryRequest request) => !request.Has("to_node_id") && request.GetString("to_hostname").Length > 0;

    private object RequestHandshake(Turn turn)
    {
        RegistryRequest request = turn.Request;
        uint fromId = request.GetUInt32("from_node_id");
        if (!State.TryGetLive(fromId, out NodeRecord? from))
        {
            return Refusal.NodeNotFound(fromId);
        }

        bool byName = IsByName(request);
        uint toId = request.GetUInt32("to_node_id");
        if (!byName && !State.TryGetLive(toId, out _))
        {
            return Refusal.NodeNotFound(toId);
        }

        if (CheckHandshakeSignature(turn, from) is { } refusal)
        {
            return refusal;
        }

        string justification = Truncate(request.GetString("justification"), _options.Limits.MaxJustificationBytes);
        return byName ? RequestByName(turn, from, justification) : RequestById(turn, from, toId, justification);
    }

    private object RequestById(Turn turn, NodeRecord from, uint to, string justification)
    {
        if (from.Id == to && Has(RegistryPolicy.HandshakeRules))
        {
            return Refusal.Invalid("handshake with oneself");
        }

        HandshakeInbox? inbox = State.InboxOf(to);
        QueuedRequest? earlier = inbox?.FindRequest(from.Id, byName: false);
        bool pending = earlier?.IsUnread(_options.DeliveredCopyLifetime) == true;
        if (inbox is not null && CountUnread(inbox, byName: false) >= _options.Limits.MaxInbox)
        {
            return new Refusal($"handshake inbox full for node {to}", RegistryErrorCode.Full);
        }

        if (pending)
        {
            return new Refusal($"handshake request already pending from node {from.Id}", RegistryErrorCode.Conflict);
        }

        if (Has(RegistryPolicy.DirectionalConsent) && Consent(turn, from.Id, to) is { } full)
        {
            return full;
        }

        turn.Emit(new HandshakeRequested(from.Id, to, justification, ByName: false, turn.Now));
        return Delivered();
    }

    // One answer for every name: known, unknown, own, full, duplicate. What is queued has its own room, and gives no consent that another message could
    // reveal, until the target accepts. Every request counts against the sender, so that the limit tells nothing either.
    private object RequestByName(Turn turn, NodeRecord from, string justification)
    {
        if (!_limits.NamedHandshakes.TryTake(turn.Now, RequestLimits.OfNode(from.Id), out TimeSpan wait))
        {
            return RateLimited(turn.Connection, "handshakes by name", wait);
        }

        if (!State.TryGetByHostname(turn.Request.GetString("to_hostname"), out NodeRecord? target) || target.Id == from.Id)
        {
            return Delivered();
        }

        HandshakeInbox? inbox = State.InboxOf(target.Id);
        bool pending = inbox?.FindRequest(from.Id, byName: true)?.IsUnread(_options.DeliveredCopyLifetime) == true;
        bool room = (inbox is null || CountUnread(inbox, byName: true) < _options.Limits.MaxInbox)
            && State.Trust.AskedByNameCount(from.Id) < _options.Limits.MaxConsentsPerNode;
        if (!pending && room)
        {
            turn.Emit(new HandshakeRequested(from.Id, target.Id, justification, ByName: true, turn.Now));
        }

        return Delivered();
    }

    private static RequestHandshakeResponse Delivered() => new() { Status = "delivered" };

    private object RespondHandshake(Turn turn)
    {
        uint peerId = turn.Request.GetUInt32("peer_id");
        bool accept = turn.Request.GetBoolean("accept");
        if (!State.TryGetLive(turn.NodeId, out NodeRecord? node))
        {
            return Refusal.NodeNotFound(turn.NodeId);
        }

        if (!State.TryGetLive(peerId, out NodeRecord? peer))
        {
            return Refusal.NodeNotFound(peerId);
        }

        if (CheckHandshakeSignature(turn, node) is { } refusal)
        {
            return refusal;
        }

        if (node.Id == peerId && Has(RegistryPolicy.HandshakeRules))
        {
            return Refusal.Invalid("handshake with oneself");
        }

        if (accept)
        {
            if (Consent(turn, node.Id, peerId) is { } full)
            {
                return full;
            }

            AcceptHandshake(turn, node, peer);
        }
        else if (State.Trust.HasAskedByName(peerId, node.Id) && !State.Trust.Consented(peerId, node.Id))
        {
            // Asked by name only: a rejection would tell the requester that the name exists.
            turn.Emit(new HandshakeRequestsDropped(node.Id, [peerId], ByName: true));
        }
        else
        {
            QueueResponse(turn, node.Id, peerId, accept: false);
        }

        DropAnswered(turn, node.Id, peerId);
        return new RespondHandshakeResponse { Accept = accept, PeerId = peerId };
    }

    private void AcceptHandshake(Turn turn, NodeRecord node, NodeRecord peer)
    {
        bool byName = State.Trust.HasAskedByName(peer.Id, node.Id);
        bool asked = byName
            || State.Trust.Consented(peer.Id, node.Id)
            || (HasRecentlyResolved(peer.Id, node.Id, turn.Now) && !State.Trust.Revoked(peer.Id, node.Id));
        if (byName && Has(RegistryPolicy.DirectionalConsent) && State.Trust.CountOf(peer.Id) < _options.Limits.MaxConsentsPerNode)
        {
            turn.Emit(new ConsentGiven(peer.Id, node.Id));
        }

        if (asked || !Has(RegistryPolicy.HandshakeRules))
        {
            QueueResponse(turn, node.Id, peer.Id, accept: true);
            return;
        }

        // Nobody asked: an approval would put the node into the peer's trust unseen (spec 05 W2). As a request the peer's user decides.
        HandshakeInbox? inbox = State.InboxOf(peer.Id);
        turn.Emit(new HandshakeResponsesDropped(peer.Id, [node.Id]));
        if (inbox is null || (CountUnread(inbox, byName: false) < _options.Limits.MaxInbox
            && inbox.FindRequest(node.Id, byName: false)?.IsUnread(_options.DeliveredCopyLifetime) != true))
        {
            turn.Emit(new HandshakeRequested(node.Id, peer.Id, "", ByName: false, turn.Now));
        }
    }

    private void QueueResponse(Turn turn, uint responder, uint requester, bool accept)
    {
        bool replace = Has(RegistryPolicy.HandshakeRules);
        HandshakeInbox? inbox = State.InboxOf(requester);
        if (inbox is not null && inbox.Responses.Count >= _options.Limits.MaxInbox && !(replace && inbox.Responses.Exists(r => r.From == responder)))
        {
            turn.Emit(new HandshakeResponsesDropped(requester, [inbox.Responses[0].From]));
        }

        turn.Emit(new HandshakeResponded(responder, requester, accept, replace, turn.Now));
    }

    // The copies kept for redelivery must not bring back a request that was just answered.
    private void DropAnswered(Turn turn, uint node, uint peer)
    {
        foreach (bool byName in (bool[])[false, true])
        {
            if (State.InboxOf(node)?.FindRequest(peer, byName)?.DeliveredOn is not null)
            {
                turn.Emit(new HandshakeRequestsDropped(node, [peer], byName));
            }
        }
    }

    // Missing signatures are masked here, unlike those of the generic check (spec 03 section 6.5).
    private Refusal? CheckHandshakeSignature(Turn turn, NodeRecord node) =>
        turn.Verdict.State == SignatureState.Missing ? Refusal.Unauthorized("handshake request without signature") : CheckSigned(turn, node);

    private int CountUnread(HandshakeInbox inbox, bool byName)
    {
        int unread = 0;
        foreach (QueuedRequest request in inbox.Requests)
        {
            unread += request.ByName == byName && request.IsUnread(_options.DeliveredCopyLifetime) ? 1 : 0;
        }

        return unread;
    }

    // Cuts between characters, never inside one.
    private static string Truncate(string text, int maxBytes)
    {
        if (Encoding.UTF8.GetByteCount(text) <= maxBytes)
        {
            return text;
        }

        int bytes = 0;
        int length = 0;
        foreach (Rune rune in text.EnumerateRunes())
        {
            bytes += rune.Utf8SequenceLength;
            if (bytes > maxBytes)
            {
                break;
            }

            length += rune.Utf16SequenceLength;
        }

        return text[..length];
    }
}
