using Pilot.Protocol.Registry;
using System.Diagnostics.CodeAnalysis;

namespace Pilot.Rendezvous.Registry;

// Which nodes are connected, and what a valid signature does besides its request. All of it lives in memory.
internal sealed partial class RegistryCore
{
    private readonly Dictionary<uint, List<RegistryConnection>> _present = [];

    /// <summary>The host closed a connection.</summary>
    public void Disconnect(DateTimeOffset now, RegistryConnection connection)
    {
        if (connection.IsClosed)
        {
            return;
        }

        connection.IsClosed = true;
        connection.ClosedAt = now;
        foreach (uint node in connection.Nodes)
        {
            RemovePresence(node, connection);
            Touch(node);
            if (State.Nodes.TryGetValue(node, out NodeRecord? record) && record.Mac?.Session == connection.Session)
            {
                record.Mac = null;
            }
        }

        RemovePresence(connection.RegisteredNode, connection);
    }

    /// <summary>True while a connection is open on which the node proved its present key, or freshly registered it.</summary>
    private bool IsPresent(NodeRecord node, DateTimeOffset now, RegistryConnection? except = null)
    {
        if (IsConnectedElsewhere(node, now))
        {
            return true;
        }

        if (!_present.TryGetValue(node.Id, out List<RegistryConnection>? connections))
        {
            return false;
        }

        foreach (RegistryConnection connection in connections)
        {
            bool fresh = connection.RegisteredNode == node.Id && now - connection.RegisteredAt < _options.TentativePresence;
            if (connection != except && (connection.Proves(node.Id, node.Key) || (fresh && !node.Proven)))
            {
                return true;
            }
        }

        return false;
    }

    private void AddPresence(uint node, RegistryConnection connection)
    {
        if (!_present.TryGetValue(node, out List<RegistryConnection>? connections))
        {
            _present[node] = connections = new List<RegistryConnection>(1);
        }

        if (!connections.Contains(connection))
        {
            connections.Add(connection);
        }
    }

    private void RemovePresence(uint node, RegistryConnection connection)
    {
        if (_present.TryGetValue(node, out List<RegistryConnection>? connections) && connections.Remove(connection) && connections.Count == 0)
        {
            _present.Remove(node);
        }
    }

    /// <summary>The live node that last proved itself on the connection, with the key that it has now; null when there is none.</summary>
    private NodeRecord? ActiveNode(RegistryConnection connection) =>
        State.TryGetLive(connection.LastNode, out NodeRecord? node) && connection.Proves(node.Id, node.Key) ? node : null;

    private bool IsProven(RegistryConnection connection, uint id, [NotNullWhen(true)] out NodeRecord? node) =>
        State.TryGetLive(id, out node) && connection.Proves(id, node.Key);

    // The connection is the node's from here on.
    private void NoteProof(Turn turn, NodeRecord node)
    {
        if (!turn.Connection.IsClosed && turn.Connection.Prove(node.Id, node.Key))
        {
            AddPresence(node.Id, turn.Connection);
            node.Mac = turn.Verdict.NewMac ?? node.Mac;
        }

        node.ProofIp = turn.Connection.Source.Ip;
        node.ProofAt = turn.Now;
        Touch(node.Id);
        if (!node.Proven)
        {
            turn.Emit(new NodeProven(node.Id));
        }

        if (turn.Verdict.Fresh && !node.SignsFresh)
        {
            turn.Emit(new NodeSignsFresh(node.Id));
        }
    }

    /// <summary>A valid signature makes the connection the node's, settles a claimed endpoint and counts against the node; a failed one counts against the address.</summary>
    private Refusal? AcceptIdentity(Turn turn)
    {
        SignatureVerdict verdict = turn.Verdict;
        bool perNode = Has(RegistryPolicy.LimitPerNode);
        (RateLimiter limiter, string what) = turn.Request.Type switch
        {
            "heartbeat" => (_limits.Heartbeats, "heartbeats"),
            "resolve" => (_limits.Resolves, "resolves"),
            _ => (_limits.Signed, "requests"),
        };
        if (verdict.State != SignatureState.Valid)
        {
            if (perNode && verdict.State != SignatureState.NotChecked && turn.Admin != AdminState.Valid)
            {
                (limiter == _limits.Signed ? _limits.Failures : limiter).TryTake(turn.Now, _limits.OfAddress(turn.Connection.Source), out _);
            }

            return null;
        }

        if (verdict.Fresh && turn.Request.TryGetInteger(RequestProof.SequenceMember, out long sequence))
        {
            turn.Connection.LastSequence = sequence;
        }

        if (!State.TryGetLive(verdict.Signer, out NodeRecord? node) || node.Key != verdict.Key || CheckExpiry(turn, node) is not null)
        {
            return null;
        }

        if (perNode && !limiter.TryTake(turn.Now, RequestLimits.OfNode(node.Id), out TimeSpan wait))
        {
            return RateLimited(turn.Connection, what, wait);
        }

        NoteProof(turn, node);
        switch (turn.Request.Type)
        {
            case "heartbeat": node.HeartbeatSignature = verdict.Bytes; break;
            case "poll_handshakes": node.PollSignature = verdict.Bytes; break;
        }

        if (turn.Connection.Pending is { } claimed && claimed.Node == node.Id && claimed.Key == node.Key)
        {
            turn.Connection.Pending = null;
            _takeBack?.Add(() => turn.Connection.Pending ??= claimed);
            turn.Emit(new NodeMoved(node.Id, node.Owner.Length == 0 && claimed.Owner.Length > 0 ? claimed.Owner : null, claimed.Endpoint, claimed.LanAddresses, turn.Now));
        }

        return null;
    }
}
