using System.Security.Cryptography;
using Pilot.Protocol;
using Pilot.Protocol.Trust;

namespace Pilot.Engine.Tests.Interop;

// Trust (05): messages on port 444, polls with the heartbeat, direct first and then the registry.
internal sealed partial class ReferenceNode
{
    private const ushort TrustPort = 444;
    private const int MaxPending = 256;
    private static readonly TimeSpan CloseDelay = TimeSpan.FromMilliseconds(500);

    private readonly Dictionary<uint, string> _records = [];
    private readonly Dictionary<uint, string> _pendingRequests = [];
    private readonly HashSet<uint> _marks = [];
    private readonly HashSet<string> _replays = [];
    private readonly Queue<byte[]> _trustWork = new();

    /// <summary>Trust records: node id and key, which may be empty.</summary>
    public IReadOnlyDictionary<uint, string> Records => _records;

    public IReadOnlyDictionary<uint, string> PendingRequests => _pendingRequests;

    /// <summary>Direct messages that were dropped by a check, with its name.</summary>
    public List<string> Refusals { get; } = [];

    public void Handshake(Instant now, uint target, string justification)
    {
        if (_records.ContainsKey(target))
        {
            return;
        }

        _marks.Add(target);
        SendTrust(now, target, TrustMessageType.Request, justification, () => _registry.RequestHandshake(NodeId, target, justification));
    }

    public void Approve(Instant now, uint peer)
    {
        if (_pendingRequests.Remove(peer))
        {
            _records[peer] = "";
            _registry.ReportTrust(NodeId, peer);
            _registry.RespondHandshake(NodeId, peer, accept: true);
            SendAccept(now, peer);
        }
    }

    public void Reject(Instant now, uint peer, string reason)
    {
        _pendingRequests.Remove(peer);
        _registry.RespondHandshake(NodeId, peer, accept: false);
        SendTrust(now, peer, TrustMessageType.Reject, reason, static () => { });
    }

    public void Revoke(Instant now, uint peer)
    {
        bool wasTrusted = _records.Remove(peer);
        _pendingRequests.Remove(peer);
        _marks.Remove(peer);
        if (wasTrusted)
        {
            Forget(peer);
            _registry.RevokeTrust(NodeId, peer);
            SendTrust(now, peer, TrustMessageType.Revoke, "", static () => { });
        }
    }

    private void ListenForTrust() => Listen(TrustPort, connection =>
    {
        bool isRead = false;
        connection.OnSegment = segment =>
        {
            // Only the first segment is looked at (2). What it causes begins when the router is done with this packet.
            if (!isRead)
            {
                isRead = true;
                _trustWork.Enqueue(segment);
            }
        };
    });

    private void RunTrust(Instant now)
    {
        while (_trustWork.TryDequeue(out byte[]? message))
        {
            OnTrustMessage(now, message);
        }
    }

    private void OnTrustMessage(Instant now, byte[] bytes)
    {
        if (!TrustMessage.TryParse(bytes, out TrustMessage? message) || message is null)
        {
            Refusals.Add("json");
            return;
        }

        long age = UnixSeconds(now) - message.Timestamp;
        if (age is > 300 or < -30)
        {
            Refusals.Add("age");
            return;
        }

        if (!_replays.Add(Convert.ToHexString(SHA256.HashData(message.Encode()))))
        {
            Refusals.Add("replay");
            return;
        }

        if (message.PublicKey.Length > 0)
        {
            byte[] key = _registry.Lookup(message.NodeId) ?? Convert.FromBase64String(message.PublicKey);
            if (!message.IsSignedBy(key, NodeId))
            {
                Refusals.Add("signature");
                return;
            }
        }

        uint peer = message.NodeId;
        switch (message.Type)
        {
            case TrustMessageType.Request when _records.ContainsKey(peer):
                SendAccept(now, peer);
                break;
            case TrustMessageType.Request when _marks.Remove(peer):
                _records[peer] = message.PublicKey;
                SendAccept(now, peer);
                _registry.ReportTrust(NodeId, peer);
                break;
            case TrustMessageType.Request when _pendingRequests.ContainsKey(peer) || _pendingRequests.Count < MaxPending:
                _pendingRequests[peer] = message.Justification;
                break;
            case TrustMessageType.Accept:
                _marks.Remove(peer);
                _records[peer] = message.PublicKey;
                _registry.ReportTrust(NodeId, peer);
                break;
            case TrustMessageType.Reject:
                _marks.Remove(peer);
                break;
            case TrustMessageType.Revoke:
                bool wasTrusted = _records.Remove(peer);
                _pendingRequests.Remove(peer);
                _marks.Remove(peer);
                Forget(peer);
                if (wasTrusted)
                {
                    _registry.RevokeTrust(NodeId, peer);
                }

                break;
        }
    }

    private void PollTrust(Instant now)
    {
        var (requests, responses) = _registry.Poll(NodeId);
        foreach (var (from, justification) in requests)
        {
            if (_records.ContainsKey(from))
            {
                _registry.RespondHandshake(NodeId, from, accept: true);
            }
            else if (_marks.Remove(from))
            {
                _records[from] = "";
                _registry.RespondHandshake(NodeId, from, accept: true);
                Backfill(from);
            }
            else
            {
                _pendingRequests[from] = justification;
            }
        }

        foreach (var (from, accept) in responses)
        {
            if (!accept || !_records.ContainsKey(from))
            {
                _marks.Remove(from);
            }

            if (accept && !_records.ContainsKey(from))
            {
                _records[from] = "";
                Backfill(from);
            }
        }
    }

    private void Backfill(uint peer)
    {
        if (_registry.Lookup(peer) is { } key)
        {
            _records[peer] = Convert.ToBase64String(key);
        }
    }

    private void SendAccept(Instant now, uint peer) =>
        SendTrust(now, peer, TrustMessageType.Accept, "", () => _registry.RespondHandshake(NodeId, peer, accept: true));

    /// <summary>One message in one segment, FIN 500 ms later; the other way when the dial fails (7).</summary>
    private void SendTrust(Instant now, uint target, TrustMessageType type, string text, Action otherwise)
    {
        if (Dial(now, target, TrustPort, out _) is not { } connection)
        {
            otherwise();
            return;
        }

        connection.OnFailed = otherwise;
        connection.OnOpen = opened =>
        {
            connection.Peer.Write(opened, TrustMessage.Create(type, Identity, NodeId, target, text, UnixSeconds(opened)).Encode());
            connection.CloseAt = opened + CloseDelay;
        };
    }
}
