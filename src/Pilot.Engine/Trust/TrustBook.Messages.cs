using System.Security.Cryptography;
using Pilot.Protocol;
using Pilot.Protocol.Trust;

namespace Pilot.Engine.Trust;

/// <summary>What became of a direct message: for the log; the sender is told nothing.</summary>
public enum MessageVerdict
{
    /// <summary>It passed the checks and took effect, if there was any to take.</summary>
    Accepted,

    /// <summary>An accept of an unmarked peer that may be one asked by name: it waits for the registry's answer.</summary>
    Held,

    /// <summary>An accept that nobody here asked for (rule B5).</summary>
    Unsolicited,

    /// <summary>More than <see cref="TrustLimits.MessagesPerPeriod"/> in a minute (rule B7).</summary>
    TooMany,

    /// <summary>Not a message.</summary>
    Malformed,

    /// <summary>Type unknown.</summary>
    UnknownType,

    /// <summary>Not from the node at the other end of the tunnel (rule B2), or from this node (rule B9).</summary>
    WrongSender,

    /// <summary>Older than 300 s or more than 30 s in the future.</summary>
    WrongTime,

    /// <summary>No key, or a key that is not the sender's (rules B1, B3).</summary>
    WrongKey,

    /// <summary>No signature, or one that does not verify (rules B1, B4).</summary>
    BadSignature,

    /// <summary>Seen before (rule B4).</summary>
    Replayed,

    /// <summary>This node has no id yet.</summary>
    NotRegistered,
}

// Direct messages on port 444.
public sealed partial class TrustBook
{
    private readonly ReplaySet _replays = new(TrustLimits.MaxReplayEntries, TrustLimits.MaxReplayEntriesPerSender, TrustLimits.ReplayLifetime);
    private readonly MessageBudget _budget = new(TrustLimits.MessagesPerPeriod, TrustLimits.MessageBudgetPeriod, TrustLimits.MaxBudgets);
    private readonly MessageBudget _trustedBudget = new(TrustLimits.MessagesPerPeriod, TrustLimits.MessageBudgetPeriod, TrustLimits.MaxBudgets);
    private readonly Dictionary<uint, HeldAccept> _held = [];

    /// <summary>A message came on a stream to port 444.</summary>
    /// <param name="clock">The time.</param>
    /// <param name="payload">The bytes collected on the stream.</param>
    /// <param name="tunnelPeer">The authenticated node at the other end.</param>
    /// <param name="peerKey">
    /// Its Ed25519 key, 32 bytes: the registry's, or while the registry is unreachable the one that the tunnel verified.
    /// Empty when there is none; then a pinned key is used.
    /// </param>
    public MessageVerdict ReceiveDirect(TrustClock clock, ReadOnlySpan<byte> payload, uint tunnelPeer, ReadOnlySpan<byte> peerKey)
    {
        if (_self == 0)
        {
            return MessageVerdict.NotRegistered;
        }

        MessageBudget budget = _trusted.ContainsKey(tunnelPeer) ? _trustedBudget : _budget;
        if (!budget.TryTake(clock.Now, tunnelPeer))
        {
            return MessageVerdict.TooMany;
        }

        MessageVerdict verdict = Check(clock, payload, tunnelPeer, peerKey, out TrustMessage? message);
        return verdict != MessageVerdict.Accepted ? verdict : message!.Type switch
        {
            TrustMessageType.Request => ReceiveRequest(clock, message.NodeId, message.PublicKey, message.Justification),
            TrustMessageType.Accept => ReceiveAccept(clock, message.NodeId, message.PublicKey),
            TrustMessageType.Reject => ReceiveReject(clock, message.NodeId, message.Reason),
            _ => ReceiveRevoke(clock, message.NodeId),
        };
    }

    /// <summary>Rules B1 to B4 and B9, the cheap ones first; nothing is remembered of a message that fails one.</summary>
    private MessageVerdict Check(TrustClock clock, ReadOnlySpan<byte> payload, uint tunnelPeer, ReadOnlySpan<byte> peerKey, out TrustMessage? message)
    {
        message = null;
        if (payload.Length > TrustLimits.MaxIncomingBytes || !TrustMessage.TryParse(payload, out message) || message is null)
        {
            return MessageVerdict.Malformed;
        }

        if (message.NodeId != tunnelPeer || message.NodeId == _self)
        {
            return MessageVerdict.WrongSender;
        }

        if (message.Type == TrustMessageType.Unknown)
        {
            return MessageVerdict.UnknownType;
        }

        // Compared as decimals: a hostile timestamp must not overflow.
        decimal age = (decimal)clock.Wall.ToUnixTimeSeconds() - message.Timestamp;
        if (age is > TrustLimits.MaxAgeSeconds or < -TrustLimits.MaxFutureSeconds)
        {
            return MessageVerdict.WrongTime;
        }

        Span<byte> key = stackalloc byte[Ed25519.PublicKeySize];
        if (peerKey.Length == Ed25519.PublicKeySize)
        {
            peerKey.CopyTo(key);
        }
        else if (!_trusted.TryGetValue(message.NodeId, out TrustedPeer? peer) || !StandardBase64.TryDecodeExact(peer.PublicKey, key))
        {
            return MessageVerdict.WrongKey;
        }

        Span<byte> stated = stackalloc byte[Ed25519.PublicKeySize];
        if (!StandardBase64.TryDecodeExact(message.PublicKey, stated) || !stated.SequenceEqual(key))
        {
            return MessageVerdict.WrongKey;
        }

        if (!message.IsSignedBy(key, _self))
        {
            return MessageVerdict.BadSignature;
        }

        // The key in its one canonical form from here on: it is compared as text.
        message = message with { PublicKey = Convert.ToBase64String(key) };
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(message.Encode(), digest);
        return _replays.TryAdd(clock.Now, message.NodeId, digest) ? MessageVerdict.Accepted : MessageVerdict.Replayed;
    }

