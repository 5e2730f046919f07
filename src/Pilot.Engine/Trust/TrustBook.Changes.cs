using Pilot.Protocol;
using Pilot.Protocol.Trust;

namespace Pilot.Engine.Trust;

// The state changes that several inputs share.
public sealed partial class TrustBook
{
    private static string KeyText(ReadOnlySpan<byte> key) => key.Length == Ed25519.PublicKeySize ? Convert.ToBase64String(key) : "";

    private static bool SameKey(string left, string right) => string.Equals(left, right, StringComparison.Ordinal);

    /// <summary>The peer is trusted from now on. Every caller has local consent: a mark, a command, or the option.</summary>
    private void Establish(TrustClock clock, uint nodeId, string key, bool mutual, ushort network = 0, string hostname = "", bool isRelayed = false)
    {
        if (_pending.Remove(nodeId, out PendingRequest? request))
        {
            key = key.Length > 0 ? key : request.PublicKey;
            hostname = hostname.Length > 0 ? hostname : request.Hostname;
            _pendingEventOwed.Remove(nodeId);
        }

        RemoveMark(nodeId, hostname);
        _former.Remove(nodeId);
        _teardowns.Remove(nodeId);
        _trusted[nodeId] = new TrustedPeer
        {
            NodeId = nodeId,
            PublicKey = key,
            ApprovedAt = WholeSeconds(clock.Wall),
            Mutual = mutual,
            Network = network,
            Hostname = hostname,
        };
        SaveNow();
        GatesChanged();
        Raise(TrustEventNames.Established, nodeId, isRelayed: isRelayed);
        AddRegistry(RegistryOperationKind.Report, nodeId);
        if (key.Length == 0 || hostname.Length == 0)
        {
            Lookup(nodeId);
        }
    }

    /// <summary>The peer is not trusted any more.</summary>
    private void EndTrust(TrustClock clock, uint nodeId, FormerPeerState state, string newKey = "")
    {
        string key = _trusted.Remove(nodeId, out TrustedPeer? peer) ? peer.PublicKey
            : _former.TryGetValue(nodeId, out FormerPeer? former) ? former.PublicKey
            : "";
        RemovePending(nodeId);
        RemoveMark(nodeId, peer?.Hostname ?? "");
        _answersOwed.Remove(nodeId);
        _former[nodeId] = new FormerPeer
        {
            NodeId = nodeId,
            PublicKey = key,
            NewPublicKey = newKey,
            State = state,
            Since = WholeSeconds(clock.Wall),
        };
        SaveNow();
        GatesChanged();
        AddRegistry(RegistryOperationKind.Revoke, nodeId);
    }

    /// <summary>Checks a key that the registry names against the pinned one. False: trust has just been suspended.</summary>
    private bool CheckKey(TrustClock clock, TrustedPeer peer, string key)
    {
        if (peer.PublicKey.Length == 0)
        {
            _trusted[peer.NodeId] = peer with { PublicKey = key };
            SaveNow();
            GatesChanged();
            return true;
        }

        if (SameKey(peer.PublicKey, key))
        {
            return true;
        }

        EndTrust(clock, peer.NodeId, FormerPeerState.KeyChanged, key);
        Emit(new TrustEffect.PeerRevoked(peer.NodeId));
        Raise(TrustEventNames.KeyChanged, peer.NodeId);
        return false;
    }

    private bool RemovePending(uint nodeId)
    {
        _pendingEventOwed.Remove(nodeId);
        return _pending.Remove(nodeId);
    }

    private bool RemoveMark(uint nodeId, string hostname)
    {
        bool byId = _marks.Remove(nodeId);
        bool byName = hostname.Length > 0 && _nameMarks.Remove(hostname);
        if (byId)
        {
            _registry.Cancel(RegistryOperationKind.Request, nodeId);
        }

        if (byName)
        {
            _registry.Cancel(RegistryOperationKind.Request, 0, hostname);
        }

        return byId || byName;
    }

    /// <summary>An own request is over without trust: our consent at the registry ends too.</summary>
    private void EndRequest(OutgoingMark mark)
    {
        RemoveMark(mark.NodeId, mark.Hostname);
        if (mark.NodeId != 0 && !_trusted.ContainsKey(mark.NodeId))
        {
            AddRegistry(RegistryOperationKind.Revoke, mark.NodeId);
        }
    }

    private static DateTimeOffset WholeSeconds(DateTimeOffset time) => time.AddTicks(-(time.Ticks % TimeSpan.TicksPerSecond));

    private byte[] Encode(TrustClock clock, TrustMessageType type, uint peer, string text) =>
        TrustMessage.Create(type, _identity, _self, peer, text, clock.Wall.ToUnixTimeSeconds()).Encode();

    /// <summary>Queues a direct message; 0 when there is no way yet because this node has no id to sign with.</summary>
    private long SendDirect(TrustClock clock, TrustMessageType type, uint peer, string text = "", bool existingTunnelOnly = false)
    {
        if (_self == 0)
        {
            return 0;
        }

        long token = NextToken();
        _direct.Add(new DirectMessage(token, peer, Encode(clock, type, peer, text), existingTunnelOnly));
        return token;
    }

    private long AddRegistry(RegistryOperationKind kind, uint nodeId, string hostname = "", string justification = "", bool accept = false) =>
        _registry.Add(new RegistryOperation
        {
            Token = NextToken(),
            Kind = kind,
            NodeId = nodeId,
            Hostname = hostname,
            Justification = justification,
            Accept = accept,
        });

    /// <summary>Tells a peer by both ways that we trust it.</summary>
    private (long Direct, long Registry) SendAccept(TrustClock clock, uint nodeId) =>
        (SendDirect(clock, TrustMessageType.Accept, nodeId), AddRegistry(RegistryOperationKind.Respond, nodeId, accept: true));
}
