using System.Numerics;
using Pilot.Protocol;

namespace Pilot.Engine.Paths;

internal enum PathState : byte
{
    /// <summary>Seen or told, not proven.</summary>
    Candidate,

    /// <summary>A ping sent on it was answered (spec 01 section 15.2 item 3).</summary>
    Confirmed,

    /// <summary>Its pings stopped being answered.</summary>
    Failed,
}

/// <summary>One way to a peer: an address of its own, or a beacon. It has a liveness, a round trip and a loss of its own.</summary>
internal sealed class PeerPath(PathKind kind, UdpEndpoint endpoint, Instant addedAt)
{
    /// <summary>Pings of one burst after its start; not denser than one per 100 ms (spec 01 section 15.2 item 2).</summary>
    private static readonly TimeSpan[] ProbeOffsets =
    [
        TimeSpan.Zero, TimeSpan.FromMilliseconds(100), TimeSpan.FromMilliseconds(250), TimeSpan.FromMilliseconds(450), TimeSpan.FromMilliseconds(850),
    ];

    private Instant _burstStart;
    private int _burstStep = -1;
    private ushort _lost; // the last pings, 1 for each that was not answered
    private int _outcomes;
    private int _failures;

    public PathKind Kind { get; private set; } = kind;

    /// <summary>The peer's endpoint; for a relay the beacon's.</summary>
    public UdpEndpoint Endpoint { get; } = endpoint;

    public Instant AddedAt { get; } = addedAt;

    public PathState State { get; set; }

    /// <summary>The registry or the peer itself named it: not pushed out by candidates that anyone can cause.</summary>
    public bool IsRegistered { get; set; }

    /// <summary>It only opened because both sides punched.</summary>
    public bool IsPunched { get; set; }

    public TimeSpan? Rtt { get; private set; }

    public Instant LastPong { get; private set; } = Instant.Origin;

    public Instant LastSent { get; set; } = addedAt;

    public Instant LastReceived { get; private set; } = Instant.Origin;

    public ulong BytesSent { get; private set; }

    public ulong BytesReceived { get; private set; }

    /// <summary>Since when answers are missing on it; <see cref="Instant.Never"/> while nothing is.</summary>
    public Instant DoubtedAt { get; set; } = Instant.Never;

    /// <summary>It failed while it was in use: until then it does not replace a path that works.</summary>
    public Instant HeldUntil { get; private set; } = Instant.Origin;

    /// <summary>The search for the largest payload that this path carries.</summary>
    public SegmentSizeSearch SegmentSize { get; } = new();

    /// <summary>Bytes per packet payload that this path is known to carry.</summary>
    public int MaxPayload => SegmentSize.Size;

    public bool IsProbing => _burstStep >= 0;

    /// <summary>Last proof of life: a frame of the peer came on it, or a ping sent on it was answered.</summary>
    public Instant LastAlive => Instant.Max(LastReceived, LastPong);

    /// <summary>Share of the last pings that were not answered; null before the first outcome.</summary>
    public double? Loss => _outcomes == 0 ? null : BitOperations.PopCount(_lost) / (double)_outcomes;

    /// <summary>So many pings are lost that a worse kind of path is better (own choice).</summary>
    public bool IsLossy => _outcomes >= TunnelConstants.LossyOutcomes && Loss > TunnelConstants.LossyShare;

    /// <summary>When the next ping of the burst, or its verdict, is due.</summary>
    public Instant ProbeDeadline
    {
        get
        {
            if (_burstStep < 0)
            {
                return Instant.Never;
            }

            return _burstStep < ProbeOffsets.Length
                ? _burstStart + ProbeOffsets[_burstStep]
                : _burstStart + ProbeOffsets[^1] + VerdictWait;
        }
    }

    public PathStatus Status => new(Kind, Endpoint, Rtt, State == PathState.Confirmed, IsPunched);

    /// <summary>How long a doubted path may take to answer before another one that answered is preferred.</summary>
    public TimeSpan DoubtWait
    {
        get
        {
            TimeSpan wait = (Rtt ?? TimeSpan.Zero) * 2;
            return wait > TunnelConstants.MinDoubtWait ? wait : TunnelConstants.MinDoubtWait;
        }
    }

    private TimeSpan VerdictWait
    {
        get
        {
            TimeSpan wait = (Rtt ?? TimeSpan.Zero) * 3;
            return wait > TunnelConstants.MinPongWait ? wait : TunnelConstants.MinPongWait;
        }
    }

    /// <summary>The path with its counters.</summary>
    public PathDetail Detail(Instant now, bool isUsed) => new(
        Status, isUsed, State == PathState.Failed, Loss, BytesSent, BytesReceived, LastReceived == Instant.Origin ? null : now - LastReceived);

    /// <summary>Whether it was doubted for so long that another path may take over.</summary>
    public bool IsDoubtful(Instant now) => DoubtedAt != Instant.Never && now - DoubtedAt >= DoubtWait;

    /// <summary>Its address is told as one of a better kind: it was first seen as the source of a frame, which does not say that it is in the own network.</summary>
    public void Promote(PathKind told)
    {
        if (told < Kind && Kind != PathKind.Relay)
        {
            Kind = told;
            IsPunched = false;
        }
    }

    /// <summary>Starts a burst of pings, unless one is running.</summary>
    public void StartProbing(Instant now)
    {
        if (_burstStep < 0)
        {
            _burstStart = now;
            _burstStep = 0;
        }
    }

    /// <summary>True if a ping is to be sent now; false if the burst ended unanswered (the path is failed then) or nothing is due.</summary>
    public bool TakeProbe(Instant now)
    {
        if (_burstStep < 0 || now < ProbeDeadline)
        {
            return false;
        }

        if (_burstStep == ProbeOffsets.Length)
        {
            _burstStep = -1;
            if (State == PathState.Confirmed)
            {
                TimeSpan hold = TunnelConstants.MinFailureHold * (1 << Math.Min(_failures++, 8));
                HeldUntil = now + (hold < TunnelConstants.MaxFailureHold ? hold : TunnelConstants.MaxFailureHold);
            }

            State = PathState.Failed;
            return false;
        }

        _burstStep++;
        return true;
    }

    public void OnSent(Instant now, int bytes)
    {
        LastSent = now;
        BytesSent += (ulong)bytes;
    }

    /// <summary>An authenticated frame came on it.</summary>
    public void OnReceived(Instant now, int bytes)
    {
        LastReceived = now;
        BytesReceived += (ulong)bytes;
        DoubtedAt = Instant.Never;
    }

    public void OnPong(Instant now, TimeSpan sample)
    {
        _burstStep = -1;
        LastPong = now;
        State = PathState.Confirmed;
        DoubtedAt = Instant.Never;
        Rtt = Rtt is { } smoothed ? smoothed + (sample - smoothed) / 8 : sample;
        if (_failures > 0 && now - HeldUntil > TunnelConstants.MaxFailureHold)
        {
            _failures = 0;
        }

        CountOutcome(isLost: false);
    }

    /// <summary>One ping was answered, or will not be.</summary>
    public void CountOutcome(bool isLost)
    {
        _lost = (ushort)((_lost << 1) | (isLost ? 1 : 0));
        _outcomes = Math.Min(_outcomes + 1, 16);
    }
}
