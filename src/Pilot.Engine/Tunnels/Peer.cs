using Pilot.Engine.Limits;
using Pilot.Engine.Paths;
using Pilot.Protocol;

namespace Pilot.Engine.Tunnels;

/// <summary>
/// One other node: its sessions (keys), its paths, the exchange timer, and what waits for it. The parts stand in one
/// file per mechanism. Everything that reaches a peer object was admitted by the node; nothing in it changes on bytes
/// that were not authenticated, except that a candidate may be added within caps (spec 01 section 15.2).
/// </summary>
internal sealed partial class Peer : DeadlineItem
{
    private readonly TunnelContext _context;
    private ulong _sendCounter;
    private TokenBucket _pingAnswers = new(TunnelConstants.PingAnswerRate, TunnelConstants.PingAnswerRate);
    private TokenBucket _repeatAnswers = new(TunnelConstants.RepeatAnswerRate, TunnelConstants.RepeatAnswerBurst);
    private TokenBucket _newKeyAnswers = new(5, 10);
    private TokenBucket _exchangeLane = new(TunnelConstants.ExchangeRatePerPeer, 2 * TunnelConstants.ExchangeRatePerPeer);
    private TokenBucket _repairs = new(1, 1);
    private TokenBucket _resets = new(20, 20);

    public Peer(TunnelContext context, uint nodeId, Instant now)
    {
        _context = context;
        NodeId = nodeId;
        CreatedAt = now;
        LastUsed = now;
        _sendCounter = context.UnixMicroseconds(now);
    }

    public uint NodeId { get; }

    public Instant CreatedAt { get; }

    /// <summary>Last time that something other than probes was exchanged.</summary>
    public Instant LastUsed { get; set; }

    /// <summary>Last authenticated frame of the peer.</summary>
    public Instant LastReceived { get; private set; } = Instant.Origin;

    /// <summary>A hint that the peer is a node of ours (spec 00 item 3).</summary>
    public bool IsOurs { get; set; }

    public PathTable Paths { get; } = new();

    /// <summary>The node's connections with this peer.</summary>
    public List<ConnectionEntry> Connections { get; } = [];

    /// <summary>Those of them that wait for their turn to send.</summary>
    public SendLane Lane { get; } = new();

    public ulong BytesSent { get; private set; }

    public ulong BytesReceived { get; private set; }

    public override Instant Deadline
    {
        get
        {
            Instant next = Instant.Min(_exchangeAt, _silenceAt);
            next = Instant.Min(next, _hushAt);
            next = Instant.Min(next, _sessionsExpireAt);
            next = Instant.Min(next, _keepaliveAt);
            next = Instant.Min(next, _directRoundAt);
            next = Instant.Min(next, _reviewAt);
            next = Instant.Min(next, _otherPathAt);
            next = Instant.Min(next, _pendingExpireAt);
            next = Instant.Min(next, _datagramsHeldUntil);
            next = Instant.Min(next, _waitersExpireAt);
            next = Instant.Min(next, _rekeyAt);
            foreach (PeerPath path in Paths.All)
            {
                next = Instant.Min(next, path.ProbeDeadline);
                next = Instant.Min(next, path.SegmentSize.Deadline);
            }

            return next;
        }
    }

    public bool TakeExchangeLane(Instant now) => _exchangeLane.TryTake(now);

    public bool TakeReset(Instant now) => _resets.TryTake(now);

    public void HandleTimeout(Instant now)
    {
        ExpireSessions(now);
        ExpirePending(now);
        ReleaseHeldDatagrams(now);
        ExpireWaiters(now);
        RunProbes(now);
        RunSegmentSizeSearch(now);
        CheckSilence(now);
        CheckHush(now);
        CheckOtherPath(now);
        RunReview(now);
        RunExchange(now);
        RunKeepalive(now);
        RunDirectRound(now);
        RunRekey(now);
    }

    /// <summary>Forgets keys, paths and what waits: trust ended, or the own id changed.</summary>
    public void Forget()
    {
        ClearSessions();
        Paths.Clear();
        ClearPending();
        _datagramsHeldUntil = Instant.Never;
        _exchangeAt = Instant.Never;
        _keepaliveAt = Instant.Never;
        _directRoundAt = Instant.Never;
        _silenceAt = Instant.Never;
        _hushAt = Instant.Never;
        _reviewAt = Instant.Never;
        _otherPathAt = Instant.Never;
        _rekeyAt = Instant.Never;
    }

    private bool IsInUse(Instant now) => Connections.Count > 0 || now - LastUsed < TunnelConstants.UseLifetime;
}
