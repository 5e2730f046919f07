using Pilot.Protocol.Registry;

namespace Pilot.Rendezvous.Registry;

// poll_handshakes: at least once (spec 03 section 6.5, 05 section 9)
internal sealed partial class RegistryCore
{
    private const int EmptyPollBytes = 64;
    private const int EntryOverheadBytes = 128; // member names, punctuation, two numbers
    private const int MaxHostnameBytes = HostnameRules.MaxLength;

    private object PollHandshakes(Turn turn)
    {
        if (!State.TryGetLive(turn.NodeId, out NodeRecord? node))
        {
            return Refusal.NodeNotFound(turn.NodeId);
        }

        if (CheckSigned(turn, node) is { } refusal)
        {
            return refusal;
        }

        var requests = new List<HandshakeRequestEntry>();
        var responses = new List<HandshakeResponseEntry>();
        if (State.InboxOf(node.Id) is { } inbox)
        {
            int room = _options.Limits.MaxAnswerBytes - EmptyPollBytes;
            Deliver(turn, node.Id, inbox, requests, ref room);
            Deliver(turn, node.Id, inbox, responses, ref room);
        }

        return new PollHandshakesResponse { Requests = requests, Responses = responses };
    }

    private void Deliver(Turn turn, uint node, HandshakeInbox inbox, List<HandshakeRequestEntry> entries, ref int room)
    {
        List<uint>? doneById = null;
        List<uint>? doneByName = null;
        foreach (QueuedRequest request in inbox.Requests)
        {
            if (IsDone(request, turn))
            {
                (request.ByName ? doneByName ??= [] : doneById ??= []).Add(request.From);
                continue;
            }

            room -= EntryOverheadBytes + MaxHostnameBytes + JsonSize.UpperBound(request.Justification);
            if (room < 0)
            {
                break;
            }

            MarkDelivered(request, turn);
            entries.Add(new HandshakeRequestEntry
            {
                FromNodeId = request.From,
                FromHostname = HostnameOf(request.From),
                Justification = request.Justification,
                Timestamp = request.At.ToUnixTimeSeconds(),
            });
        }

        if (doneById is not null)
        {
            turn.Emit(new HandshakeRequestsDropped(node, [.. doneById], ByName: false));
        }

        if (doneByName is not null)
        {
            turn.Emit(new HandshakeRequestsDropped(node, [.. doneByName], ByName: true));
        }
    }

    private void Deliver(Turn turn, uint node, HandshakeInbox inbox, List<HandshakeResponseEntry> entries, ref int room)
    {
        List<uint>? done = null;
        foreach (QueuedResponse response in inbox.Responses)
        {
            if (IsDone(response, turn))
            {
                (done ??= []).Add(response.From);
                continue;
            }

            room -= EntryOverheadBytes + MaxHostnameBytes;
            if (room < 0)
            {
                break;
            }

            MarkDelivered(response, turn);
            if (response.Accept)
            {
                ConsentByPolling(turn, node, response.From);
            }

            entries.Add(new HandshakeResponseEntry
            {
                FromNodeId = response.From,
                Accept = response.Accept,
                FromHostname = response.Accept ? HostnameOf(response.From) : null,
                Timestamp = response.At.ToUnixTimeSeconds(),
            });
        }

        if (done is not null)
        {
            turn.Emit(new HandshakeResponsesDropped(node, [.. done]));
        }
    }

    // A second poll on the same connection shows that the first answer arrived. On another connection a copy is delivered again, unless the first one
    // stayed open for the copy's lifetime.
    private bool IsDone(QueuedMessage message, Turn turn) =>
        !message.IsUnread(_options.DeliveredCopyLifetime)
        && (message.DeliveredOn == turn.Connection
            || message.DeliveredOn!.IsClosed
            || turn.Now - message.DeliveredAt >= _options.DeliveredCopyLifetime);

    private void MarkDelivered(QueuedMessage message, Turn turn)
    {
        (RegistryConnection? on, DateTimeOffset at) = (message.DeliveredOn, message.DeliveredAt);
        _takeBack?.Add(() => (message.DeliveredOn, message.DeliveredAt) = (on, at));
        message.DeliveredOn = turn.Connection;
        message.DeliveredAt = turn.Now;
    }

    // Closes a gap of reference requesters, which take an approval without reporting it (spec 05 section 15).
    private void ConsentByPolling(Turn turn, uint node, uint responder)
    {
        if (Has(RegistryPolicy.DirectionalConsent) && HasRecentlyResolved(node, responder, turn.Now) && !State.Trust.Revoked(node, responder))
        {
            Consent(turn, node, responder);
        }
    }

    private string? HostnameOf(uint node) =>
        Has(RegistryPolicy.HandshakeRules) && State.TryGetLive(node, out NodeRecord? sender) ? TextOrNull(sender.Hostname) : null;
}

/// <summary>Bytes that a text can take at most as a JSON string, whatever the encoder escapes.</summary>
internal static class JsonSize
{
    private const int EscapedBytes = 6; // \uXXXX

    public static int UpperBound(string text)
    {
        int bytes = 2;
        foreach (char c in text)
        {
            bytes += char.IsAsciiLetterOrDigit(c) || c is ' ' or '.' or ',' or '-' ? 1 : EscapedBytes;
        }

        return bytes;
    }
}