    private MessageVerdict ReceiveRequest(TrustClock clock, uint nodeId, string key, string justification)
    {
        justification = TrustText.Cut(justification);
        Raise(TrustEventNames.Received, nodeId, justification);
        if (_trusted.TryGetValue(nodeId, out TrustedPeer? peer) && CheckKey(clock, peer, key))
        {
            SendAccept(clock, nodeId);
        }
        else if (_marks.ContainsKey(nodeId))
        {
            EstablishMutual(clock, nodeId, key, hostname: "", isRelayed: false);
        }
        else
        {
            ConsiderRequest(clock, nodeId, key, justification, hostname: "", isRelayed: false);
        }

        return MessageVerdict.Accepted;
    }

    private MessageVerdict ReceiveAccept(TrustClock clock, uint nodeId, string key)
    {
        if (_trusted.TryGetValue(nodeId, out TrustedPeer? peer))
        {
            if (CheckKey(clock, peer, key))
            {
                BecomeMutual(nodeId);
            }

            return MessageVerdict.Accepted;
        }

        if (_marks.ContainsKey(nodeId))
        {
            Establish(clock, nodeId, key, mutual: true);
            return MessageVerdict.Accepted;
        }

        if (_nameMarks.Count > 0 && !IsDenied(nodeId) && (_held.ContainsKey(nodeId) || _held.Count < TrustLimits.MaxHeldAccepts))
        {
            _held[nodeId] = new HeldAccept(key, clock.Now + TimeSpan.FromSeconds(TrustLimits.MaxAgeSeconds));
            Lookup(nodeId);
            return MessageVerdict.Held;
        }

        return MessageVerdict.Unsolicited;
    }

    private MessageVerdict ReceiveReject(TrustClock clock, uint nodeId, string reason)
    {
        EndRejectedRequest(clock, nodeId, TrustText.Cut(reason), isRelayed: false);
        return MessageVerdict.Accepted;
    }

    private MessageVerdict ReceiveRevoke(TrustClock clock, uint nodeId)
    {
        if (_trusted.ContainsKey(nodeId))
        {
            EndTrust(clock, nodeId, FormerPeerState.RevokedByPeer);
            Emit(new TrustEffect.PeerRevoked(nodeId));
            Raise(TrustEventNames.RevokedByPeer, nodeId);
            return MessageVerdict.Accepted;
        }

        bool wasPending = RemovePending(nodeId);
        bool wasMarked = _marks.TryGetValue(nodeId, out OutgoingMark? mark);
        if (wasMarked)
        {
            EndRequest(mark!);
            GatesChanged();
        }

        if (wasPending || wasMarked)
        {
            SaveSoon(clock);
            Raise(TrustEventNames.RevokedByPeer, nodeId);
        }

        return MessageVerdict.Accepted;
    }

    private void EndRejectedRequest(TrustClock clock, uint nodeId, string reason, bool isRelayed)
    {
        if (_marks.TryGetValue(nodeId, out OutgoingMark? mark))
        {
            EndRequest(mark);
            SaveSoon(clock);
            GatesChanged();
            Raise(TrustEventNames.Rejected, nodeId, reason: reason.Length > 0 ? reason : "by peer", isRelayed: isRelayed);
        }
    }

    private void BecomeMutual(uint nodeId)
    {
        if (_trusted[nodeId] is { Mutual: false } peer)
        {
            _trusted[nodeId] = peer with { Mutual = true };
            SaveNow();
        }
    }

    private bool IsDenied(uint nodeId) => _former.TryGetValue(nodeId, out FormerPeer? former) && former.State == FormerPeerState.Revoked;

    private void ExpireHeld(TrustClock clock)
    {
        foreach (uint nodeId in _held.Where(pair => pair.Value.Until <= clock.Now).Select(pair => pair.Key).ToArray())
        {
            _held.Remove(nodeId);
        }
    }

    private readonly record struct HeldAccept(string Key, Instant Until);
}
